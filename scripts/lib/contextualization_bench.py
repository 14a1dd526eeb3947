"""The contextualization part of scripts/bench: imd against plain ansible-playbook on nodes of the local cloud.

It runs in network, mount and process namespaces of its own, so that nothing of it is left when it ends.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

AUTH = r"type = InfrastructureManager; username = user; password = pass\nid = here; type = Local"
TASKS = """  - name: Group
    group: {name: app}
  - name: User
    user: {name: app, group: app, shell: /bin/sh, home: /srv/app}
  - name: Directory
    file: {path: /srv/app/etc, state: directory, owner: app, mode: "0755"}
  - name: File
    copy: {dest: /srv/app/etc/motd, content: "hello from {{ ansible_hostname }}\\n", owner: app}
  - name: Script
    copy: {dest: /srv/app/run, content: "#!/bin/sh\\nexec true\\n", mode: "0755"}
  - name: Template
    template: {src: TEMPLATE, dest: /srv/app/etc/app.conf, owner: app, mode: "0640"}
  - name: Line
    lineinfile: {path: /srv/app/etc/app.conf, regexp: "^port=", line: "port=8080"}
  - name: Block
    blockinfile: {path: /srv/app/etc/app.conf, block: "a=1\\nb=2"}
  - name: Link
    file: {src: /srv/app/etc/app.conf, dest: /srv/app/conf, state: link}
  - name: Command
    command: /srv/app/run
  - name: Shell
    shell: grep -c . /srv/app/conf > /srv/app/lines
  - name: Look
    stat: {path: /srv/app/lines}
"""
TEMPLATE = "{% for i in range(20) %}key{{ i }}={{ ansible_hostname }}-{{ i }}\n{% endfor %}port=80\n"
MACHINES = """network net (outbound = 'yes')
system node (net_interface.0.connection = 'net' and disk.0.os.name = 'linux' and disk.0.image.url = 'local://host'
  and net_interface.0.dns_name = 'node-#N#')
"""


def document(number, recipe):
    if recipe is None:
        return MACHINES + f"contextualize ()\ndeploy node {number}\n"
    return MACHINES + f"configure node (\n@begin\n{recipe}@end\n)\ndeploy node {number}\n"


EMPTY = "- tasks: []\n"


class Daemon:
    """imd with the local cloud."""

    def __init__(self, bench, binary, folder, bundles):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.port = bench.free_port()
        with open(os.path.join(folder, "im.cfg"), "w") as config:
            config.write(f"""[im]
