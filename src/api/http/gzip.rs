//! Bodies that are compressed with gzip (RFC 1952).

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use std::io::{self, Read, Write};
use warp::http::{HeaderMap, header};

/// How many times larger than itself a compressed body can become at most (RFC 1951 says a match of 258 bytes in two bits).
pub(crate) const MOST: usize = 1032;

/// Whether a client takes compressed answers (RFC 9110, 12.5.3).
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let entries = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    entries.flat_map(|line| line.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_gzip =
            parts.next().is_some_and(|name| ["gzip", "x-gzip"].iter().any(|known| name.eq_ignore_ascii_case(known)));
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_gzip && quality.is_none_or(|quality| quality.parse::<f32>().is_ok_and(|quality| quality > 0.0))
    })
}

/// The bytes that were compressed, none if they are more than `limit`.
///
/// # Errors
/// What is not gzip.
pub(crate) fn decompress(compressed: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(compressed).take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// Compresses, quickly rather than well.
///
/// # Errors
/// None in practice: memory takes everything.
pub(crate) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use warp::http::HeaderValue;

    #[test]
    fn clients_say_what_they_take() {
        let accepted = |value: &'static str| {
            is_accepted(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(accepted("gzip") && accepted("br, GZIP;q=0.5") && accepted("x-gzip"));
        assert!(!accepted("gzip;q=0") && !accepted("identity") && !accepted("gzip; q=x") && !accepted(""));
        assert!(!is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn what_grows_beyond_the_limit_is_not_kept() {
        let bomb = compress(&vec![0; 1 << 20]).unwrap();
        assert!(bomb.len() < 1 << 13);
        assert_eq!(decompress(&bomb, (1 << 20) - 1).unwrap(), None);
        assert_eq!(decompress(&bomb, 1 << 20).unwrap().unwrap().len(), 1 << 20);
        assert!(decompress(b"plain", 10).is_err());
        assert!(decompress(&bomb[..bomb.len() - 9], 1 << 20).is_err());
    }
}
