"""Strategy plugin `mitogen_X`: Ansible's strategy X, with mitogen carrying the tasks.

It differs from the plugin that comes with mitogen in where commands start: on other machines in the home directory of
the login user, as with Ansible alone, and not in a directory for temporary files; and nobody is sent to a directory that
is shut to him.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os

import ansible_mitogen.connection
import ansible_mitogen.loaders
import ansible_mitogen.strategy

NAME = os.path.basename(__file__).split(".")[0][len("mitogen_") :]
Base = ansible_mitogen.loaders.strategy_loader.get(NAME, class_only=True)


Connection = ansible_mitogen.connection.Connection
on_action_run = Connection.on_action_run


def may_enter_any_directory(connection):
    """Root may; for other users there is the directory of mitogen's choice."""
    context = connection._play_context
    return not context.become or context.become_user in (None, "root")


def home_of_login(self):
    if may_enter_any_directory(self):
        self._connect()
        return self.get_chain(use_login=True).call(os.path.expanduser, "~")


def with_directory(self, task_vars, delegate_to_hostname, loader_basedir):
    # On the master itself commands start where Ansible does: in the conf dir.
    basedir = loader_basedir if may_enter_any_directory(self) else None
    return on_action_run(self, task_vars, delegate_to_hostname, basedir)


Connection.get_default_cwd = home_of_login
Connection.on_action_run = with_directory


class StrategyModule(ansible_mitogen.strategy.StrategyMixin, Base):
    pass