REST_ADDRESS = 127.0.0.1
REST_PORT = {self.port}
ACTIVATE_XMLRPC = False
DATA_DB = sqlite://{folder}/imd.sqlite
DATA_KEY_FILE = {folder}/key
LOG_FILE = {folder}/imd.log
LOG_LEVEL = WARNING
CTXT_BUNDLE_DIR = {bundles}
PLAYBOOK_RETRIES = 1
MAX_SIMULTANEOUS_LAUNCHES = 5
[Local]
ENABLED = True
STATE_DIR = {folder}/local
MAX_VMS = 200
LIMITS = False
""")
        self.server = bench.Server("imd", [binary, "--config", f"{folder}/im.cfg"], self.port, cwd=folder)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.server.url(path), method=method, data=body and body.encode())
        request.add_header("Authorization", AUTH)
        request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request, timeout=1800) as answer:
            return answer.read().decode()

    def create(self, text):
        return "/infrastructures/" + self.ask("POST", "/infrastructures?async=yes", text).rsplit("/", 1)[1]

    def delete(self, path):
        self.ask("DELETE", path + "?force=yes")

    def events(self, path, last="0"):
        """Events with their time of arrival and their number, until the infrastructure has its final state."""
        headers = {"Authorization": AUTH, "Last-Event-ID": last, "Accept": "text/event-stream"}
        request = urllib.request.Request(self.server.url(path + "/events"), headers=headers)
        with urllib.request.urlopen(request, timeout=1800) as stream:
            event, data, number = "", [], last
            for line in stream:
                line = line.decode().rstrip("\n")
                if line.startswith("id:"):
                    number = line[3:].strip()
                elif line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].lstrip(" "))
                elif not line and data:
                    if event in ("state", "log"):
                        yield time.monotonic(), number, event, json.loads("\n".join(data))
                    event, data = "", []

    def contextualized(self, path, last="0"):
        """Follows a contextualization to its end: moments of its phases, number of the last event."""
        moments, texts = {}, []
        busy = last == "0"

        def mark(name, at, first=True):
            if not first or name not in moments:
                moments[name] = at

        for at, number, event, data in self.events(path, last):
            if event == "log":
                texts.append(f"{data['vm']}: {data['text']}")
                for line in data["text"].splitlines():
                    if line.endswith("Select master VM"):
                        mark("start", at)
                    elif line.startswith("Remote access to VM"):
                        mark("master open", at)
                        mark("all open", at, False)
                    elif line.endswith("Ansible successfully configured in the master VM."):
                        mark("Ansible there", at)
                    elif line.endswith("Copying YAML, hosts and inventory files."):
                        mark("files", at)
                    elif line == "Launch task: basic":
                        mark("basic", at)
                    elif line == "Task basic finished successfully":
                        mark("basic done", at, False)
                    elif line.startswith("Launch task: "):
                        mark("recipe", at)
                    elif line.startswith("Task ") and line.endswith(" finished successfully"):
                        mark("recipe done", at, False)
            elif data["vm"] is None:
                busy = busy or data["state"] == "running"
                if busy and data["state"] == "configured":
                    moments["end"] = at
                    return moments, number, texts
                if data["state"] in ("unconfigured", "failed"):
                    sys.exit(f"it became {data['state']}:\n" + "\n".join(texts)[-5000:])
        sys.exit("the stream of events ended")

    def stop(self):
        self.server.stop()


def plain(daemon, number, folder, tree, tasks):
    """Seconds of plain ansible-playbook over fresh nodes: ten forks, linear, pipelining, facts gathered as by default."""
    path = daemon.create(document(number, None))
    while (state := json.loads(daemon.ask("GET", path + "/state"))["state"])["state"] != "configured":
        if state["state"] in ("failed", "unconfigured"):
            sys.exit(f"the nodes for ansible-playbook did not come up: {state}")
        time.sleep(0.2)
    with open(os.path.join(folder, "hosts"), "w") as out:
        for vm in range(number):
            ip = daemon.ask("GET", f"{path}/vms/{vm}/net_interface.0.ip").strip()
            secret = daemon.ask("GET", f"{path}/vms/{vm}/disk.0.os.credentials.private_key").strip()
            own = os.path.join(folder, f"key{vm}")
            with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secret + "\n")
            user = daemon.ask("GET", f"{path}/vms/{vm}/disk.0.os.credentials.username").strip()
            out.write(f"node-{vm} ansible_host={ip} ansible_user={user} ansible_ssh_private_key_file={own}\n")
            for _ in range(300):
                if subprocess.run(["bash", "-c", f"exec 3<> /dev/tcp/{ip}/22"], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
    with open(os.path.join(folder, "play.yml"), "w") as out:
        out.write("- hosts: all\n  become: yes\n  tasks:\n" + tasks)
    with open(os.path.join(folder, "ansible.cfg"), "w") as out:
        out.write("[defaults]\nforks = 10\nhost_key_checking = False\ninterpreter_python = /usr/bin/python3\n"
                  "[ssh_connection]\npipelining = True\n")
    environment = dict(os.environ, PYTHONPATH=tree, ANSIBLE_CONFIG=os.path.join(folder, "ansible.cfg"), HOME=folder)
    command = ["/usr/bin/python3", "-m", "ansible", "playbook", "-i", os.path.join(folder, "hosts")]
    start = time.monotonic()
    done = subprocess.run(command + [os.path.join(folder, "play.yml")], env=environment, capture_output=True, text=True)
    took = time.monotonic() - start
    if done.returncode:
        sys.exit(f"ansible-playbook failed:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
    daemon.delete(path)
    return took


class Watch(threading.Thread):
    """Largest memory of the daemon, and its connections to SSH servers: at once, and all in all, per server."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_server, self.over = daemon.server, threading.Event()
        self.memory, self.at_once, self.all = 0, {}, {}

    def run(self):
        folder = f"/proc/{self.daemon_server.process.pid}"
        while not self.over.wait(0.03):
            try:
                links = [os.readlink(f"{folder}/fd/{fd}") for fd in os.listdir(f"{folder}/fd")]
                with open(f"{folder}/net/tcp") as table:
                    rows = [line.split() for line in table][1:]
            except OSError:
                continue
            mine = {link[8:-1] for link in links if link.startswith("socket:[")}
            now = {}
            for row in rows:
                if row[2].endswith(":0016") and row[3] == "01" and row[9] in mine:
                    now.setdefault(row[2], set()).add(row[1])
            for server, connections in now.items():
                self.at_once[server] = max(self.at_once.get(server, 0), len(connections))
                self.all.setdefault(server, set()).update(connections)
            self.memory = max(self.memory, self.daemon_server.memory())


