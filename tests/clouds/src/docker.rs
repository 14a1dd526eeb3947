//! A real Docker Engine (Debian: docker.io), in a network namespace of its own: its bridges and ports are nobody else's, and
//! its API is a socket in a directory that goes with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::proxy::Proxy;
use connectors::{
    ProviderId,
    conformance::{Backstage, Fate},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Name of the image that containers are made of.
pub const IMAGE: &str = "imd/test:1";
/// The longest that the engine may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands of the test image that are the tool box under another name.
const APPLETS: [&str; 22] = [
    "sh", "cat", "mkdir", "chmod", "chown", "rm", "grep", "id", "echo", "sleep", "adduser", "chpasswd", "passwd",
    "true", "test", "[", "ls", "printf", "kill", "touch", "env", "su",
];

/// An engine with one image; it ends, with all that it holds, when it is dropped.
pub struct Engine {
    directory: TempDir,
    daemon: Child,
    proxy: Option<Proxy>,
}

impl Engine {
    /// Starts an engine and the proxy in front of it.
    ///
    /// # Panics
    /// When it does not start, with its log.
    pub async fn start() -> Self {
        let mut engine = Self::bare(&["unshare", "--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "-"], &[]);
        let root = engine.directory.path().join("root.tar");
        fs::write(&root, archive()).unwrap();
        engine.import(&root);
        engine.proxy = Some(Proxy::start(engine.socket()).await.unwrap());
        engine
    }

    /// Starts an engine in the network namespace of the caller, which must have no other: all call their bridge alike. Its
    /// image has the root of this archive, and its API is served at this port of 127.0.0.1, too.
    ///
    /// # Panics
    /// When it does not start, with its log.
    #[must_use]
    pub fn of(root: &Path, port: u16) -> Self {
        let address = format!("tcp://127.0.0.1:{port}");
        let pool = "base=100.127.128.0/17,size=24";
        let options = ["-H", &address, "--tls=false", "--bip=100.127.0.1/24", "--default-address-pool", pool];
        let engine = Self::bare(&[], &options);
        engine.import(root);
        engine
    }

    fn bare(before: &[&str], options: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("imd-docker-").tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("data")).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let mut command = Command::new(before.first().copied().unwrap_or("dockerd"));
        if !before.is_empty() {
            command.args(&before[1..]).arg("dockerd");
        }
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("--pidfile").arg(at("pid"));
        command.arg("-H").arg(format!("unix://{}", at("socket").display()));
        command.args(["--storage-driver=overlay2", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]);
        command.args(["--ip=127.0.0.1", "--live-restore=false", "--shutdown-timeout=5"]).args(options);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = command.spawn().expect("dockerd cannot be started: apt-get install docker.io");
        let engine = Self { directory, daemon, proxy: None };
        let start = Instant::now();
        while !engine.docker(&["version"]).status.success() {
            let log = || fs::read_to_string(engine.directory.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "the engine does not start: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        engine
    }

    /// Socket of its API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The proxy in front of its API.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// Makes the image of an archive of its root.
    fn import(&self, root: &Path) {
        let done = self.docker(&["import", root.to_str().unwrap(), IMAGE]);
        assert!(done.status.success(), "{done:?}");
    }

    /// Runs the engine's own client.
    ///
    /// # Panics
    /// When there is none.
    pub fn docker(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command.output().expect("docker cannot be started: apt-get install docker.io")
    }

    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.docker(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let running = self.lines(&["ps", "-aq"]);
        if !running.is_empty() {
            let mut arguments = vec!["rm", "-fv"];
            arguments.extend(running.iter().map(String::as_str));
            self.docker(&arguments);
        }
        // It ends its own children when it is asked to end, which its parent waits for.
        if let Ok(pid) = fs::read_to_string(self.directory.path().join("pid")) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
        let start = Instant::now();
        while self.daemon.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > PATIENCE {
                let _ = self.daemon.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        unmount(self.directory.path());
    }
}

/// What an engine leaves mounted below its directory.
fn unmount(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(directory));
    for at in below.collect::<Vec<_>>().into_iter().rev() {
        let _ = Command::new("umount").args(["-l", at]).status();
    }
}

impl Backstage for Engine {
    fn fail(&self, request: Option<(u32, Fate)>) {
        self.proxy().fail(request);
    }

    fn requests(&self) -> u32 {
        self.proxy().requests()
    }

    fn holdings(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (kind, arguments) in [
            ("container", &["ps", "-a", "--format", "{{.Names}}"][..]),
            ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
            ("network", &["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]),
            ("image", &["image", "ls", "-a", "--format", "{{.Repository}}:{{.Tag}}"]),
        ] {
            all.extend(
                self.lines(arguments).into_iter().filter(|name| name != IMAGE).map(|name| format!("{kind} {name}")),
            );
        }
        all.sort();
        all
    }

    fn make_users_volume(&self) -> String {
        format!("docker://engine/volume/{}", self.lines(&["volume", "create"])[0])
    }

    fn delete_users_volume(&self, url: &str) -> bool {
        self.docker(&["volume", "rm", url.rsplit('/').next().unwrap_or_default()]).status.success()
    }

    fn user_data(&self, _machine: &ProviderId) -> Option<String> {
        None
    }
}

/// The root of a container that boots and has nobody to log in to: a tool box of static programs, and in the places of the
/// secure shell programs that do as if.
fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, name, content).unwrap();
    };
    let tools = fs::read("/bin/busybox").expect("no /bin/busybox: apt-get install busybox-static");
    add("bin/busybox", 0o755, &tools);
    add("usr/sbin/sshd", 0o755, b"#!/bin/sh\ntrap 'exit 0' TERM\nsleep 3600 &\nwait\n");
    add("usr/bin/ssh-keygen", 0o755, b"#!/bin/sh\n");
    add("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    add("etc/group", 0o644, b"root:x:0:\n");
    add("etc/shadow", 0o600, b"root:*:19000:0:99999:7:::\n");
    for name in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        archive.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    archive.into_inner().unwrap()
}
