"""Makes the playbook of a recipe that is encrypted with ansible-vault (run with the Python of Ansible).

On standard input: JSON with password, conf_dir, recipe and playbook (names in it), keep_hosts, become_root, end. The
recipe is opened, gets its header as recipes in clear do, and is closed again with the same password. Its text is in this
process alone.
"""
import json
import os
import sys

import yaml
from ansible.parsing.vault import AnsibleVaultError, VaultLib, VaultSecret

RUN_HOSTS = "{{ IM_HOST }}"
PASSES = ("import_playbook", "ansible.builtin.import_playbook", "include")
STRING = "tag:yaml.org,2002:str"


class Refused(Exception):
    pass


def scalar(text, style=None):
    # A plain one means what YAML makes of it: resolved again when it is read.
    tag = STRING if style else yaml.resolver.Resolver().resolve(yaml.ScalarNode, text, (True, False))
    return yaml.ScalarNode(tag, text, style=style)


def is_empty(node):
    return isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null") or node.value in ([], ())


def get(play, key):
    found = [value for name, value in play.value if name.value == key]
    return found[-1] if found and not is_empty(found[-1]) else None


def take(play, key):
    value = get(play, key)
    play.value = [(name, v) for name, v in play.value if name.value != key]
    return value


def add_header(play, keep_hosts, become_root):
    own, hosts = take(play, "hosts"), scalar(RUN_HOSTS, '"')
    if own is not None and keep_hosts:
        more = own.value if isinstance(own, yaml.SequenceNode) else [own]
        hosts = yaml.SequenceNode("tag:yaml.org,2002:seq", [hosts] + list(more), flow_style=False)
    first = [(scalar("hosts"), hosts)]
    for key, value in (("gather_facts", "no"), ("become", "yes")):
        if get(play, key) is None and (become_root or key != "become"):
            take(play, key)
            first.append((scalar(key), scalar(value)))
    play.value = first + play.value
    connection = get(play, "connection")
    if connection is not None and connection.value == "local":
        add_local_password(play)


def add_local_password(play):
    name, value = "ansible_become_password", "{{ hostvars['localhost'].ansible_become_password | default('') }}"
    variables = get(play, "vars")
    if variables is None:
        take(play, "vars")
        variables = yaml.MappingNode("tag:yaml.org,2002:map", [], flow_style=False)
        play.value.append((scalar("vars"), variables))
    if isinstance(variables, yaml.MappingNode) and get(variables, name) is None:
        variables.value.append((scalar(name), scalar(value, '"')))


def add_end(play, name):
    pairs = (("name", scalar(name, '"')), ("meta", scalar("end_host")), ("when", scalar("false")))
    end = yaml.MappingNode("tag:yaml.org,2002:map", [(scalar(k), v) for k, v in pairs], flow_style=False)
    tasks = get(play, "post_tasks")
    if isinstance(tasks, yaml.SequenceNode):
        tasks.value.append(end)
    elif tasks is None:
        take(play, "post_tasks")
        tasks = yaml.SequenceNode("tag:yaml.org,2002:seq", [end], flow_style=False)
        play.value.append((scalar("post_tasks"), tasks))


def merged(text, question):
    plays = yaml.compose(text, Loader=yaml.SafeLoader)
    if plays is None or is_empty(plays):
        return '- hosts: "%s"\n  gather_facts: no\n' % RUN_HOSTS
    if not isinstance(plays, yaml.SequenceNode) or not all(isinstance(p, yaml.MappingNode) for p in plays.value):
        raise Refused("expected a list of plays")
    seen = []
    for play in plays.value:
        if any(play is other for other in seen) or any(get(play, key) is not None for key in PASSES):
            continue
        seen.append(play)
        add_header(play, question["keep_hosts"], question["become_root"])
    if seen and seen[-1] is plays.value[-1]:
        add_end(seen[-1], question["end"])
    return yaml.serialize(plays, Dumper=yaml.SafeDumper, allow_unicode=True)


def main():
    question = json.load(sys.stdin)
    vault = VaultLib([("default", VaultSecret(question["password"].strip().encode("utf-8")))])
    conf_dir = question["conf_dir"]
    try:
        with open(os.path.join(conf_dir, question["recipe"]), "rb") as f:
            text = vault.decrypt(f.read().strip()).decode("utf-8")
        text = vault.encrypt(merged(text, question).encode("utf-8"))
    except (AnsibleVaultError, ValueError, Refused, yaml.YAMLError) as error:
        # Never the text itself, which a message about YAML would show.
        reason = "it is no YAML" if isinstance(error, yaml.YAMLError) else str(error).splitlines()[0]
        sys.exit("VAULT: %s" % reason)
    path = os.path.join(conf_dir, question["playbook"])
    temporary = "%s.%d" % (path, os.getpid())
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode("utf-8"))
    os.rename(temporary, path)


main()
