//! Key material: making pairs, reading private keys, comparing public ones.
//!
//! Formats: RFC 4253 6.6 and RFC 8709 (public key blobs), OpenSSH's PROTOCOL.key (`openssh-key-v1`).

use keypair::{KeyPair, KeyType};
use openssl::{base64, error::ErrorStack, pkey::PKey};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Why a private key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Neither PEM nor OpenSSH form, or damaged.
    #[error("it is neither a PEM nor an OpenSSH private key, or it is damaged; paste the whole file")]
    Unreadable,
    /// It has a passphrase.
    #[error("it is protected by a passphrase; give it without one")]
    Encrypted,
}

/// A private key as libssh2 wants it: no carriage returns, no blanks around the lines, a newline at the end.
///
/// # Errors
/// [`InvalidKey`] when the text is no private key or needs a passphrase.
pub fn normalize(text: &str) -> Result<String, InvalidKey> {
    let mut key: String = text.trim().lines().flat_map(|line| [line.trim(), "\n"]).collect();
    if key.starts_with(BEGIN) {
        let body = key.trim().strip_prefix(BEGIN).and_then(|b| b.strip_suffix(END)).ok_or(InvalidKey::Unreadable)?;
        let body = base64::decode_block(&body.replace('\n', "")).map_err(|_| InvalidKey::Unreadable)?;
        let mut fields = Fields(body.strip_prefix(MAGIC).ok_or(InvalidKey::Unreadable)?);
        let cipher = fields.next().ok_or(InvalidKey::Unreadable)?;
        if cipher != b"none" {
            return Err(InvalidKey::Encrypted);
        }
        let (_kdf, _options) = (fields.next(), fields.next());
        let count = fields.bytes(4).ok_or(InvalidKey::Unreadable)?;
        let (public, private) = (fields.next(), fields.next());
        if count != [0, 0, 0, 1] || public.is_none() || private.is_none() {
            return Err(InvalidKey::Unreadable);
        }
        return Ok(key);
    }
    if key.contains("ENCRYPTED") {
        return Err(InvalidKey::Encrypted);
    }
    // The empty passphrase keeps OpenSSL from asking on a terminal.
    PKey::private_key_from_pem_passphrase(key.as_bytes(), b"").map_err(|_| InvalidKey::Unreadable)?;
    if !key.ends_with('\n') {
        key.push('\n');
    }
    Ok(key)
}

/// Makes a pair without passphrase.
///
/// # Errors
/// When OpenSSL has no randomness.
pub fn generate(kind: KeyType) -> Result<KeyPair, ErrorStack> {
    keypair::generate(kind, "im")
}

/// A public key blob as `TYPE BASE64`.
#[must_use]
pub fn public_text(blob: &[u8]) -> String {
    let kind = Fields(blob).next().unwrap_or_default();
    format!("{} {}", String::from_utf8_lossy(kind), base64::encode_block(blob))
}

/// Whether two public keys in OpenSSH form are the same key, comments aside.
#[must_use]
pub fn same_public(a: &str, b: &str) -> bool {
    let parts = |key: &str| key.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    parts(a) == parts(b)
}

/// Reads length-prefixed strings (RFC 4251, 5).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.bytes(4)?.try_into().ok()?);
        self.bytes(length as usize)
    }
}
