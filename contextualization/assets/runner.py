#!/usr/bin/env python3
"""Supervises Ansible runs on the master machine (Python >= 3.6, standard library only).

    runner.py CONF_DIR hello
    runner.py CONF_DIR start            plan on standard input
    runner.py CONF_DIR status RUN
    runner.py CONF_DIR tail RUN OFFSET  journal lines from a byte offset, until the run is over
    runner.py CONF_DIR cancel RUN
    runner.py CONF_DIR gc GENERATION    forgets runs of other generations

Each run has a directory CONF_DIR/runs/RUN. Its supervisor lives in a session of its own and holds an exclusive lock on
the file `lock` for as long as it lives, so that neither a reused process number nor a reboot can be mistaken for it.
A plan may name a next run: the same Ansible goes on with its playbook, over the connections that are open, unless a host
failed. The next run has a directory of its own; when it was not come to it is `skipped`, as if it had not been started.
Answers are one JSON object on standard output.
"""
import errno
import fcntl
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time

HEARTBEAT = 5.0
GRACE = 5.0
POLL = 0.1
PROXY_WAIT = 30.0
PROXY_AGAIN = (5.0, 300.0)
# Mitogen that has not begun a task of a play so long after the play never will.
STUCK = 60.0
# Time for ending what a run left on other machines.
PEER_WAIT = 4.0
# Parts of a plan that are secret, or stand elsewhere.
NOT_KEPT = ("secrets", "local_secrets", "proxies", "peers", "vault", "vars")
# Ends all commands of an SSH connection, by a command of the same connection: their sshd is its parent. Services that left
# their parents stay. The password that sudo may ask for comes on standard input.
END_COMMANDS = r"""
IFS= read -r secret
family=" $PPID "
while before=$family; do
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        pid=${line%% *}
        set -- ${line##*) }
        case $family in *" $pid "*) continue ;; esac
        case $family in *" $2 "*) [ "$pid" = $$ ] || [ "$1" = Z ] || family="$family$pid " ;; esac
    done
    [ "$family" = "$before" ] && break
done
family=${family#" $PPID "}
tell() {
    left=
    for pid in $family; do
        [ -d "/proc/$pid" ] && left="$left $pid"
    done
    [ -n "$left" ] || exit 0
    kill "-$1" $left 2>/dev/null && return
    sudo -n kill "-$1" $left 2>/dev/null && return
    [ -z "$secret" ] || printf '%s\n' "$secret" | sudo -S -p '' kill "-$1" $left 2>/dev/null
}
tell TERM
for try in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.1
    gone=yes
    for pid in $family; do
        [ ! -d "/proc/$pid" ] || gone=
    done
    [ -z "$gone" ] || exit 0
done
tell KILL
"""


def boot_id():
    try:
        with open("/proc/sys/kernel/random/boot_id") as f:
            return f.read().strip()
    except OSError:
        return ""


def init_id():
    """Start of process 1: a container that is started anew has the boot id of its host."""
    return start_time(1)


