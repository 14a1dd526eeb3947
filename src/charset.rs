//! From bytes to text. Nothing is lost on the way: what is no text in its character set is refused, never replaced, so
//! that two different texts never become one.

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, mem::decode_latin1};
use std::borrow::Cow;

/// Longest name of a character set that an error repeats.
const LONGEST_NAME: usize = 40;

/// Why bytes are not read as text; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharsetError {
    /// There is no such character set.
    #[error("The character set '{0}' is not known, send UTF-8.")]
    Unknown(String),
    /// The bytes are no text in their character set.
    #[error("The request body is not {charset} (byte {at}).")]
    Malformed {
        /// Name of the character set.
        charset: &'static str,
        /// How many bytes could be read.
        at: usize,
    },
    /// The text is too long.
    #[error("The request body is larger than {0} bytes in UTF-8.")]
    TooLarge(usize),
}

/// The text of bytes for which nobody says what they are (a header, a part of an address, a file): UTF-8, or else
/// Latin-1, in which all bytes are a text. So what an old client sends in the one is the same text as what a new one
/// sends in the other.
#[must_use]
pub fn utf8_or_latin1(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| decode_latin1(bytes), Cow::Borrowed)
}

/// The text of a body of at most `limit` bytes in UTF-8. What it says of itself counts first (a byte order mark, or zeros
/// as only UTF-16 has them at the beginning of a document), then the character set that was `declared` (a name of
/// <https://encoding.spec.whatwg.org/#names-and-labels>), then it is UTF-8.
///
/// # Errors
/// An unknown character set; bytes that are no text in it; a text that is too long.
pub fn decode<'a>(bytes: &'a [u8], declared: Option<&str>, limit: usize) -> Result<Cow<'a, str>, CharsetError> {
    if bytes.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    // A mark alone marks nothing.
    let (encoding, mark) = match Encoding::for_bom(bytes).filter(|_| bytes.len() > 2) {
        Some(found) => found,
        None => (utf16_by_zeros(bytes).map_or_else(|| named(declared), Ok)?, 0),
    };
    let text = &bytes[mark..];
    if encoding == UTF_8 {
        let malformed = |error: std::str::Utf8Error| malformed(UTF_8, mark + error.valid_up_to());
        return within(Cow::Borrowed(std::str::from_utf8(text).map_err(malformed)?), limit);
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let needed = decoder.max_utf8_buffer_length_without_replacement(text.len()).unwrap_or(usize::MAX);
    // Room for one character more shows that there are too many.
    let mut decoded = String::with_capacity(needed.min(limit.saturating_add(4)));
    match decoder.decode_to_string_without_replacement(text, &mut decoded, true) {
        (DecoderResult::InputEmpty, _) => within(Cow::Owned(decoded), limit),
        (DecoderResult::OutputFull, _) => Err(CharsetError::TooLarge(limit)),
        (DecoderResult::Malformed(length, after), read) => {
            Err(malformed(encoding, mark + read.saturating_sub(usize::from(length) + usize::from(after))))
        }
    }
}

fn malformed(encoding: &'static Encoding, at: usize) -> CharsetError {
    CharsetError::Malformed { charset: encoding.name(), at }
}

