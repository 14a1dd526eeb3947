//! The writable layer of a node before its first boot: names, users, keys, and what of the host it must not see.
//!
//! The layer lies over the host's root in an overlay (kernel documentation, filesystems/overlayfs), so a directory is
//! hidden by a directory with the attribute `trusted.overlay.opaque`, a file by a character device 0/0.

use super::{
    mark::Card,
    tool::{During, Result},
};
use crate::error::{ConnectorError, ErrorClass};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

/// What makes one node differ from another.
pub(super) struct Identity<'a> {
    pub fqdn: &'a str,
    /// 32 hexadecimal digits.
    pub machine_id: String,
    pub user: &'a str,
    /// Password in crypt(5) form.
    pub password: Option<String>,
    /// Lines for `authorized_keys`.
    pub public_key: Option<&'a str>,
    /// Private host key of sshd.
    pub host_key: &'a str,
    pub cards: &'a [Card],
    /// Script of the first boot.
    pub first_boot: Option<String>,
}

/// The short name of a node: its fully qualified name up to the first dot.
pub(super) fn short_name(fqdn: &str) -> &str {
    fqdn.split('.').next().unwrap_or(fqdn)
}

/// Refuses names that could not be written into `/etc/hosts`, `/etc/passwd` and sudoers as they are.
pub(super) fn check_names(fqdn: &str, user: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let user_letter = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let fault = if fqdn.len() > 253 || !fqdn.split('.').all(label) {
        format!("'{fqdn}' is not a host name")
    } else if !(1..=32).contains(&user.len())
        || !user.bytes().all(user_letter)
        || !user.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
    {
        format!("'{user}' is not a user name")
    } else {
        return Ok(());
    };
    Err(ConnectorError::new(ErrorClass::Invalid, fault))
}

/// The writable layer over the host's root: empty, or with the files of an image.
pub(super) struct Tree<'a> {
    pub upper: &'a Path,
}