def span(moments, first, last):
    return f"{moments[last] - moments[first]:.1f} s" if first in moments and last in moments else ""


def measure(bench, binary, work, quick):
    """All tables."""
    bundles = os.path.join(bench.ROOT, "target", "bundles")
    folder = os.path.join(work, "contextualization")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "tree"))
    archive = next(os.path.join(bundles, f) for f in sorted(os.listdir(bundles)) if f.startswith("ansible-") and f.endswith(".gz"))
    bench.run("tar", "-xzf", archive, "-C", os.path.join(folder, "tree"))
    # Nodes see the files of the host, but for some directories, in one of which the checkout may lie.
    with tempfile.NamedTemporaryFile("w", dir="/var/tmp", prefix="imd-bench-", suffix=".j2") as template:
        os.chmod(template.name, 0o644)
        template.write(TEMPLATE)
        template.flush()
        return measure_with(bench, binary, folder, bundles, quick, template.name)


def measure_with(bench, binary, folder, bundles, quick, template):
    """All tables, with a template that nodes see."""
    tasks = TASKS.replace("TEMPLATE", template)
    number, rounds, many = (6, 1, 10) if quick else (30, 3, 100)
    recipe = "- tasks:\n" + tasks
    daemon = Daemon(bench, binary, os.path.join(folder, "imd"), bundles)
    try:
        ratio = bench.Table(f"Twelve tasks on {number} nodes", "round", "ansible-playbook", "imd", "ratio", "mitogen")
        phases = bench.Table("Where imd's time goes", "round", "master's door", "Ansible there", "all doors", "files",
                             "built-in playbook", "recipe", "all")
        for turn in range(1, rounds + 1):
            def ours():
                path = daemon.create(document(number, recipe))
                moments, _, texts = daemon.contextualized(path)
                daemon.delete(path)
                moments["broke"] = any("mitogen failed" in text for text in texts)
                return moments

            def theirs():
                return plain(daemon, number, folder, os.path.join(folder, "tree"), tasks)

            # Who begins changes from round to round.
            moments, other = (ours(), theirs()) if turn % 2 else (lambda o: (ours(), o))(theirs())
            whole = moments["end"] - moments["start"]
            ratio.add(turn, f"{other:.1f} s", f"{whole:.1f} s", f"{whole / other:.2f}", "failed" if moments["broke"] else "held")
            phases.add(turn, span(moments, "start", "master open"), span(moments, "master open", "Ansible there"),
                       span(moments, "master open", "all open"), span(moments, "files", "basic"),
                       span(moments, "basic", "basic done"), span(moments, "recipe", "recipe done"), f"{whole:.1f} s")

        warm = bench.Table("Empty recipe on one warm node", "run", "SSH open to configured", "of it built-in playbook")
        path = daemon.create(document(1, EMPTY))
        _, last, _ = daemon.contextualized(path)
        for turn in range(1, (2 if quick else 5) + 1):
            daemon.ask("PUT", path + "/reconfigure")
            moments, last, _ = daemon.contextualized(path, last)
            warm.add(turn, span(moments, "master open", "end"), span(moments, "basic", "basic done"))
        daemon.delete(path)

        crowd = bench.Table(f"{many} nodes, empty recipe", "figure", "imd")
        before = daemon.server.memory()
        watch = Watch(daemon)
        watch.start()
        path = daemon.create(document(many, EMPTY))
        moments, _, _ = daemon.contextualized(path)
        watch.over.set()
        watch.join()
        crowd.add("whole contextualization", span(moments, "start", "end"))
        crowd.add("doors of all machines", span(moments, "master open", "all open"))
        crowd.add("memory of the daemon before", f"{before:.1f} MiB")
        crowd.add("growth at the most", f"{watch.memory - before:.1f} MiB")
        crowd.add("SSH servers the daemon itself connected to", len(watch.all))
        crowd.add("connections to one of them at once, at the most", max(watch.at_once.values()))
        crowd.add("connections to one of them all in all", max(map(len, watch.all.values())))
        daemon.delete(path)
    finally:
        daemon.stop()
    return ratio, phases, warm, crowd
