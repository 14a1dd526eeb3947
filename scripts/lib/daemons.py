"""imd and the reference (IM 1.19.1), started side by side on loopback for measurements and comparisons."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REFERENCE = "IM==1.19.1"


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **options):
    subprocess.run(command, check=True, **options)


def need_root():
    if os.geteuid() != 0:
        sys.exit("run this as root: the reference gets a mount namespace of its own")


def need_program(program, package):
    """Installs a Debian package unless its program is there."""
    if not shutil.which(program):
        say("installing " + package)
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-qq", "-y", "--no-install-recommends", package, stdout=subprocess.DEVNULL)


def build(profile, *arguments):
    """Builds imd; the path of the program."""
    say("building")
    release = ["--release"] if profile == "release" else []
    run("cargo", "build", "--locked", "--quiet", *release, *(arguments or ("--bin", "imd")), cwd=ROOT)
    return os.path.join(ROOT, "target", profile, "imd")


def environment(work, program, requirement):
    """The folder of programs of a virtual environment with one package, made at the first need."""
    venv = os.path.join(work, "venv")
    if not os.path.exists(os.path.join(venv, "bin", program)):
        say("installing " + requirement)
        run(sys.executable, "-m", "venv", venv)
        run(os.path.join(venv, "bin", "pip"), "install", "-q", requirement)
    return os.path.join(venv, "bin")


def reference(work):
    """The virtual environment with the reference, made at the first need."""
    return os.path.dirname(environment(work, "im_service", REFERENCE))


def need_module(venv, module):
    """Installs a package into a virtual environment unless its module is there."""
    python = os.path.join(venv, "bin", "python3")
    if subprocess.run([python, "-c", "import " + module], stderr=subprocess.DEVNULL).returncode != 0:
        say("installing " + module)
        run(python, "-m", "pip", "install", "-q", module)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server: started, asked, measured, stopped by its own pid."""

    def __init__(self, name, command, port, health="/version", cwd=None, rpc_port=None):
        self.name, self.port, self.rpc_port = name, port, rpc_port
        self.log = open(os.path.join(cwd, "out.log"), "wb")
        start = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=cwd, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        while True:
            try:
                with urllib.request.urlopen(self.url(health), timeout=5) as answer:
                    answer.read()
                    break
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    sys.exit("%s ended at once; see %s" % (name, self.log.name))
                if time.perf_counter() - start > 60:
                    sys.exit("%s does not answer; see %s" % (name, self.log.name))
                time.sleep(0.002)
        self.start_time = time.perf_counter() - start

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def memory(self):
        """Resident memory in MiB."""
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_imd(binary, work, number=0, xmlrpc=False, options="", kind=Server):
    folder = os.path.join(work, "imd%d" % number)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    port, rpc_port = free_port(), free_port()
    with open(os.path.join(folder, "im.cfg"), "w") as config:
        config.write(f"""[im]
REST_ADDRESS = 127.0.0.1
REST_PORT = {port}
ACTIVATE_XMLRPC = {xmlrpc}
XMLRCP_ADDRESS = 127.0.0.1
XMLRCP_PORT = {rpc_port}
DATA_DB = sqlite://{folder}/imd.sqlite
DATA_KEY_FILE = {folder}/key
LOG_FILE = {folder}/imd.log
LOG_LEVEL = ERROR
MAX_SIMULTANEOUS_LAUNCHES = 5
{options}
""")
    return kind("imd", [binary, "--config", f"{folder}/im.cfg"], port, cwd=folder, rpc_port=rpc_port)


def start_reference(venv, work, kind=Server, keep=False):
    """With `keep`, over the database that an earlier one left."""
    folder = os.path.join(work, "reference")
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("upper", "work"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    port, rpc_port = free_port(), free_port()
    command = reference_command(venv, folder, port, rpc_port, f"sqlite://{folder}/inf.dat")
    return kind("reference", command, port, cwd=folder, rpc_port=rpc_port)


def reference_command(venv, folder, port, rpc_port, database, program="im_service"):
    """What starts the reference in the foreground; it keeps its files in the folder."""
    # Its configuration gives % a meaning.
    database = database.replace("%", "%%")
    with open(os.path.join(folder, "im.cfg"), "w") as config:
        config.write(f"""[im]
ACTIVATE_REST = True
REST_ADDRESS = 127.0.0.1
REST_PORT = {port}
XMLRCP_ADDRESS = 127.0.0.1
XMLRCP_PORT = {rpc_port}
DATA_DB = {database}
LOG_FILE = {folder}/im.log
LOG_LEVEL = ERROR
MAX_SIMULTANEOUS_LAUNCHES = 5
""")
    # Its configuration can only lie in /etc/im: give it an /etc of its own.
    script = f"""set -e
mount --make-rprivate /
mkdir -p {folder}/upper {folder}/work
mount -t overlay -o lowerdir=/etc,upperdir={folder}/upper,workdir={folder}/work overlay /etc
mkdir -p /etc/im && cp {folder}/im.cfg /etc/im/im.cfg
exec {venv}/bin/python3 {venv}/bin/{program}"""
    return ["unshare", "--mount", "bash", "-c", script]