impl Tree<'_> {
    /// Writes what makes this node.
    pub fn prepare<'a>(&self, identity: &Identity<'_>, hidden: impl Iterator<Item = &'a Path>) -> Result<()> {
        self.copy_attributes(Path::new(""))?;
        for path in hidden {
            self.hide(path)?;
        }
        self.names(identity)?;
        self.login(identity)?;
        if let Some(script) = &identity.first_boot {
            self.write("var/lib/imd/first-boot", script, 0o700)?;
        }
        self.sshd(identity)
    }

    fn names(&self, identity: &Identity<'_>) -> Result<()> {
        let short = short_name(identity.fqdn);
        self.write("etc/hostname", &format!("{short}\n"), 0o644)?;
        let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for card in identity.cards {
            hosts += &format!("{} {} {short}\n", card.ip, identity.fqdn);
        }
        self.write("etc/hosts", &hosts, 0o644)?;
        self.write("etc/resolv.conf", "# no name server\noptions timeout:1 attempts:1\n", 0o644)?;
        self.write("etc/fstab", "", 0o644)?;
        self.write("etc/machine-id", &format!("{}\n", identity.machine_id), 0o444)
    }

    fn login(&self, Identity { user, password, public_key, .. }: &Identity<'_>) -> Result<()> {
        let passwd = self.below("etc/passwd")?;
        let hash = password.as_deref().unwrap_or("*");
        let known = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == *user);
        let (id, group, home) = match known {
            Some(fields) if fields.len() == 7 => {
                let number = |text: &str| {
                    text.parse::<u32>().map_err(std::io::Error::other).during(format_args!("reading user {user}"))
                };
                let mut own = fields.clone();
                if fields[6].ends_with("nologin") || fields[6].ends_with("false") {
                    own[6] = "/bin/bash";
                }
                let replaced = replace_entry(&passwd, user, &own.join(":"));
                self.write("etc/passwd", &replaced, 0o644)?;
                (number(fields[2])?, number(fields[3])?, fields[5].to_owned())
            }
            _ => {
                let groups = self.below("etc/group")?;
                let taken = |text: &str| -> Vec<u32> {
                    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
                };
                let taken = [taken(&passwd), taken(&groups)].concat();
                let id = (1000..60_000).find(|id| !taken.contains(id)).unwrap_or(60_000);
                let home = format!("/home/{user}");
                let entry = format!("{user}:x:{id}:{id}::{home}:/bin/bash");
                self.write("etc/passwd", &replace_entry(&passwd, user, &entry), 0o644)?;
                self.write("etc/group", &replace_entry(&groups, user, &format!("{user}:x:{id}:")), 0o644)?;
                (id, id, home)
            }
        };
        let shadow = replace_entry(&self.below("etc/shadow")?, user, &format!("{user}:{hash}:19000:0:99999:7:::"));
        self.write("etc/shadow", &shadow, 0o600)?;
        self.write("etc/sudoers.d/90-imd", &format!("{user} ALL=(ALL) NOPASSWD:ALL\n"), 0o440)?;

        let ssh = Path::new(relative(Path::new(&home))).join(".ssh");
        self.folder(&ssh)?;
        let own = |path: &Path, mode: u32| {
            let path = self.upper.join(path);
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .and_then(|()| chown(&path, Some(id), Some(group)))
                .during(format_args!("giving {} to {user}", path.display()))
        };
        own(relative(Path::new(&home)), 0o755)?;
        own(&ssh, 0o700)?;
        let keys = ssh.join("authorized_keys");
        self.write(&keys, &public_key.map(|key| format!("{}\n", key.trim())).unwrap_or_default(), 0o600)?;
        own(&keys, 0o600)
    }

    fn sshd(&self, Identity { password, host_key, .. }: &Identity<'_>) -> Result<()> {
        // The host's own keys must not be the node's.
        for entry in fs::read_dir("/etc/ssh").into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("ssh_host_") {
                self.folder(Path::new("etc/ssh"))?;
                let path = self.upper.join("etc/ssh").join(name);
                match mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)) {
                    Err(nix::errno::Errno::EEXIST) => {}
                    other => other.during("hiding the host's keys")?,
                }
            }
        }
        self.write("etc/ssh/ssh_host_ed25519_key", host_key, 0o600)?;
        let passwords = if password.is_some() { "yes" } else { "no" };
        let config = format!(
            "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication {passwords}\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nUsePAM no\nUseDNS no\nPrintMotd no\n\
             AllowTcpForwarding yes\nSubsystem sftp internal-sftp\nMaxSessions 100\nMaxStartups 100:30:200\n"
        );
        self.write("etc/ssh/sshd_config", &config, 0o644)
    }

    /// The text of a file as the image or else the host has it; empty when there is none.
    fn below(&self, path: &str) -> Result<String> {
        for layer in [self.upper, Path::new("/")] {
            match fs::read_to_string(layer.join(path)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return other.during(format_args!("reading /{path}")),
            }
        }
        Ok(String::new())
    }

    /// Makes a directory in the layer, and those above it, as they are on the host.
    fn folder(&self, path: &Path) -> Result<()> {
        let mut done = PathBuf::new();
        for part in path.components() {
            done.push(part);
            match fs::create_dir(self.upper.join(&done)) {
                Ok(()) => self.copy_attributes(&done)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => Err(error).during(format_args!("making /{}", done.display()))?,
            }
        }
        Ok(())
    }

    /// Gives a directory of the layer the mode and owner that it has on the host.
    fn copy_attributes(&self, path: &Path) -> Result<()> {
        let metadata = fs::metadata(Path::new("/").join(path));
        let (mode, owner, group) = metadata.map_or((0o755, 0, 0), |m| (m.mode() & 0o7777, m.uid(), m.gid()));
        let own = self.upper.join(path);
        fs::set_permissions(&own, Permissions::from_mode(mode))
            .and_then(|()| chown(&own, Some(owner), Some(group)))
            .during(format_args!("making /{}", path.display()))
    }

    /// Hides what the host has in a directory; what the image has in it stays.
    fn hide(&self, host: &Path) -> Result<()> {
        if !host.is_dir() {
            return Ok(());
        }
        // Through a symbolic link the directory has another name, and is hidden there.
        let real = fs::canonicalize(host).during(format_args!("looking at {}", host.display()))?;
        let path = relative(&real);
        self.folder(path)?;
        rustix::fs::setxattr(self.upper.join(path), c"trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
            .during(format_args!("hiding {}", host.display()))
    }

    fn write(&self, path: impl AsRef<Path>, text: &str, mode: u32) -> Result<()> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            self.folder(folder)?;
        }
        let own = self.upper.join(path);
        // What is there may be a white-out, which cannot be written through.
        let _ = fs::remove_file(&own);
        fs::write(&own, text)
            .and_then(|()| fs::set_permissions(&own, Permissions::from_mode(mode)))
            .during(format_args!("writing /{}", path.display()))
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// A database like passwd(5) with the entry of `name` replaced, or added at the end.
fn replace_entry(database: &str, name: &str, entry: &str) -> String {
    let mut lines: Vec<&str> = database.lines().filter(|line| line.split(':').next() != Some(name)).collect();
    lines.push(entry);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        check_names("vnode-1.localdomain", "cloudadm").unwrap();
        check_names("front", "root").unwrap();
        for fqdn in ["", "a b", "a\n10.0.0.1 evil", "a..b", "ä", &"x".repeat(64)] {
            assert!(check_names(fqdn, "root").is_err(), "{fqdn:?}");
        }
        for user in ["", "a:b", "ALL ALL", "../x", "Root", "-x", "a\nb", &"u".repeat(33)] {
            assert!(check_names("a", user).is_err(), "{user:?}");
        }
    }
}
