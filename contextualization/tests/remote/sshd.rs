//! A private sshd on loopback: its own mount and process namespaces with an `/etc`, a `/home` and a `/root` of its own,
//! so that logins, passwords and keys are real and vanish with it. Needs root.

use contextualization::{
    KeyPair,
    ssh::{ConnectRequest, Endpoint, HostKeyPolicy, Login, SshSession, keys},
};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Long enough for a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Logins of every server, all with the key of the server: name, password, line of sudoers.
pub const USERS: [(&str, &str, &str); 4] = [
    ("easy", "pw-easy", "easy ALL=(ALL) NOPASSWD:ALL"),
    ("asked", "pw-asked", "asked ALL=(ALL) ALL"),
    ("poor", "pw-poor", ""),
    ("keyless", "p'w\"$\\`: x", "keyless ALL=(ALL) NOPASSWD:ALL"),
];

const START: &str = r#"set -e
dir=$1; port=$2; shift 2
mount --make-rprivate /
mount -t tmpfs none "$dir/fs"
mkdir "$dir/fs/up" "$dir/fs/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$dir/fs/up,workdir=$dir/fs/work" none /etc
mount -t tmpfs -o mode=755 none /home
mount -t tmpfs -o mode=700 none /root
mkdir -p /run/sshd
authorize() { mkdir -m 700 "$1/.ssh"; cp "$dir/key.pub" "$1/.ssh/authorized_keys"; }
authorize /root
id=2000
while IFS='	' read -r name hash sudo; do
  echo "$name:x:$id:$id::/home/$name:/bin/sh" >> /etc/passwd
  echo "$name:x:$id:" >> /etc/group
  echo "$name:$hash:19000:0:99999:7:::" >> /etc/shadow
  echo "$sudo" >> /etc/sudoers.d/test
  mkdir "/home/$name"
  [ "$name" = keyless ] || authorize "/home/$name"
  chown -R "$id:$id" "/home/$name"
  id=$((id + 1))
done < "$dir/users"
chmod 440 /etc/sudoers.d/test
: > /etc/ssh/sshd_config
exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config -p "$port" -h "$dir/host" -o ListenAddress=127.0.0.1 -o UsePAM=no \
  -o PermitRootLogin=yes -o StrictModes=no -o PidFile=none -o MaxStartups=200 "$@""#;

/// A running server, ended when dropped.
pub struct Sshd {
    child: Child,
    dir: TempDir,
    port: u16,
    /// The key that every login but `keyless` accepts.
    pub key: KeyPair,
}

impl Sshd {
    /// Starts a server with further `-o` options.
    pub fn start(options: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_on(port, options)
    }

    /// Starts a server on a given port.
    pub fn start_on(port: u16, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let key = keys::generate(Default::default()).unwrap();
        fs::create_dir(path.join("fs")).unwrap();
        fs::write(path.join("key.pub"), format!("{}\n", key.public)).unwrap();
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path.join("host")));
        let users: String = USERS
            .iter()
            .map(|(name, password, sudo)| {
                let hash = run(Command::new("openssl").args(["passwd", "-6", password]));
                format!("{name}\t{}\t{sudo}\n", hash.trim())
            })
            .collect();
        fs::write(path.join("users"), users).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", START, "sshd"])
            .arg(path)
            .arg(port.to_string())
            .args(options.iter().flat_map(|option| ["-o", option]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("log")).unwrap())
            .spawn()
            .unwrap();
        let sshd = Self { child, dir, port, key };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < SOON, "sshd does not start: {}", sshd.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new("127.0.0.1", self.port)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its host key.
    pub fn host_key(&self) -> String {
        fs::read_to_string(self.dir.path().join("host.pub")).unwrap()
    }

    /// A login with the server's key.
    pub fn login(&self) -> Vec<Login> {
        vec![Login::PrivateKey(self.key.private.clone())]
    }

    /// A connection as a user, to any host key.
    pub fn request(&self, user: &str, logins: Vec<Login>) -> ConnectRequest {
        let host_key = HostKeyPolicy::off();
        ConnectRequest { endpoint: self.endpoint(), user: user.to_owned(), logins, host_key, timeout: SOON }
    }

    /// A session of a user, with the server's key.
    pub async fn session(&self, user: &str) -> SshSession {
        SshSession::connect(self.request(user, self.login())).await.unwrap_or_else(|e| panic!("{e}: {}", self.log()))
    }

    /// Ends it and all its connections at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Standard output of a local command that must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
