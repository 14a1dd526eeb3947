"""Installs roles and collections with ansible-galaxy (Python >= 3.6, standard library only).

    python -c THIS CONF_DIR < plan

The plan is JSON: command (stands for ansible-galaxy), env, server, force, tries, delay, items, each with key, kind (role,
collection), name and entry (of a requirements file). One line of JSON answers each item: key, fresh (installed now),
error (text, or null), lock_step (the role has tasks that need all machines at once), alone (the role looks at no other
machine and brings no other role).

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
OTHERS = re.compile(r"hostvars|play_hosts|play_batch|delegate_to|include_role|import_role|groups\s*[\[.|]|in\s+groups\b")
DEPENDENCIES = re.compile(r"^dependencies:\s*(\n\s*-|\[\s*[^\]\s])", re.MULTILINE)
# Beginnings of what Ansible says that went wrong. It breaks warnings into lines of this width.
FAULT = re.compile(r"\s*(\[WARNING\]:|\[ERROR\]:|ERROR!|fatal:)\s*")
WIDTH = 79
# What helps nobody: advice on other ways to call it, and that something failed without why.
USELESS = re.compile(r"(- )?you can use --ignore-errors|The specified collections path|\S+ was NOT installed successfully\.?$")


def directory(conf_dir, item):
    """Where the thing will be, none when only the archive knows."""
    if item["kind"] == "role":
        return os.path.join(conf_dir, "roles", item["name"])
    if item["entry"]["type"] in ("galaxy", "file"):
        return os.path.join(conf_dir, "collections", "ansible_collections", *item["name"].split("."))
    return os.path.join(conf_dir, "collections", "ansible_collections")


def found_in(path, parts, ends, *patterns):
    """Whether a file below one of the parts of a role holds one of the patterns."""
    for part in parts:
        for folder, _, files in os.walk(os.path.join(path, part)):
            for name in files:
                if name.endswith(ends):
                    try:
                        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                            text = f.read(1 << 20)
                    except OSError:
                        continue
                    if any(pattern.search(text) for pattern in patterns):
                        return True
    return False


def needs_lock_step(path):
    return found_in(path, ("tasks", "handlers"), (".yml", ".yaml"), LOCK_STEP)


def is_alone(path):
    parts = ("tasks", "handlers", "templates", "defaults", "vars")
    return not found_in(path, parts, "", OTHERS) and not found_in(path, ("meta",), (".yml", ".yaml"), DEPENDENCIES)


def faults(output):
    """What went wrong, each fault on one line: whether it is an error, and its text."""
    found, last = [], ""
    for line in output.splitlines():
        mark, first = FAULT.match(line), re.match(r"\s*(\S+?-(?=\S)|\S+)", line)
        if mark:
            found.append(("WARNING" not in mark.group(1), line[mark.end():].strip()))
        elif found and last and first and len(last) + 1 + len(first.group(1)) > WIDTH:
            # The word did not fit; words are broken at hyphens, too.
            text = found[-1][1]
            joint = "" if re.search(r"\S-$", text) else " "
            found[-1] = (found[-1][0], text + joint + line.strip())
        else:
            line = ""
        last = line.rstrip()
    return found


def reason(output):
    """The fault that says most, in one sentence."""
    useful = []
    for is_error, text in faults(output):
        text = re.sub(r"^- ", "", text)
        if not USELESS.match(text):
            useful.append((is_error, re.sub(r"^\S+ was NOT installed successfully: (- )?", "", text)))
    errors = [text for is_error, text in useful if is_error] or [text for _, text in useful]
    if not errors:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = lines[-1:] or [""]
    text = errors[-1]
    # What git says after what it was told; an exception and its cause say the same.
    text = text[max(0, text.find("fatal: ")):]
    text = re.sub(r"(<[^<>]+>)\. \1$", r"\1", text)
    return text if len(text) <= 600 else text[:600] + "..."


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
    return reason(output) or "ansible-galaxy ended with status %d" % done.returncode


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
        is_role = item["kind"] == "role" and error is None
        answer = {"key": item["key"], "fresh": plan["force"] or not there, "error": error}
        answer.update({"lock_step": is_role and needs_lock_step(path), "alone": is_role and is_alone(path)})
        print(json.dumps(answer))
        sys.stdout.flush()


main()
