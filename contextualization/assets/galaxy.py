"""Installs roles and collections with ansible-galaxy (Python >= 3.6, standard library only).

    python -c THIS CONF_DIR < plan

The plan is JSON: command (stands for ansible-galaxy), env, server, force, tries, delay, items, each with key, kind (role,
collection), name and entry (of a requirements file). One line of JSON answers each item: key, fresh (installed now),
error (text, or null), lock_step (the role has tasks that need all machines at once).

What an earlier call installed is not installed again unless forced; the record is CONF_DIR/.im/galaxy.json.
"""
import json
import os
import re
import subprocess
import sys
import time

LOCK_STEP = re.compile(
    r"^[\s-]*((ansible\.(builtin|legacy)\.)?(add_host|pause)|throttle|any_errors_fatal)\s*:", re.MULTILINE
)


def directory(conf_dir, item):
    """Where the thing will be, none when only the archive knows."""
    if item["kind"] == "role":
        return os.path.join(conf_dir, "roles", item["name"])
    if item["entry"]["type"] in ("galaxy", "file"):
        return os.path.join(conf_dir, "collections", "ansible_collections", *item["name"].split("."))
    return os.path.join(conf_dir, "collections", "ansible_collections")


def needs_lock_step(path):
    for part in ("tasks", "handlers"):
        for folder, _, files in os.walk(os.path.join(path, part)):
            for name in files:
                if name.endswith((".yml", ".yaml")):
                    try:
                        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                            if LOCK_STEP.search(f.read(1 << 20)):
                                return True
                    except OSError:
                        pass
    return False


def install(conf_dir, plan, item):
    """One try; none, or what went wrong."""
    requirements = os.path.join(conf_dir, ".im", "requirements.yml")
    kind = item["kind"]
    with open(requirements, "w") as f:
        json.dump({kind + "s": [item["entry"]]}, f)  # JSON is YAML
    command = plan["command"] + [kind, "install", "--force", "-r", requirements]
    command += ["-p", os.path.join(conf_dir, kind + "s")]
    if plan.get("server"):
        command += ["--server", plan["server"]]
    if item["entry"].get("type") == "file":
        command.append("--no-deps")  # archives that were pushed are complete as they are
    done = subprocess.Popen(
        command,
        cwd=conf_dir,
        env=dict(os.environ, **plan["env"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = done.communicate()[0].decode("utf-8", "replace")
    if done.returncode == 0 and os.path.isdir(directory(conf_dir, item)):
        return None
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    faults = [line for line in lines if re.search("error|fail|fatal|could not|not found", line, re.IGNORECASE)]
    return " / ".join((faults or lines)[-3:])[-600:] or "ansible-galaxy ended with status %d" % done.returncode


def main():
    os.umask(0o077)
    conf_dir, plan = os.path.abspath(sys.argv[1]), json.load(sys.stdin)
    os.makedirs(os.path.join(conf_dir, ".im"), exist_ok=True)
    with open(plan["env"]["ANSIBLE_CONFIG"], "w") as f:
        f.write("[galaxy]\n")
    record_path = os.path.join(conf_dir, ".im", "galaxy.json")
    try:
        with open(record_path) as f:
            record = json.load(f)
    except (OSError, ValueError):
        record = {}
    for item in plan["items"]:
        place = item["kind"] + " " + item["name"]
        path = directory(conf_dir, item)
        there = record.get(place) == item["key"] and os.path.isdir(path)
        error = None
        if plan["force"] or not there:
            for attempt in range(plan["tries"]):
                if attempt:
                    time.sleep(plan["delay"])
                try:
                    error = install(conf_dir, plan, item)
                except OSError as e:
                    error = str(e)
                if error is None:
                    break
            if error is None:
                record[place] = item["key"]
            else:
                record.pop(place, None)
            with open(record_path + ".new", "w") as f:
                json.dump(record, f)
            os.rename(record_path + ".new", record_path)
        lock_step = item["kind"] == "role" and error is None and needs_lock_step(path)
        answer = {"key": item["key"], "fresh": plan["force"] or not there, "error": error, "lock_step": lock_step}
        print(json.dumps(answer))
        sys.stdout.flush()


main()