def start_time(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def write_atomically(path, value):
    temporary = path + ".new"
    with open(temporary, "w") as f:
        json.dump(value, f)
        f.flush()
        os.fsync(f.fileno())
    os.rename(temporary, path)


def read_json(path):
    try:
        with open(path) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def is_alive(directory):
    """Whether the supervisor of the run lives: somebody else holds the lock."""
    try:
        fd = os.open(os.path.join(directory, "lock"), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        return e.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(fd)
    return False


def processes():
    """Of every living process: number, parent, session, start."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                fields = f.read().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if fields[0] != "Z":
            yield int(name), int(fields[1]), int(fields[3]), fields[19]


def session_members(session):
    return [pid for pid, _, other, _ in processes() if other == session]


def strays(session):
    """Number and start of processes that come from the session and left it, as sudo does with a terminal of its own."""
    everything = list(processes())
    family = {pid for pid, _, other, _ in everything if other == session}
    while True:
        more = {pid for pid, parent, _, _ in everything if parent in family and pid not in family}
        if not more:
            return {(pid, start) for pid, _, other, start in everything if pid in family and other != session}
        family |= more


def kill_session(session, number, others=frozenset()):
    """Sends a signal to what lives of a session and of other processes; whether there was anything."""
    found, forbidden = False, []
    for pid, _, other, start in list(processes()):
        if other != session and (pid, start) not in others:
            continue
        try:
            os.kill(pid, number)
            found = True
        except PermissionError:
            forbidden.append(str(pid))
        except OSError:
            pass
    if forbidden:
        # Tasks that became root; where sudo wants a password they end with their own connection only.
        command = ["sudo", "-n", "kill", "-%d" % number] + forbidden
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            found = subprocess.call(command, **quiet) == 0 or found
        except OSError:
            pass
    return found


def end_session(session):
    """SIGTERM to everything that belongs to the session, SIGKILL to what is left after the grace time."""
    others = strays(session)
    kill_session(session, signal.SIGTERM, others)
    limit = time.time() + GRACE
    while time.time() < limit and any(s == session or (p, start) in others for p, _, s, start in processes()):
        time.sleep(0.05)
    while kill_session(session, signal.SIGKILL, others):
        time.sleep(0.05)


def end_on_peers(sockets, passwords=()):
    """Ends what a run left on other machines, through the connections that Ansible keeps open to them. `passwords` are those
    that sudo asks for, in the order of the sockets."""
    options = ["-F", "/dev/null", "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    # Without the open connection there is no way: nothing is ever connected anew.
    options += ["-o", "ProxyCommand=false"]
    children = []
    for number, path in enumerate(sockets):
        if not os.path.exists(path):
            continue
        command = ["ssh"] + options + ["-S", path, "--", "peer", "exec", "sh", "-c", quoted(END_COMMANDS)]
        try:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            secret = passwords[number] if number < len(passwords) else None
            child.stdin.write((secret or "").encode() + b"\n")
            child.stdin.close()
        except OSError:
            continue
        children.append(child)
    limit = time.monotonic() + PEER_WAIT
    for child in children:
        try:
            child.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def quoted(text):
    return "'%s'" % text.replace("'", "'\\''")


def delete_secrets(status):
    for path in status.get("secrets", ()):
        shutil.rmtree(path, ignore_errors=True)
        try:
            os.unlink(path)
        except OSError:
            pass


class Proxy:
    """The one connection to a proxy host; ssh processes of Ansible go through it by its control socket."""

    def __init__(self, directory, name, account):
        self.socket = os.path.join(directory, name)
        self.account = account
        self.pid = None
        self.tried, self.pause = float("-inf"), PROXY_AGAIN[0]
        self.said = b""
        for suffix, text in (
            ("key", account.get("key")),
            ("known", account.get("host_key") and "proxy %s\n" % account["host_key"]),
        ):
            if text:
                with open("%s.%s" % (self.socket, suffix), "w", encoding="utf-8") as f:
                    f.write(text)

    def command(self):
        options = ["ControlMaster=yes", "ControlPersist=no", "LogLevel=ERROR", "HostKeyAlias=proxy", "IdentityAgent=none"]
        options += ["GlobalKnownHostsFile=/dev/null", "ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4"]
        options += ["NumberOfPasswordPrompts=1", "IdentitiesOnly=yes"]
        if self.account.get("host_key"):
            options += ["StrictHostKeyChecking=yes", "UserKnownHostsFile=%s.known" % self.socket]
        else:
            options += ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
        if self.account.get("key"):
            options += ["IdentityFile=%s.key" % self.socket]
        else:
            options += ["PubkeyAuthentication=no"]
        if not self.account.get("password"):
            options += ["BatchMode=yes"]
        command = ["ssh", "-F", "/dev/null", "-N", "-S", self.socket, "-p", str(self.account["port"])]
        for option in options:
            command += ["-o", option]
        return command + ["-l", self.account["user"], "--", self.account["host"]]

    def is_open(self):
        return self.pid is not None and os.path.exists(self.socket)

    def tend(self):
        """Starts it when it does not run, answers its question for the password. Never waits."""
        if self.pid is None:
            if time.monotonic() - self.tried < self.pause:
                return
            self.pause = min(2 * self.pause, PROXY_AGAIN[1])
            self.tried, self.said = time.monotonic(), b""
            self.asked = False
            self.pid, self.terminal = pty.fork()
            if self.pid == 0:
                # It ends when this process dies.
                signal.signal(signal.SIGHUP, signal.SIG_DFL)
                try:
                    os.execvp("ssh", self.command())
                finally:
                    os._exit(255)
        while select.select([self.terminal], [], [], 0)[0]:
            try:
                piece = os.read(self.terminal, 4096)
            except OSError:
                piece = b""
            if not piece:
                break
            self.said = (self.said + piece)[-4096:]
        password = self.account.get("password")
        if password and not self.asked and self.said.rstrip().endswith(b":"):
            self.asked = True
            try:
                os.write(self.terminal, password.encode() + b"\n")
            except OSError:
                pass
        if self.is_open():
            self.pause = PROXY_AGAIN[0]
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            os.close(self.terminal)
            self.pid = None

    def reason(self):
        lines = self.said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "no answer"

    def close(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.close(self.terminal)
            os.waitpid(self.pid, 0)
            self.pid = None


def write_text(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        f.write(text)


def readable_once(text):
    """A descriptor whose reader gets the text; nothing of it is left then."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as f:
        f.write(text)
    return reader


def interpreter(command):
    """The Python that runs Ansible: of `python -m ansible`, or of a script's first line."""
    if command[1:2] == ["-m"]:
        return command[0]
    try:
        with open(command[0], "rb") as f:
            line = f.readline(256).decode("utf-8", "replace")
        words = line[2:].split() if line.startswith("#!") else []
    except OSError:
        words = []
    if words and os.path.basename(words[0]) == "env":
        words = [shutil.which(words[-1])]
    return words[0] if words and words[0] else sys.executable


def available_memory():
    """In MB."""
    try:
        with open("/proc/meminfo") as f:
            return [int(line.split()[1]) for line in f if line.startswith("MemAvailable:")][0] // 1024
    except (OSError, IndexError, ValueError):
        return 1024


def forks(wish, available):
    """As many as wished for, as far as memory goes: 30 MB each after 256 MB for the rest, but two."""
    return max(2, min(wish, (available - 256) // 30))


class Supervisor:
    """A run, and maybe a next one: starts ansible-playbook, watches it, writes the last event."""

    def __init__(self, directory, plan, lock, following=None):
        self.directory = directory
        self.plan = plan
        self.lock = lock
        # Directory and lock of the next run.
        self.following = following
        self.log = self.path("runner.log")
        self.stop = None
        self.grown = None
        self.proxies = []
        self.status = {
            "run": plan["run"],
            "state": "running",
            "pid": os.getpid(),
            "start_time": start_time(os.getpid()),
            "boot_id": boot_id(),
            "init_id": init_id(),
        }

    def path(self, name):
        return os.path.join(self.directory, name)

    def beat(self):
        self.status["ts"] = time.time()
        write_atomically(self.path("status.json"), self.status)
        if self.following:
            write_atomically(os.path.join(self.following[0], "status.json"), self.next_status())

    def next_status(self):
        return dict(self.status, run=self.plan["next"]["run"])

    def go_on(self):
        """Once the playbook of the next run has begun, this run is over and the next one is supervised."""
        if not self.following or not os.path.getsize(os.path.join(self.following[0], "events.jsonl")):
            return
        (directory, lock), status = self.following, self.next_status()
        self.following = None
        # What belongs to the process belongs to the next run now.
        for name in ("session", "secrets", "sockets"):
            self.status.pop(name, None)
        self.finish(0, "finished")
        os.close(self.lock)
        self.directory, self.lock, self.status = directory, lock, status
        self.beat()

    def skip_next(self):
        if self.following:
            directory, lock = self.following
            self.following = None
            write_atomically(os.path.join(directory, "status.json"), {"run": self.plan["next"]["run"], "state": "skipped"})
            os.close(lock)

    def secret_path(self):
        """A new path, in memory where possible. It is noted first: who ends a killed run deletes what is there."""
        parent = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else self.plan["conf_dir"]
        path = os.path.join(parent, ".im-%s" % os.urandom(8).hex())
        self.status.setdefault("secrets", []).append(path)
        self.beat()
        return path

    def secrets_inventory(self):
        """Passwords that sudo asks for, as an inventory of its own: in memory where possible, readable by its owner alone,
        deleted after the run. Those of localhost stand beside it, so that localhost is not in a group."""
        files = {"hosts": self.plan.get("secrets"), "host_vars/localhost.yml": self.plan.get("local_secrets")}
        if not any(files.values()):
            return []
        files["hosts"] = files["hosts"] or "all: {}\n"
        directory = self.secret_path()
        os.mkdir(directory, 0o700)
        os.mkdir(os.path.join(directory, "host_vars"), 0o700)
        for name, text in files.items():
            if text:
                write_text(os.path.join(directory, name), text)
        return ["-i", os.path.join(directory, "hosts")]

    def open_proxies(self):
        """A private directory for the proxy hosts, deleted after the run, and their connections."""
        accounts = self.plan.pop("proxies", None)
        if not accounts:
            return {}
        directory = self.secret_path()
        os.mkdir(directory, 0o700)
        self.proxies = [Proxy(directory, name, account) for name, account in accounts.items()]
        limit = time.monotonic() + PROXY_WAIT
        while time.monotonic() < limit and not self.stop and not all(p.is_open() for p in self.proxies):
            self.tend_proxies()
            time.sleep(POLL / 2)
        with open(self.log, "a") as log:
            for proxy in self.proxies:
                if not proxy.is_open():
                    where = (proxy.account["host"], proxy.account["port"], proxy.reason())
                    log.write("the proxy host %s:%s does not answer: %s\n" % where)
        # Connections to machines behind a proxy end with this run's connection to it: no other run may share them.
        return {"IM_PROXIES": directory, "ANSIBLE_SSH_CONTROL_PATH_DIR": directory}

    def tend_proxies(self):
        for proxy in self.proxies:
            proxy.tend()

    def close_proxies(self):
        for proxy in self.proxies:
            proxy.close()

    def sockets(self, environment):
        """Where Ansible's connections to the machines of the run are, as its ssh plugin names them."""
        directory = environment.get("ANSIBLE_SSH_CONTROL_PATH_DIR")
        directory = directory or os.path.join(self.plan["conf_dir"], "cp", self.plan["run"].split("-", 1)[0])
        names = ("%s-%s-%s" % tuple(peer[:3]) for peer in self.plan.get("peers", ()))
        return [os.path.join(directory, hashlib.sha1(name.encode()).hexdigest()[:10]) for name in names]

    def forks(self):
        return str(forks(int(self.plan.get("forks", 5)), available_memory()))

    def open_recipe(self, vault, environment):
        """Makes the playbook of a recipe that is encrypted as a whole: opened, given its header and closed again by one
        process, so that its text is in no file."""
        question = dict(vault, conf_dir=self.plan["conf_dir"], playbook=self.plan["playbook"])
        command = [interpreter(self.plan["command"]), os.path.join(self.plan["conf_dir"], ".im", "open_recipe.py")]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        said = child.communicate(json.dumps(question).encode())[0].decode("utf-8", "replace").strip()
        if child.returncode:
            raise OSError(said)

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        environment = {k: os.environ[k] for k in ("HOME", "USER", "LOGNAME", "TZ", "SSL_CERT_FILE") if k in os.environ}
        environment["PATH"] = os.environ.get("PATH") or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment["LC_ALL"] = environment["LANG"] = "C.UTF-8"
        environment.update(self.plan.get("env", {}))
        environment["IM_RUN"] = self.plan["run"]
        environment["IM_EVENTS"] = self.path("events.jsonl")
        playbooks = [self.plan["playbook"]]
        if self.following:
            environment["IM_NEXT_RUN"] = self.plan["next"]["run"]
            environment["IM_NEXT_EVENTS"] = os.path.join(self.following[0], "events.jsonl")
            playbooks.append(self.plan["next"]["playbook"])
        vault, inherited = self.plan.pop("vault", None), []
        command = list(self.plan["command"])
        rc, state = 255, "failed"
        try:
            environment.update(self.open_proxies())
            if vault:
                if vault.get("recipe"):
                    self.open_recipe(vault, environment)
                inherited.append(readable_once(vault["password"]))
                command += ["--vault-password-file", "/proc/self/fd/%d" % inherited[0]]
            vault = None
            command += self.secrets_inventory() + ["--forks", self.forks(), "-e", "@" + self.path("vars.json")]
            command += [os.path.join(self.plan["conf_dir"], playbook) for playbook in playbooks]
            self.plan.pop("secrets", None)
            self.plan.pop("local_secrets", None)
            with open(self.log, "ab") as log:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.plan["conf_dir"],
                    env=environment,
                    start_new_session=True,
                    pass_fds=inherited,
                )
            self.status["session"] = child.pid
            self.status["sockets"] = self.sockets(environment)
            self.beat()
            rc, state = self.watch(child)
        except OSError as e:
            with open(self.log, "a") as log:
                log.write("%s\n" % e if str(e).startswith("VAULT: ") else "cannot start Ansible: %s\n" % e)
        finally:
            for fd in inherited:
                os.close(fd)
            self.close_proxies()
            delete_secrets(self.status)
        self.skip_next()
        self.finish(rc, state)

    def last_event(self):
        with open(self.path("events.jsonl"), "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 65536))
            lines = f.read().splitlines()
        try:
            return json.loads(lines[-1].decode("utf-8", "replace")).get("e")
        except (IndexError, ValueError, AttributeError):
            return None

    def is_stuck(self):
        """Whether mitogen hangs before any task: a play began, and after it nothing, though nothing is waited for there. A
        task may take as long as it likes."""
        if not self.plan.get("env", {}).get("ANSIBLE_STRATEGY", "").startswith("mitogen"):
            return False
        size, now = os.path.getsize(self.path("events.jsonl")), time.monotonic()
        if self.grown is None or self.grown[0] != size:
            self.grown = (size, now)
        return now - self.grown[1] > STUCK and self.last_event() == "play"

    def on_signal(self, _number, _frame):
        self.stop = "cancelled"

    def watch(self, child):
        beat = time.monotonic()
        while True:
            if child.poll() is not None:
                # What a recipe left in the background of this session goes with it.
                kill_session(child.pid, signal.SIGKILL)
                self.go_on()
                return child.returncode, "finished"
            if not self.stop and time.time() > self.plan.get("deadline", float("inf")):
                self.stop = "timeout"
            if self.stop:
                end_session(child.pid)
                end_on_peers(self.status["sockets"], [peer[3] for peer in self.plan.get("peers", ())])
                self.go_on()
                return child.wait(), self.stop
            self.go_on()
            if time.monotonic() - beat > HEARTBEAT:
                beat = time.monotonic()
                self.beat()
                if self.is_stuck():
                    with open(self.log, "a") as log:
                        log.write("mitogen does not begin: it was ended\n")
                    end_session(child.pid)
                    child.wait()
                    return -signal.SIGTERM, "finished"
            self.tend_proxies()
            time.sleep(POLL / 2)

    def finish(self, rc, state):
        sequence, torn = 0, False
        try:
            with open(self.path("events.jsonl"), "rb") as f:
                for line in f:
                    torn = not line.endswith(b"\n")
                    try:
                        sequence = max(sequence, int(json.loads(line.decode("utf-8", "replace")).get("seq", 0)))
                    except (ValueError, AttributeError, TypeError):
                        pass
        except OSError:
            pass
        event = {"v": 1, "run": self.status["run"], "seq": sequence + 1, "ts": time.time(), "e": "run_end"}
        event.update({"rc": rc, "state": state, "tail": self.log_tail()})
        with open(self.path("events.jsonl"), "ab") as f:
            f.write((b"\n" if torn else b"") + json.dumps(event).encode() + b"\n")
            f.flush()
            os.fsync(f.fileno())
        self.status.update({"state": state, "rc": rc, "last_seq": sequence + 1})
        self.beat()

    def log_tail(self):
        try:
            with open(self.log, "rb") as f:
                f.seek(max(0, os.fstat(f.fileno()).st_size - 8192))
                return "\n".join(f.read().decode("utf-8", "replace").splitlines()[-60:])
        except OSError:
            return ""


def take_lock(directory):
    fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def begin(conf_dir, run):
    """Directory and lock of a run that is to start; nothing of the second if it was started before."""
    directory = run_directory(conf_dir, run)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    limit = time.time() + GRACE
    while True:
        try:
            lock = take_lock(directory)
            break
        except OSError:
            # Who skipped it is about to let go of it.
            if read_json(os.path.join(directory, "status.json")).get("state") != "skipped" or time.time() > limit:
                return directory, None
            time.sleep(POLL / 2)
    if read_json(os.path.join(directory, "status.json")).get("state", "skipped") != "skipped":
        os.close(lock)
        return directory, None
    with open(os.path.join(directory, "events.jsonl"), "ab"):
        pass
    return directory, lock


def start(conf_dir):
    plan = json.load(sys.stdin)
    directory, lock = begin(conf_dir, plan["run"])
    if lock is None:
        return dict(status(conf_dir, plan["run"]), already=True)
    following = begin(conf_dir, plan["next"]["run"]) if plan.get("next") else None
    if following and following[1] is None:
        raise SystemExit("the next run was started before")
    plan["conf_dir"] = conf_dir
    write_atomically(os.path.join(directory, "plan.json"), {k: v for k, v in plan.items() if k not in NOT_KEPT})
    write_atomically(os.path.join(directory, "vars.json"), plan.get("vars", {}))
    ready, told = os.pipe()
    if os.fork() == 0:
        os.close(ready)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        supervisor = Supervisor(directory, plan, lock, following)
        supervisor.beat()
        os.close(told)
        try:
            supervisor.run()
        finally:
            os._exit(0)
    os.close(told)
    os.read(ready, 1)
    return status(conf_dir, plan["run"])


def run_directory(conf_dir, run):
    if not run or run.startswith(".") or "/" in run:
        raise SystemExit("bad run id")
    return os.path.join(conf_dir, "runs", run)


def status(conf_dir, run):
    directory = run_directory(conf_dir, run)
    answer = read_json(os.path.join(directory, "status.json"))
    if not answer:
        return {"run": run, "state": "none", "boot_id": boot_id(), "init_id": init_id()}
    if answer.get("state") == "running" and not is_alive(directory):
        # The end may have been written between the two looks.
        answer = read_json(os.path.join(directory, "status.json")) or answer
        if answer.get("state") == "running":
            same = answer.get("boot_id") == boot_id() and answer.get("init_id") == init_id()
            answer["state"] = "lost" if same else "rebooted"
    return answer


def tail(conf_dir, run, offset):
    directory = run_directory(conf_dir, run)
    path = os.path.join(directory, "events.jsonl")
    out = sys.stdout.buffer
    limit = time.time() + 5
    while not os.path.exists(path) and time.time() < limit:
        time.sleep(POLL)
    if not os.path.exists(path):
        out.write(b'{"v":1,"e":"lost"}\n')
        return
    quiet = 0
    with open(path, "rb") as f:
        f.seek(offset)
        while True:
            alive = is_alive(directory)
            piece = f.read(1 << 16)
            if piece:
                out.write(piece)
                out.flush()
                quiet = 0
                continue
            if not alive:
                state = status(conf_dir, run)["state"]
                if state in ("lost", "none", "rebooted"):
                    out.write(b"\n" + json.dumps({"v": 1, "e": "lost", "state": state}).encode() + b"\n")
                return
            quiet += 1
            time.sleep(min(POLL, 0.02 * quiet))


def cancel(conf_dir, run):
    directory = run_directory(conf_dir, run)
    state = status(conf_dir, run)
    if state["state"] == "running":
        try:
            os.kill(state["pid"], signal.SIGTERM)
        except OSError:
            pass
        limit = time.time() + GRACE + PEER_WAIT
        while is_alive(directory) and time.time() < limit:
            time.sleep(0.05)
        if is_alive(directory):
            kill_session(state["pid"], signal.SIGKILL)
    session = state.get("session")
    if session and state.get("boot_id") == boot_id() and state.get("init_id") == init_id():
        if state["state"] == "lost" or is_alive(directory) is False and any(session_members(session)):
            end_session(session)
            end_on_peers(state.get("sockets", ()))
    if not is_alive(directory):
        delete_secrets(state)
    return status(conf_dir, run)


def gc(conf_dir, generation):
    removed = []
    runs = os.path.join(conf_dir, "runs")
    for run in os.listdir(runs) if os.path.isdir(runs) else []:
        if run.split("-", 1)[0] != generation:
            cancel(conf_dir, run)
            shutil.rmtree(os.path.join(runs, run), ignore_errors=True)
            removed.append(run)
    return {"removed": removed}


def main():
    os.umask(0o077)
    conf_dir, command, rest = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if command == "tail":
        return tail(conf_dir, rest[0], int(rest[1]))
    if command == "start":
        answer = start(conf_dir)
    elif command == "status":
        answer = status(conf_dir, rest[0])
    elif command == "cancel":
        answer = cancel(conf_dir, rest[0])
    elif command == "gc":
        answer = gc(conf_dir, rest[0])
    elif command == "hello":
        answer = {"protocol": 1, "python": sys.version.split()[0], "boot_id": boot_id(), "init_id": init_id()}
    else:
        raise SystemExit("unknown command " + command)
    json.dump(answer, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
