"""Ansible callback plugin in the place of the one that writes to standard output: it writes nothing.

What runs is in the journal. Errors of Ansible itself still go to standard error.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = """
    name: im_quiet
    type: stdout
    short_description: no output
    description:
      - Writes nothing.
"""

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "im_quiet"
