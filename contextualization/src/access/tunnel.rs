//! Reverse tunnels: a machine that the master cannot reach brings a port for its SSH to the master
//! (docs/spec/contextualization.md 1.16).
//!
//! The machine makes the key of its tunnel by itself, so that no private key travels. On the master that key opens one
//! port for listening on the loopback address, and no shell, command or connection.

use super::{
    addresses::{on_public_network, public_ip, system},
    master::connected,
};
use crate::ssh::{SshError, SshSession, quote};
use openssl::base64::decode_block;
use radl::Radl;
use std::collections::BTreeMap;

const SCRIPT: &str = include_str!("tunnel.sh");
/// Longest text of a key: RSA of 8192 bits takes 1400 characters.
const LONGEST: usize = 2000;
/// Name that the host key of the master is kept under on the machines.
const MASTER: &str = "imd-master";

/// The port on the master that is kept for a machine; none for numbers beyond the range.
#[must_use]
pub fn tunnel_port(creation_id: u32) -> Option<u16> {
    20_000u32.checked_add(creation_id).and_then(|port| u16::try_from(port).ok())
}

/// Whether the machine is reached by a reverse tunnel alone, as the two documents say.
#[must_use]
pub fn needs_tunnel(machine: &Radl, master: &Radl) -> bool {
    !on_public_network(machine) && !connected(machine, master)
}

/// The public key of a tunnel, `TYPE BASE64` without its comment; none if it is none.
#[must_use]
pub fn tunnel_key(text: &str) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    if text.len() > LONGEST || text.trim_end_matches(['\n', '\r']).contains(['\n', '\r']) {
        return None;
    }
    let known = ["ssh-ed25519", "ssh-rsa"].contains(&kind) || kind.starts_with("ecdsa-sha2-nistp");
    // RFC 4253, 6.6: the blob begins with the length and the name of its type.
    let bytes = decode_block(blob).ok()?;
    let name = bytes.strip_prefix(&u32::try_from(kind.len()).ok()?.to_be_bytes())?;
    (known && name.starts_with(kind.as_bytes()) && blob.len() > 60).then(|| format!("{kind} {blob}"))
}

/// The command by which a machine holds its tunnel open: it runs until the connection breaks. None when the master has
/// no public address, or the machine's number no port. `key` and `known_hosts` are file names on the machine.
#[must_use]
pub fn tunnel_command(master: &Radl, host_key: &str, creation_id: u32) -> Option<String> {
    let port = tunnel_port(creation_id)?;
    let user = system(master)?.credentials().username?;
    let place = public_ip(master)?;
    let known = quote(&["echo", &format!("{MASTER} {host_key}")]);
    let (forward, ssh_port) = (format!("localhost:{port}:localhost:22"), master.ssh_port().to_string());
    let alias = format!("HostKeyAlias={MASTER}");
    let mut line = vec!["ssh", "-N", "-F", "/dev/null", "-R", &forward, "-p", &ssh_port, "-i", "key", "-o", &alias];
    for option in [
        "UserKnownHostsFile=known_hosts",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "ConnectTimeout=20",
        "ExitOnForwardFailure=yes",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
    ] {
        line.extend(["-o", option]);
    }
    line.extend(["-l", &user, "--", place]);
    Some(format!("{known} > known_hosts && exec {}", quote(&line)))
}

/// Lets the machines of these keys, by creation id, open their tunnels on the master, and no others. Repeating it is
/// harmless.
///
/// # Errors
/// The connection, or a file that cannot be written.
pub async fn admit_tunnels(master: &SshSession, keys: &BTreeMap<u32, String>) -> Result<(), SshError> {
    let lines: String = keys.iter().filter_map(|(id, key)| admission(*id, key)).collect();
    let output = master.exec_with_input(&["sh", "-c", SCRIPT], lines.as_bytes(), Default::default()).await?;
    if output.success() { Ok(()) } else { Err(master.failed(&output)) }
}

/// A line of `authorized_keys`, sshd(8). Connections from the master are refused by a place where nobody listens.
fn admission(id: u32, key: &str) -> Option<String> {
    let port = tunnel_port(id)?;
    let rights = format!(r#"permitlisten="localhost:{port}",permitopen="localhost:1",command="exit 1""#);
    Some(format!("restrict,port-forwarding,{rights} {key} imd-tunnel-{id}\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ssh::keys;

    #[test]
    fn keys_are_read_strictly() {
        let public = keys::generate(Default::default()).unwrap().public;
        let plain: Vec<&str> = public.split(' ').take(2).collect();
        for text in [public.clone(), format!("{} me@there\n", plain.join(" "))] {
            assert_eq!(tunnel_key(&text), Some(plain.join(" ")));
        }
        let (kind, blob) = (plain[0], plain[1]);
        for text in [
            String::new(),
            kind.to_owned(),
            format!("{public}\n{public}"),
            format!("command=\"x\" {public}"),
            format!("ssh-dss {blob}"),
            format!("ecdsa-sha2-nistp256 {blob}"),
            format!("{kind} {}", &blob[..40]),
            format!("{kind} {blob}\" x"),
            format!("{kind}  {}", "A".repeat(3000)),
        ] {
            assert!(text.starts_with(&format!("{kind} {blob}\"")) || tunnel_key(&text).is_none(), "{text}");
        }
        // What stands behind the key is a comment, which is not kept.
        assert_eq!(tunnel_key(&format!("{kind} {blob} \" x")), Some(plain.join(" ")));
    }

    #[test]
    fn hostile_documents_stay_words_of_the_command() {
        let info = |user: &str| {
            let text = format!(
                "network n (outbound = 'yes')\nsystem s (net_interface.0.connection = 'n' and net_interface.0.ip = \
                 '198.18.0.2' and disk.0.os.credentials.username = '{user}')"
            );
            Radl::parse(&text).unwrap()
        };
        let line = tunnel_command(&info("root"), "ssh-ed25519 AAAA", 1).unwrap();
        assert!(line.starts_with("'echo' 'imd-master ssh-ed25519 AAAA' > known_hosts && exec 'ssh' -N "), "{line}");
        assert!(line.contains(" -R localhost:20001:localhost:22 -p 22 ") && line.ends_with(" -l root -- 198.18.0.2"));
        let line = tunnel_command(&info("-oX=$(id)"), "k; id", 1).unwrap();
        assert!(line.contains("'imd-master k; id'") && line.contains("-l '-oX=$(id)' --"), "{line}");
        assert_eq!(tunnel_command(&info("root"), "k", 65_000), None);
        assert_eq!(admission(65_000, "k"), None);
    }
}