fn within(text: Cow<'_, str>, limit: usize) -> Result<Cow<'_, str>, CharsetError> {
    if text.len() > limit { Err(CharsetError::TooLarge(limit)) } else { Ok(text) }
}

/// Every document begins with a character of ASCII, which has a zero beside it in UTF-16 and nowhere else.
fn utf16_by_zeros(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [0, 1..=u8::MAX, ..] => Some(UTF_16BE),
        [1..=u8::MAX, 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}

/// The character set of a name, for a text that does not show to be UTF-16: who calls such a one UTF-16 is mistaken, and
/// what is said to be ASCII may be read as UTF-8.
fn named(declared: Option<&str>) -> Result<&'static Encoding, CharsetError> {
    let Some(name) = declared.map(str::trim) else { return Ok(UTF_8) };
    if name.eq_ignore_ascii_case("us-ascii") || name.eq_ignore_ascii_case("ascii") {
        return Ok(UTF_8);
    }
    match Encoding::for_label_no_replacement(name.as_bytes()) {
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Ok(UTF_8),
        Some(encoding) => Ok(encoding),
        None => {
            let is_shown = name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
            Err(CharsetError::Unknown(if is_shown { name } else { "..." }.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn unnamed_bytes_are_one_text_in_both_forms() {
        for (text, latin) in [("señal", &b"se\xf1al"[..]), ("ÿ\u{80}", b"\xff\x80"), ("plain", b"plain")] {
            assert_eq!((utf8_or_latin1(latin), utf8_or_latin1(text.as_bytes())), (text.into(), text.into()));
        }
        assert_ne!(utf8_or_latin1(b"se\xf1al"), utf8_or_latin1(b"se\xe9al"));
    }

    #[test]
    fn declared_character_sets_are_read() {
        for (bytes, declared, text) in [
            (b"se\xc3\xb1al".to_vec(), None, "señal"),
            (b"se\xc3\xb1al".to_vec(), Some("utf8"), "señal"),
            (b"se\xc3\xb1al".to_vec(), Some("us-ascii"), "señal"),
            (b"\xef\xbb\xbfse\xc3\xb1al".to_vec(), Some("iso-8859-1"), "señal"),
            (b"se\xf1al".to_vec(), Some("ISO-8859-1"), "señal"),
            (b"se\xf1al".to_vec(), Some(" latin1 "), "señal"),
            (b"\x80".to_vec(), Some("windows-1252"), "€"),
            (b"\xa4".to_vec(), Some("iso-8859-15"), "€"),
            (b"\x93\xfa".to_vec(), Some("shift_jis"), "日"),
            (utf16("señal 😀", u16::to_le_bytes), Some("utf-16"), "señal 😀"),
            (utf16("señal", u16::to_be_bytes), Some("utf-16"), "señal"),
            (utf16("\u{feff}señal", u16::to_be_bytes), None, "señal"),
            (utf16("señal", u16::to_le_bytes), None, "señal"),
            (b"all ASCII".to_vec(), Some("UTF-16"), "all ASCII"),
            (Vec::new(), Some("nothing"), ""),
        ] {
            assert_eq!(decode(&bytes, declared, LIMIT).as_deref(), Ok(text), "{declared:?} {bytes:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        let refused = |bytes: &[u8], declared| decode(bytes, declared, LIMIT).unwrap_err().to_string();
        assert_eq!(refused(b"ab\xff", None), "The request body is not UTF-8 (byte 2).");
        assert_eq!(refused(b"\xff\xfe", None), "The request body is not UTF-8 (byte 0).");
        assert_eq!(refused(b"\xef\xbb\xbfab\xff", None), "The request body is not UTF-8 (byte 5).");
        assert_eq!(refused(b"ab\x93", Some("shift_jis")), "The request body is not Shift_JIS (byte 2).");
        assert_eq!(refused(b"a\0\x00\xd8b\0", None), "The request body is not UTF-16LE (byte 2).");
        assert_eq!(refused(b"a", Some("utf-32")), "The character set 'utf-32' is not known, send UTF-8.");
        for name in ["", "iso-2022-kr", "a\nb", &"a".repeat(41)] {
            assert!(refused(b"a", Some(name)).starts_with("The character set"), "{name}");
            assert!(!refused(b"a", Some(name)).contains(['\n']), "{name}");
        }
    }

    #[test]
    fn the_limit_is_that_of_the_text() {
        for (bytes, declared) in [(b"\xf1\xf1".as_slice(), Some("latin1")), ("ññ".as_bytes(), None)] {
            assert_eq!(decode(bytes, declared, 4).as_deref(), Ok("ññ"));
            assert_eq!(decode(bytes, declared, 3), Err(CharsetError::TooLarge(3)));
        }
        let long = utf16(&format!("a{}", "日".repeat(100)), u16::to_le_bytes);
        assert_eq!(decode(&long, None, 300), Err(CharsetError::TooLarge(300)));
        assert_eq!(decode(&long, None, 301).unwrap().len(), 301);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "[a-z][^\0]{0,20}", limit in 0_usize..40) {
            let sets = [text.clone().into_bytes(), utf16(&text, u16::to_le_bytes), utf16(&text, u16::to_be_bytes)];
            for bytes in sets {
                match decode(&bytes, None, limit) {
                    Ok(read) => prop_assert_eq!(read, text.as_str()),
                    Err(error) => prop_assert_eq!((error, text.len() > limit), (CharsetError::TooLarge(limit), true)),
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), name in prop::sample::select(vec![
            "utf-8", "utf-16", "utf-16be", "latin1", "shift_jis", "gb18030", "iso-2022-jp", "x-user-defined", "big5", "x",
        ])) {
            for limit in [0, 5, 1000] {
                let _ = decode(&bytes, Some(name), limit);
            }
        }
    }
}
