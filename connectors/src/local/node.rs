//! A running node: its namespaces, its root and its first process.
//!
//! A thread of its own enters new namespaces, builds the node around itself and starts process 1 there; then it ends.
//! Everything it mounted and every network card lives exactly as long as the processes of the node, so a daemon that
//! dies half-way leaves nothing, and a node that dies leaves only its files.

use super::{
    mark::{Card, Process},
    network,
    tool::{During, Result, run},
    tree::short_name,
};
use ipnetwork::Ipv4Network;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::{
        signal::{Signal, kill},
        stat::{Mode, SFlag, makedev, mknod},
    },
    unistd::{Pid, chdir, pivot_root, sethostname},
};
use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

const INIT: &str = include_str!("init.sh");
const MAIN: &str = include_str!("main.sh");

/// Everything a boot needs.
pub(super) struct Boot {
    pub uid: String,
    pub fqdn: String,
    /// Directory with `upper`, `work` and `root`.
    pub folder: PathBuf,
    pub cards: Vec<Card>,
    /// Where the public networks are.
    pub public_pool: Ipv4Network,
    /// Whether inbound packets are filtered.
    pub filter: bool,
    /// Name below `/dev` and device number of each data disk.
    pub disks: Vec<(String, u64)>,
    /// The boot id that the node sees (a UUID).
    pub boot_id: String,
}

/// A first process that waits for leave; it ends by itself when dropped without [`Waiting::go`].
pub(super) struct Waiting {
    pub process: Process,
    leave: File,
}

impl Waiting {
    /// Lets the node boot.
    pub fn go(mut self) -> Result<()> {
        self.leave.write_all(b"go\n").during("starting the node")
    }
}

impl Boot {
    /// Builds the node and starts its first process, which waits.
    pub fn start(self) -> Result<Waiting> {
        let uid = self.uid.clone();
        let cards = self.cards.clone();
        for index in 0..cards.len() {
            // The cable of an earlier boot may not have vanished yet.
            network::remove_interface(&network::cable(&uid, index))?;
        }
        let runtime = Handle::current();
        // Its namespaces are the thread's alone: it must not go back to a pool.
        let thread = std::thread::Builder::new()
            .name("local-node".to_owned())
            .spawn(move || self.build(&runtime))
            .during("starting a thread")?;
        let (pid, leave) = thread.join().map_err(|_| std::io::Error::other("thread failed")).during("booting")??;
        run("ip", &["-batch", "-"], &network::outside(&uid, &cards))?;
        let start_time = start_time(pid)
            .ok_or_else(|| std::io::Error::other("its first process ended at once"))
            .during("starting the node")?;
        Ok(Waiting { process: Process { pid, start_time, boot_id: host_boot_id()? }, leave })
    }

    fn build(self, runtime: &Handle) -> Result<(i32, File)> {
        let console = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("console.log"))
            .during("opening the console log")?;
        unshare(
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC,
        )
        .during("making namespaces")?;
        sethostname(short_name(&self.fqdn)).during("setting the host name")?;
        run("ip", &["-batch", "-"], &network::inside(&self.uid, &self.cards, std::process::id(), self.public_pool))?;
        if self.filter
            && let Some(rules) = network::filter(&self.cards)
        {
            run("nft", &["-f", "-"], &rules)?;
        }
        self.mount_root()?;

