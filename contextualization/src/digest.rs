//! Short digests: names for what must not be shown, marks by which the same is known again.

/// The first `bytes` of a digest (SHA-256) of all parts one after the other, as hexadecimal
/// digits.
#[must_use]
pub fn digest(parts: &[&[u8]], bytes: usize) -> String {
    let mut hash = openssl::sha::Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hex::encode(&hash.finish()[..bytes.min(32)])
}
