//! One command that checks, describes and prepares a machine.

use crate::ssh::{ExecLimits, SshError, SshSession};
use std::time::Duration;

const SCRIPT: &str = include_str!("node.sh");

/// What is to be done on a machine.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NodeTask {
    /// Passwords that sudo may want: the current one, and the new one in case it is installed already. At most two.
    pub sudo_passwords: Vec<String>,
    /// Password to set for the login user, without newline.
    pub new_password: Option<String>,
    /// Public keys to authorize for the login user, each once.
    pub authorize: Vec<String>,
}

impl std::fmt::Debug for NodeTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeTask").field("authorize", &self.authorize).finish_non_exhaustive()
    }
}

/// How the login user becomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sudo {
    /// It is root.
    Root,
    /// sudo without password.
    NoPassword,
    /// sudo with the password.
    Password,
}

/// A Python interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Absolute path.
    pub path: String,
    /// Major, minor, patch.
    pub version: (u32, u32, u32),
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Kernel name (`vda`).
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

/// What a machine says of itself; hostile text, cut to a sane size and free of control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// How to become root.
    pub sudo: Sudo,
    /// `ID` of os-release (`debian`), empty when unknown.
    pub os: String,
    /// `ID_LIKE` of os-release.
    pub os_like: String,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// Machine type (`x86_64`).
    pub machine: String,
    /// The interpreters found, the default `python3` first.
    pub pythons: Vec<Python>,
    /// `/etc/machine-id`, empty when absent.
    pub machine_id: String,
    /// Id of this boot.
    pub boot_id: String,
    /// Block devices without loops and the like.
    pub disks: Vec<BlockDevice>,
    /// Available memory in bytes.
    pub memory_available: u64,
}

impl NodeFacts {
    /// The interpreter Ansible finds first.
    #[must_use]
    pub fn python(&self) -> Option<&Python> {
        self.pythons.first()
    }
}

/// A prepared machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What it is.
    pub facts: NodeFacts,
    /// Whether the asked password was set; none when none was asked.
    pub password_changed: Option<bool>,
}

/// Why a machine could not be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The login user cannot become root.
    #[error("user {user} cannot use sudo ({reason}): allow it in sudoers, or give the right password")]
    SudoDenied {
        /// The login name.
        user: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The key could not be written.
    #[error("the key of the infrastructure could not be written to ~/.ssh/authorized_keys of user {0}")]
    KeysRefused(String),
    /// A password with a newline cannot be set.
    #[error("a password must not contain a newline")]
    NewlineInPassword,
    /// The machine answered something unexpected.
    #[error("the machine answered unexpectedly: {0}")]
    Unexpected(String),
    /// The connection or the command failed.
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// Runs the preparation on a session. Repeating it is harmless.
///
/// # Errors
/// [`AccessError`].
pub async fn prepare_node(session: &SshSession, task: &NodeTask) -> Result<Prepared, AccessError> {
    let input = input(task)?;
    let limits = ExecLimits { stdout: 64 << 10, stderr: 8 << 10, time: Duration::from_secs(60) };
    let output = session.exec_with_input(&["sh", "-c", SCRIPT, "prepare"], input.as_bytes(), limits).await?;
    if !output.success() {
        return Err(session.failed(&output).into());
    }
    parse(&String::from_utf8_lossy(&output.stdout), session.user())
}

fn input(task: &NodeTask) -> Result<String, AccessError> {
    let password = |i: usize| task.sudo_passwords.get(i).map_or("", String::as_str);
    let lines = [password(0), password(1), task.new_password.as_deref().unwrap_or("")];
    if lines.iter().any(|line| line.contains(['\n', '\0'])) {
        return Err(AccessError::NewlineInPassword);
    }
    let keys = task.authorize.iter().flat_map(|key| key.lines()).map(str::trim);
    Ok(lines.into_iter().chain(keys).flat_map(|line| [line, "\n"]).collect())
}

fn parse(text: &str, user: &str) -> Result<Prepared, AccessError> {
    let text = text.replace(|c: char| c.is_control() && c != '\n', " ");
    let all = |name: &'static str| {
        text.lines().filter_map(move |line| line.split_once('=').filter(|(n, _)| *n == name)).map(|(_, value)| value)
    };
    let one = |name| all(name).next().unwrap_or_default().chars().take(200).collect::<String>();
    if one("end") != "1" {
        return Err(AccessError::Unexpected("its report is incomplete".to_owned()));
    }
    if one("keys") != "ok" {
        return Err(AccessError::KeysRefused(user.to_owned()));
    }
    let denied = |reason| AccessError::SudoDenied { user: user.to_owned(), reason };
    let sudo = match one("sudo").as_str() {
        "root" => Sudo::Root,
        "nopassword" => Sudo::NoPassword,
        "password" => Sudo::Password,
        "missing" => return Err(denied("sudo is not installed")),
        _ => return Err(denied("not allowed, or the password is wrong")),
    };
    let mut pythons: Vec<Python> = Vec::new();
    for python in all("python").filter_map(python) {
        if pythons.iter().all(|known| known.path != python.path) {
            pythons.push(python);
        }
    }
    let disk = |line: &str| {
        let (name, sectors) = line.split_once(' ')?;
        Some(BlockDevice { name: name.to_owned(), size: sectors.parse::<u64>().ok()?.checked_mul(512)? })
    };
    Ok(Prepared {
        facts: NodeFacts {
            sudo,
            os: one("os"),
            os_like: one("os_like"),
            os_version: one("os_version"),
            machine: one("machine"),
            pythons,
            machine_id: one("machine_id"),
            boot_id: one("boot_id"),
            disks: all("disk").filter_map(disk).collect(),
            memory_available: one("memory").parse::<u64>().unwrap_or(0).saturating_mul(1024),
        },
        password_changed: all("changed").next().map(|changed| changed == "yes"),
    })
}

/// `VERSION PATH`
fn python(line: &str) -> Option<Python> {
    let (version, path) = line.split_once(' ')?;
    let mut numbers = version.split('.').map(|n| n.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(Python { version: (next()?, next()?, next()?), path: path.to_owned() })
}