        unshare(CloneFlags::CLONE_NEWPID).during("making a process namespace")?;
        let error = console.try_clone().during("opening the console log")?;
        let _runtime = runtime.enter();
        let mut child = tokio::process::Command::new("/usr/bin/setsid")
            .args(["/bin/sh", "/run/imd/init.sh"])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(console))
            .stderr(Stdio::from(error))
            .spawn()
            .during("starting the first process")?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let stdin = child.stdin.take().map(tokio::process::ChildStdin::into_owned_fd).transpose();
        // Dropping the child leaves it running; the runtime collects it when it ends.
        match (pid, stdin.during("starting the first process")?) {
            (Some(pid), Some(stdin)) => Ok((pid, File::from(stdin))),
            _ => Err(std::io::Error::other("no process")).during("starting the first process"),
        }
    }

    /// Mounts the node's root and makes it the root of this thread.
    fn mount_root(&self) -> Result<()> {
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).during("separating mounts")?;
        let root = self.folder.join("root");
        let options = format!(
            "lowerdir=/,upperdir={},workdir={}",
            self.folder.join("upper").display(),
            self.folder.join("work").display()
        );
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .during("mounting the node's root")?;
        let tmpfs = |path: &str, options: &str| {
            mount(Some("tmpfs"), &root.join(path), Some("tmpfs"), MsFlags::MS_NOSUID, Some(options))
                .during(format_args!("mounting /{path}"))
        };
        tmpfs("dev", "mode=755,size=16m")?;
        tmpfs("tmp", "mode=1777")?;
        tmpfs("run", "mode=755")?;
        self.fill_dev(&root.join("dev"))?;
        tmpfs("dev/shm", "mode=1777")?;
        let kernel = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        if let Err(error) = mount(Some("sysfs"), &root.join("sys"), Some("sysfs"), kernel | MsFlags::MS_RDONLY, none) {
            tracing::debug!(%error, "node has no /sys");
        }
        let run = root.join("run");
        for (folder, mode) in [("imd", 0o755), ("sshd", 0o755), ("lock", 0o1777)] {
            fs::create_dir(run.join(folder))
                .and_then(|()| fs::set_permissions(run.join(folder), Permissions::from_mode(mode)))
                .during(format_args!("making /run/{folder}"))?;
        }
        for (file, text) in [("boot_id", format!("{}\n", self.boot_id).as_str()), ("init.sh", INIT), ("main.sh", MAIN)]
        {
            let path = run.join("imd").join(file);
            fs::write(&path, text).during(format_args!("writing {}", path.display()))?;
        }

        // pivot_root(2): with the same directory twice, the old root ends on top of the new one.
        chdir(&root)
            .and_then(|()| pivot_root(".", "."))
            .and_then(|()| umount2(".", MntFlags::MNT_DETACH))
            .and_then(|()| chdir("/"))
            .during("entering the node's root")
    }

    fn fill_dev(&self, dev: &Path) -> Result<()> {
        let devices = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];
        let devices = devices.map(|(name, minor)| (name, makedev(1, minor)));
        for (name, number) in devices.into_iter().chain([("tty", makedev(5, 0))]) {
            device(&dev.join(name), SFlag::S_IFCHR, 0o666, number)?;
        }
        for (name, number) in &self.disks {
            device(&dev.join(name), SFlag::S_IFBLK, 0o660, *number)?;
        }
        for folder in ["pts", "shm"] {
            fs::create_dir(dev.join(folder)).during("filling /dev")?;
        }
        let options = "newinstance,ptmxmode=0666,mode=620,gid=5";
        mount(Some("devpts"), &dev.join("pts"), Some("devpts"), MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, Some(options))
            .during("mounting /dev/pts")?;
        let links =
            [("pts/ptmx", "ptmx"), ("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")];
        links.into_iter().try_for_each(|(to, name)| symlink(to, dev.join(name))).during("filling /dev")
    }
}

/// Makes a device file, whatever the umask.
pub(super) fn device(path: &Path, kind: SFlag, mode: u32, number: u64) -> Result<()> {
    mknod(path, kind, Mode::empty(), number)
        .map_err(std::io::Error::from)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .during(format_args!("making {}", path.display()))
}

/// The boot of the host.
pub(super) fn host_boot_id() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").during("reading the boot id")?;
    Ok(text.trim().to_owned())
}

/// When a living process started; none when there is none or it is only waiting to be collected.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted from its end.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl Process {
    /// Whether it is this very process that still runs.
    pub fn alive(&self) -> bool {
        host_boot_id().is_ok_and(|id| id == self.boot_id) && start_time(self.pid) == Some(self.start_time)
    }

    /// How long ago it started, as far as the host's clock ticks tell.
    fn age(&self) -> Option<Duration> {
        let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
        // USER_HZ is 100 on every architecture that Linux reports it for.
        Duration::try_from_secs_f64(uptime - self.start_time as f64 / 100.0).ok()
    }

    /// Whether its sshd listens, or had a minute to do so (a node whose sshd was stopped inside is still up).
    pub fn ready(&self) -> bool {
        let listens = |table: &str| {
            fs::read_to_string(format!("/proc/{}/net/{table}", self.pid)).is_ok_and(|text| {
                text.lines().skip(1).any(|line| {
                    let mut fields = line.split_whitespace().skip(1);
                    fields.next().is_some_and(|local| local.ends_with(":0016")) && fields.nth(1) == Some("0A")
                })
            })
        };
        listens("tcp") || listens("tcp6") || self.age().is_none_or(|age| age > Duration::from_secs(60))
    }

    /// Asks everything in the node to end, and after `patience` ends it.
    pub fn stop(&self, patience: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        if !self.wait(patience) {
            self.kill()?;
        }
        Ok(())
    }

    /// Ends the node at once; returns when nothing of it runs.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        if self.wait(Duration::from_secs(20)) {
            return Ok(());
        }
        Err(std::io::Error::from(std::io::ErrorKind::TimedOut)).during("waiting for the end of the node")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if !self.alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Err(nix::errno::Errno::ESRCH) => Ok(()),
            other => other.during("ending the node"),
        }
    }

    /// The kernel ends process 1 of a namespace only after all others in it.
    fn wait(&self, patience: Duration) -> bool {
        let started = Instant::now();
        while self.alive() {
            if started.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}
