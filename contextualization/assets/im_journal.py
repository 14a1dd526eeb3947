"""Ansible callback plugin: one JSON line per event, appended to the file named by IM_EVENTS."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = """
    name: im_journal
    type: notification
    short_description: journal of a run as JSON lines
    description:
      - Writes one JSON line per event to the file named by the environment variable IM_EVENTS.
"""

import json
import os
import re
import time

from ansible.plugins.callback import CallbackBase

LINE = 256 * 1024
TEXT = 64 * 1024
# A password of so many characters is masked wherever it stands; a shorter one may be a part of any word and is masked
# where it is a word; even shorter ones are words that logs are full of, and no secrets.
LONG, SHORT = 6, 4
MASK = "********"
# What of an event comes from recipes and machines.
TEXTS = ("res", "text", "name", "play", "loop_item")
# Variables of the inventory whose values are in no event.
SECRETS = ("ansible_become_password", "ansible_password")
# The task at the end of a recipe that tells who has come that far.
DONE = "im: end of the recipe"
META = ("meta", "ansible.builtin.meta", "ansible.legacy.meta")


def shortened(value, limit):
    """The value with long texts and lists cut, so that a line keeps its size; and whether something was cut."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        # Bytes that were no UTF-8 are halves of surrogate pairs here.
        value = value.encode("utf-8", "backslashreplace").decode("utf-8")
        if len(value) <= limit:
            return str(value), False
        return value[: limit // 2] + "\n... cut ...\n" + value[-limit // 2 :], True
    if isinstance(value, dict):
        pairs = [(str(k), shortened(v, limit)) for k, v in value.items()]
        return {k: v[0] for k, v in pairs}, any(v[1] for _, v in pairs)
    if isinstance(value, (list, tuple, set)):
        items = [shortened(v, limit) for v in list(value)[:1000]]
        return [v[0] for v in items], len(value) > 1000 or any(v[1] for v in items)
    if value is None or isinstance(value, (bool, int, float)):
        return value, False
    return str(value), False


def is_of_mitogen(raw):
    """Whether not the task failed but what carries it: then mitogen's code is what raised the error."""
    if "The task worker cannot connect" in str(raw.get("msg", "")):
        return True
    text = "%s\n%s" % (raw.get("exception") or "", raw.get("module_stderr") or "")
    places = [line for line in text.splitlines() if line.startswith('  File "')]
    return bool(places) and "mitogen" in places[-1].split('"')[1]


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "im_journal"
    CALLBACK_NEEDS_ENABLED = True
    CALLBACK_NEEDS_WHITELIST = True

    def __init__(self, *args, **kwargs):
        super(CallbackModule, self).__init__(*args, **kwargs)
        self.run = os.environ.get("IM_RUN", "")
        path = os.environ.get("IM_EVENTS")
        self.disabled = not path
        self.sequence = 0
        self.secrets, self.words = set(), set()
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if path else -1

    def emit(self, kind, **fields):
        self.sequence += 1
        event = {"v": 1, "run": self.run, "seq": self.sequence, "ts": time.time(), "e": kind}
        event.update((k, self.masked(v) if k in TEXTS else v) for k, v in fields.items() if v is not None)
        line = json.dumps(event)
        limit = TEXT
        while len(line) > LINE and limit > 64:
            limit //= 8
            event["res"], _ = shortened(event.get("res"), limit)
            event["trunc"] = True
            line = json.dumps(event)
        if len(line) > LINE:
            event["res"] = {"msg": "the result is too long for the log"}
            line = json.dumps(event)
        os.write(self.fd, line.encode("utf-8", "replace") + b"\n")

    def remember(self, secrets):
        """Passwords of machines: as they are, as they stand in JSON, and in a text of JSON inside of it."""
        for secret in secrets:
            text = str(secret or "")
            once = json.dumps(text)[1:-1]
            forms = {text, once, json.dumps(once)[1:-1]}
            if len(text) >= LONG:
                self.secrets.update(forms)
            elif len(text) >= SHORT:
                self.words.update(re.compile(r"(?<!\w)%s(?!\w)" % re.escape(form)) for form in forms)

    def masked(self, value):
        """The value with no password in its texts."""
        if isinstance(value, dict):
            return {k: self.masked(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.masked(v) for v in value]
        if isinstance(value, str):
            for secret in self.secrets:
                value = value.replace(secret, MASK)
            for word in self.words:
                value = word.sub(MASK, value)
        return value

    def result(self, kind, result, ignored=None):
        raw = result._result
        verbose = raw.get("_ansible_verbose_always", False) or kind in ("failed", "unreachable", "item_failed")
        if verbose:
            hidden = ("invocation", "ansible_facts", "warnings", "deprecations", "results", "exception")
            kept = {k: v for k, v in raw.items() if not k.startswith("_ansible_") and k not in hidden}
            if kind.endswith("ok") and result._task.action in ("debug", "ansible.builtin.debug"):
                # What it was asked to show, alone.
                beside = ("changed", "failed", "item", raw.get("ansible_loop_var"), "ansible_loop_var", "ansible_loop")
                kept = {k: v for k, v in kept.items() if (k == "msg" if "msg" in kept else k not in beside)}
        else:
            kept = {k: raw[k] for k in ("changed", "rc") if k in raw}
        res, cut = shortened(kept, TEXT)
        task = result._task
        fields = {
            "host": result._host.get_name(),
            "task": task._uuid,
            "name": task.get_name().strip(),
            "res": res,
            "verbose": bool(verbose) or None,
            "ignored": ignored or None,
            "trunc": cut or None,
            "loop": bool(task.loop and "results" in raw) or None,
            "mitogen": (kind in ("failed", "item_failed") and is_of_mitogen(raw)) or None,
        }
        if kind.startswith("item_"):
            fields["loop_item"] = str(shortened(self._get_item_label(raw), 512)[0])
        for warning in raw.get("warnings") or ():
            self.emit("warn", host=fields["host"], text=str(warning)[:2000])
        self.emit(kind, **fields)

    def v2_playbook_on_start(self, playbook):
        if self.sequence:
            self.go_on()
        self.emit("run_start")

    def go_on(self):
        """The same Ansible goes on with the playbook of another run, which has a journal of its own."""
        os.close(self.fd)
        self.run, self.sequence = os.environ["IM_NEXT_RUN"], 0
        self.fd = os.open(os.environ["IM_NEXT_EVENTS"], os.O_WRONLY | os.O_APPEND)

    def v2_playbook_on_play_start(self, play):
        try:
            hosts = play.get_variable_manager()._inventory.get_hosts(play.hosts)
            self.remember(h.vars.get(name) for h in hosts for name in SECRETS)
            hosts = [h.get_name() for h in hosts]
        except Exception:
            hosts = None
        self.emit("play", play=play.get_name().strip(), hosts=hosts)

    def v2_runner_on_start(self, host, task):
        handler = type(task).__name__ == "Handler" or None
        self.emit("host_start", host=host.get_name(), task=task._uuid, name=task.get_name().strip(), handler=handler)

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.emit("task", task=task._uuid, name=task.get_name().strip())

    def v2_playbook_on_handler_task_start(self, task):
        self.emit("handler", task=task._uuid, name=task.get_name().strip())

    def v2_runner_on_ok(self, result):
        # An include says for itself what it included, and where.
        if type(result._task).__name__ in ("TaskInclude", "IncludeRole"):
            return
        self.result("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.result("failed", result, ignored=bool(ignore_errors))

    def v2_runner_on_unreachable(self, result):
        self.result("unreachable", result, ignored=bool(result._task.ignore_unreachable))

    def v2_runner_on_skipped(self, result):
        if result._task.action in META and result._task.get_name().strip() == DONE:
            self.emit("done", host=result._host.get_name())
            return
        self.result("skipped", result)

    def v2_runner_item_on_ok(self, result):
        self.result("item_ok", result)

    def v2_runner_item_on_failed(self, result):
        self.result("item_failed", result)

    def v2_runner_item_on_skipped(self, result):
        self.result("item_skipped", result)

    def v2_runner_retry(self, result):
        left = result._result.get("retries", 0) - result._result.get("attempts", 0)
        self.emit("retry", host=result._host.get_name(), name=result._task.get_name().strip(), left=left)

    def v2_playbook_on_include(self, included_file):
        name = os.path.basename(str(included_file._filename))
        for host in included_file._hosts:
            self.emit("include", host=host.get_name(), name=name)

    def v2_playbook_on_no_hosts_matched(self):
        self.emit("no_hosts")

    def v2_playbook_on_stats(self, stats):
        hosts = {h: stats.summarize(h) for h in stats.processed}
        self.emit("stats", stats=hosts)
