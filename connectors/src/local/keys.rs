//! Ed25519 key pairs in OpenSSH's form (openssh/PROTOCOL.key), made without starting a process.

use super::tool::{During, Result};
use openssl::{base64::encode_block, pkey::PKey};

const ALGORITHM: &[u8] = b"ssh-ed25519";

/// A key pair: the private key as `OPENSSH PRIVATE KEY` PEM, the public one as a line of `authorized_keys`.
pub(super) struct KeyPair {
    pub private: String,
    pub public: String,
}

/// Makes a key pair with a comment.
pub(super) fn generate(comment: &str) -> Result<KeyPair> {
    let pair = PKey::generate_ed25519()
        .and_then(|key| Ok((key.raw_private_key()?, key.raw_public_key()?)))
        .map_err(std::io::Error::from)
        .during("making a key pair")?;
    Ok(encode(&pair.0, &pair.1, rand::random(), comment))
}

fn encode(seed: &[u8], public: &[u8], check: u32, comment: &str) -> KeyPair {
    let mut public_blob = Vec::new();
    field(&mut public_blob, ALGORITHM);
    field(&mut public_blob, public);

    let mut secret = Vec::new();
    secret.extend(check.to_be_bytes());
    secret.extend(check.to_be_bytes());
    field(&mut secret, ALGORITHM);
    field(&mut secret, public);
    field(&mut secret, &[seed, public].concat());
    field(&mut secret, comment.as_bytes());
    // Padded with 1, 2, 3, ... to the block size of "no cipher", which is 8.
    secret.extend((1..=7).take((8 - secret.len() % 8) % 8));

    let mut blob = b"openssh-key-v1\0".to_vec();
    field(&mut blob, b"none");
    field(&mut blob, b"none");
    field(&mut blob, b"");
    blob.extend(1_u32.to_be_bytes());
    field(&mut blob, &public_blob);
    field(&mut blob, &secret);

    let mut private = "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned();
    let body = encode_block(&blob);
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 70 == 0 {
            private.push('\n');
        }
        private.push(character);
    }
    private += "\n-----END OPENSSH PRIVATE KEY-----\n";
    KeyPair { private, public: format!("ssh-ed25519 {} {comment}", encode_block(&public_blob)) }
}

fn field(blob: &mut Vec<u8>, value: &[u8]) {
    blob.extend((value.len() as u32).to_be_bytes());
    blob.extend(value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn openssh_reads_the_pair() {
        let pair = generate("imd").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, &pair.private).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = std::process::Command::new("ssh-keygen").arg("-y").arg("-f").arg(&file).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), pair.public);
    }
}
