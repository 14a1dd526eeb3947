//! Key pairs of machines and infrastructures, made without starting a process: RSA keys of 2048 bits in PEM (RFC 8017,
//! A.1.2), which every client of the Infrastructure Manager reads, and Ed25519 keys in OpenSSH's form (PROTOCOL.key).
//! Public keys are lines of `authorized_keys` (RFC 4253, 6.6; RFC 8709).
#![deny(unsafe_code)]

use openssl::{base64, bn::BigNumRef, error::ErrorStack, pkey::PKey, rsa::Rsa};
use serde::{Deserialize, Serialize};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519: &[u8] = b"ssh-ed25519";
const RSA: &[u8] = b"ssh-rsa";
/// Size of RSA keys.
const BITS: u32 = 2048;

/// A key pair in OpenSSH form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// `ssh-... AAAA...`
    pub public: String,
    /// PEM or OpenSSH private key, a secret.
    pub private: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyType {
    /// RSA, `BEGIN RSA PRIVATE KEY`. Takes some tenths of a second of a processor.
    #[default]
    Rsa,
    /// Ed25519, `BEGIN OPENSSH PRIVATE KEY`. Takes microseconds.
    Ed25519,
}

/// Makes a pair without passphrase; `comment` ends the public key.
///
/// # Errors
/// When OpenSSL has no randomness.
pub fn generate(kind: KeyType, comment: &str) -> Result<KeyPair, ErrorStack> {
    // Before OpenSSL starts by itself: then it would free its locks at exit under the threads of open sessions.
    openssl::init();
    match kind {
        KeyType::Rsa => rsa(comment),
        KeyType::Ed25519 => ed25519(comment),
    }
}

fn rsa(comment: &str) -> Result<KeyPair, ErrorStack> {
    let key = Rsa::generate(BITS)?;
    let mut blob = Vec::new();
    put(&mut blob, RSA);
    put(&mut blob, &positive(key.e()));
    put(&mut blob, &positive(key.n()));
    let private = String::from_utf8_lossy(&key.private_key_to_pem()?).into_owned();
    Ok(KeyPair { public: public(RSA, &blob, comment), private })
}

/// A positive number as RFC 4251 (5, `mpint`) writes it.
fn positive(number: &BigNumRef) -> Vec<u8> {
    let mut bytes = number.to_vec();
    if bytes.first().is_some_and(|first| *first >= 0x80) {
        bytes.insert(0, 0);
    }
    bytes
}

fn ed25519(comment: &str) -> Result<KeyPair, ErrorStack> {
    let key = PKey::generate_ed25519()?;
    let (seed, point) = (key.raw_private_key()?, key.raw_public_key()?);
    let mut check = [0; 4];
    openssl::rand::rand_bytes(&mut check)?;

    let mut blob = Vec::new();
    put(&mut blob, ED25519);
    put(&mut blob, &point);

    let mut secret = [check, check].concat();
    put(&mut secret, ED25519);
    put(&mut secret, &point);
    put(&mut secret, &[seed, point].concat());
    put(&mut secret, comment.as_bytes());
    // Padding 1, 2, 3, ... up to the block size, which is 8 without a cipher.
    secret.extend((1..8).take((8 - secret.len() % 8) % 8));

    let mut body = MAGIC.to_vec();
    put(&mut body, b"none");
    put(&mut body, b"none");
    put(&mut body, b"");
    body.extend(1u32.to_be_bytes());
    put(&mut body, &blob);
    put(&mut body, &secret);

    let mut private = format!("{BEGIN}\n");
    for line in base64::encode_block(&body).as_bytes().chunks(70) {
        private.extend(line.iter().copied().map(char::from));
        private.push('\n');
    }
    private.push_str(END);
    private.push('\n');
    Ok(KeyPair { public: public(ED25519, &blob, comment), private })
}

fn public(kind: &[u8], blob: &[u8], comment: &str) -> String {
    format!("{} {} {comment}", String::from_utf8_lossy(kind), base64::encode_block(blob))
}

/// Appends a length-prefixed string (RFC 4251, 5).
fn put(buffer: &mut Vec<u8>, field: &[u8]) {
    buffer.extend((field.len() as u32).to_be_bytes());
    buffer.extend(field);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{os::unix::fs::PermissionsExt, process::Command};

    #[test]
    fn openssh_reads_the_pairs() {
        for (kind, first) in [(KeyType::Rsa, "-----BEGIN RSA PRIVATE KEY-----"), (KeyType::Ed25519, BEGIN)] {
            let pair = generate(kind, "vnode-0.localdomain").unwrap();
            assert_eq!(pair.private.lines().next(), Some(first));
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("key");
            std::fs::write(&file, &pair.private).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            let output = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&file).output().unwrap();
            // PEM has no room for the comment.
            let read = String::from_utf8(output.stdout).unwrap();
            let parts = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(parts(&read), parts(&pair.public), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(pair.public.ends_with(" vnode-0.localdomain"));
        }
    }
}
