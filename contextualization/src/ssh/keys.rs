//! Key material: making pairs, reading private keys, comparing public ones.
//!
//! Formats: RFC 4253 6.6 and RFC 8709 (public key blobs), OpenSSH's PROTOCOL.key (`openssh-key-v1`).

use crate::contract::KeyPair;
use openssl::{base64, error::ErrorStack, pkey::PKey};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519: &[u8] = b"ssh-ed25519";

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

/// Makes an Ed25519 pair in OpenSSH form, without passphrase.
///
/// # Errors
/// When OpenSSL has no randomness.
pub fn generate() -> Result<KeyPair, ErrorStack> {
    // Before OpenSSL starts by itself: then it would free its locks at exit under the threads of open sessions.
    openssl::init();
    let key = PKey::generate_ed25519()?;
    let (seed, point) = (key.raw_private_key()?, key.raw_public_key()?);
    let mut check = [0; 4];
    openssl::rand::rand_bytes(&mut check)?;

    let mut blob = Vec::new();
    put(&mut blob, ED25519);
    put(&mut blob, &point);
    let public = format!("{} im", public_text(&blob));

    let mut secret = [check, check].concat();
    put(&mut secret, ED25519);
    put(&mut secret, &point);
    put(&mut secret, &[seed, point].concat());
    put(&mut secret, b"im");
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
    Ok(KeyPair { public, private })
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

/// Appends a length-prefixed string (RFC 4251, 5).
fn put(buffer: &mut Vec<u8>, field: &[u8]) {
    buffer.extend((field.len() as u32).to_be_bytes());
    buffer.extend(field);
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
