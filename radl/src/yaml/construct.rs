//! What a constructor of data makes of YAML, as far as it refuses: maps and lists as keys, merges of what is no map, tags
//! that stand for nothing, values that their type cannot be. The measure is what Ansible reads recipes with: PyYAML's
//! `SafeConstructor` with the tags `!vault` and `!unsafe`.

use super::{Reader, fault::Fault, scalar::STANDARD};
use chrono::{NaiveDate, NaiveTime};
use libyaml_safer::{Event, EventData, Mark};
use std::collections::HashMap;

/// Standard tags of scalars, without that beginning.
const SCALAR_TAGS: [&str; 9] = ["null", "bool", "int", "float", "binary", "timestamp", "str", "merge", "value"];
/// Standard tags of collections.
const COLLECTION_TAGS: [&str; 5] = ["map", "seq", "set", "omap", "pairs"];
/// Tags that Ansible adds.
const ANSIBLE_TAGS: [&str; 5] = ["!vault", "!vault-encrypted", "!unsafe", "python/dict", "python/unicode"];
/// Digits of a decimal number beyond which Python refuses to read it.
const MAX_DIGITS: usize = 4300;

/// What a node is to the collection that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// A scalar of any type.
    Scalar,
    /// The plain scalar `<<`.
    Merge,
    /// The plain scalar `=`.
    Equals,
    /// A list; `of_maps` says whether it holds maps only.
    List { of_maps: bool },
    /// A map, and its number of pairs.
    Map { pairs: usize },
    /// An alias of a collection that it stands in itself.
    Open { is_map: bool },
}

impl Nature {
    fn is_map(self) -> bool {
        matches!(self, Self::Map { .. } | Self::Open { is_map: true })
    }

    /// Whether it may be the value of `<<`.
    fn merges(self) -> bool {
        self.is_map() || matches!(self, Self::List { of_maps: true } | Self::Open { is_map: false })
    }
}

/// A collection whose end was not seen yet.
#[derive(Debug)]
struct Frame {
    place: Mark,
    is_map: bool,
    anchor: Option<String>,
    /// Whether its tag wants a list of maps with one pair each (`!!omap`, `!!pairs`).
    of_pairs: bool,
    /// The key whose value comes next.
    key: Option<Nature>,
    of_maps: bool,
    pairs: usize,
}

/// Follows the events of one document.
#[derive(Debug)]
pub(super) struct Construction {
    reader: Reader,
    frames: Vec<Frame>,
    anchors: HashMap<String, Nature>,
}

impl Construction {
    /// Nothing was read yet.
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, frames: Vec::new(), anchors: HashMap::new() }
    }

    /// The tag that decides about a node: without the beginning of the standard ones; none when there is none, or it only
    /// says that there is none.
    fn tag<'t>(&self, tag: Option<&'t str>, place: Mark) -> Result<Option<&'t str>, Fault> {
        let Some(tag) = tag.filter(|tag| *tag != "!") else { return Ok(None) };
        let tag = tag.strip_prefix(STANDARD).unwrap_or(tag);
        let known = match self.reader {
            Reader::Ansible => ANSIBLE_TAGS.contains(&tag),
            Reader::CloudInit => tag == "python/unicode",
        };
        if known || SCALAR_TAGS.contains(&tag) || COLLECTION_TAGS.contains(&tag) {
            return Ok(Some(tag));
        }
        let reader = match self.reader {
            Reader::Ansible => "Ansible",
            Reader::CloudInit => "cloud-init",
        };
        Err(Fault::at(format!("found a tag that stands for nothing in {reader}"), place)
            .advised("a text that begins with ! must stand in quotes"))
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// What no data can be made of.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        let place = event.start_mark;
        match &event.data {
            EventData::Alias { anchor } => {
                let Some(nature) = self.anchors.get(anchor).copied() else {
                    return Err(Fault::at("found undefined alias", place)
                        .advised("a text that begins with * must stand in quotes"));
                };
                self.node(nature, place)
            }
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                let nature = match self.tag(tag.as_deref(), place)? {
                    Some(tag) => tagged_scalar(tag, value),
                    None if *plain_implicit => plain_scalar(value),
                    None => Ok(Nature::Scalar),
                };
                let nature = nature.map_err(|problem| Fault::at(problem, place))?;
                self.anchor(anchor.as_ref(), nature, place)?;
                self.node(nature, place)
            }
            EventData::SequenceStart { anchor, tag, .. } => self.open(anchor.as_ref(), tag.as_deref(), false, place),
            EventData::MappingStart { anchor, tag, .. } => self.open(anchor.as_ref(), tag.as_deref(), true, place),
            EventData::SequenceEnd | EventData::MappingEnd => {
                let Some(frame) = self.frames.pop() else { return Ok(()) };
                let nature = match frame.is_map {
                    true => Nature::Map { pairs: frame.pairs },
                    false => Nature::List { of_maps: frame.of_maps },
                };
                if let Some(anchor) = frame.anchor {
                    self.anchors.insert(anchor, nature);
                }
                self.node(nature, frame.place)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: Option<&String>, tag: Option<&str>, is_map: bool, place: Mark) -> Result<(), Fault> {
        let tag = self.tag(tag, place)?;
        let fits = match tag {
            None | Some("!unsafe") => true,
            Some("map" | "set" | "python/dict") => is_map,
            Some("seq" | "omap" | "pairs") => !is_map,
            Some(_) => false,
        };
        if !fits {
            let what = if is_map { "a map" } else { "a list" };
            return Err(Fault::at(format!("found {what} with the tag of something else"), place));
        }
        self.anchor(anchor, Nature::Open { is_map }, place)?;
        let of_pairs = matches!(tag, Some("omap" | "pairs"));
        let anchor = anchor.cloned();
        self.frames.push(Frame { place, is_map, anchor, of_pairs, key: None, of_maps: true, pairs: 0 });
        Ok(())
    }

    fn anchor(&mut self, anchor: Option<&String>, nature: Nature, place: Mark) -> Result<(), Fault> {
        match anchor.map(|anchor| self.anchors.insert(anchor.clone(), nature)) {
            Some(Some(_)) => Err(Fault::at("found an anchor whose name is taken by an earlier one", place)),
            _ => Ok(()),
        }
    }

    /// A complete node takes its place in the collection around it.
    fn node(&mut self, nature: Nature, place: Mark) -> Result<(), Fault> {
        let is_value = match self.frames.last_mut() {
            Some(frame) if frame.is_map => match frame.key.take() {
                None => {
                    let what = if nature.is_map() { "a map" } else { "a list" };
                    if !matches!(nature, Nature::Scalar | Nature::Merge | Nature::Equals) {
                        return Err(Fault::at(format!("found {what} as the key of a map"), place));
                    }
                    frame.key = Some(nature);
                    false
                }
                Some(key) => {
                    frame.pairs += 1;
                    if key == Nature::Merge && !nature.merges() {
                        return Err(Fault::at("expected a map or a list of maps after <<", place));
                    }
                    true
                }
            },
            Some(frame) => {
                let is_pair = matches!(nature, Nature::Map { pairs: 1 });
                if frame.of_pairs && !is_pair {
                    return Err(Fault::at("expected a map of one pair", place));
                }
                frame.of_maps &= nature.is_map();
                true
            }
            None => true,
        };
        let stands_for_nothing = is_value && matches!(nature, Nature::Merge | Nature::Equals);
        if stands_for_nothing {
            let fault = Fault::at("found << or = alone, which is no value", place);
            return Err(fault.advised("put it in quotes if it is a text"));
        }
        Ok(())
    }
}

/// A scalar with an explicit tag.
fn tagged_scalar(tag: &str, value: &str) -> Result<Nature, &'static str> {
    let fits = match tag {
        "bool" => ["yes", "no", "true", "false", "on", "off"].contains(&value.to_lowercase().as_str()),
        "int" => is_int(value.trim()),
        "float" => is_float(value.trim()),
        "binary" => is_base64(value),
        "timestamp" => timestamp(value, false) == Some(true),
        "merge" => return Ok(Nature::Merge),
        "value" => return Ok(Nature::Equals),
        "python/dict" => false,
        _ => !COLLECTION_TAGS.contains(&tag),
    };
    if fits { Ok(Nature::Scalar) } else { Err("found a value that its tag does not allow") }
}

/// A plain scalar, whose text says its type.
fn plain_scalar(value: &str) -> Result<Nature, &'static str> {
    match value {
        "<<" => Ok(Nature::Merge),
        "=" => Ok(Nature::Equals),
        _ if timestamp(value, true) == Some(false) => Err("found a date or time that cannot be"),
        _ if looks_like_int(value) && !is_int(value) => Err("found a number that cannot be"),
        _ => Ok(Nature::Scalar),
    }
}

/// Whether YAML 1.1 takes a plain text for an integer of the forms that may fail to be one.
fn looks_like_int(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c == '_' || c.is_digit(radix));
    if let Some(digits_of_two) = text.strip_prefix("0b") {
        return digits(digits_of_two, 2);
    }
    if let Some(digits_of_sixteen) = text.strip_prefix("0x") {
        return digits(digits_of_sixteen, 16);
    }
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let sixtieth = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    first.starts_with(|c| matches!(c, '1'..='9')) && digits(first, 10) && parts.all(sixtieth)
}

/// Whether PyYAML makes an integer of it.
fn is_int(text: &str) -> bool {
    let text = text.replace('_', "");
    let text = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(digits_of_two) = text.strip_prefix("0b") {
        digits(digits_of_two, 2)
    } else if let Some(digits_of_sixteen) = text.strip_prefix("0x") {
        digits(digits_of_sixteen, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        digits(text.strip_prefix("0o").unwrap_or(text), 8)
    } else {
        text.split(':').all(|part| digits(part, 10) && part.len() <= MAX_DIGITS)
    }
}

/// Whether PyYAML makes a float of it.
fn is_float(text: &str) -> bool {
    let text = text.replace('_', "").to_lowercase();
    let text = text.strip_prefix(['+', '-']).unwrap_or(&text);
    matches!(text, ".inf" | ".nan") || text.split(':').all(|part| part.parse::<f64>().is_ok())
}

/// Whether Python's lenient reader makes bytes of it: other characters are left out, and padding ends it.
fn is_base64(text: &str) -> bool {
    let (mut digits, mut padding) = (0, 0);
    for byte in text.bytes() {
        match byte {
            b'=' if digits >= 2 => {
                padding += 1;
                if digits + padding >= 4 {
                    return text.is_ascii();
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                padding = 0;
                digits = (digits + 1) % 4;
            }
            _ => {}
        }
    }
    digits == 0 && text.is_ascii()
}

/// Whether a text that has the form of a date, with or without a time, is one; none when it has not. In a `plain` text a
/// date alone has two digits for month and day.
fn timestamp(text: &str, plain: bool) -> Option<bool> {
    let mut rest = text;
    let year = number(&mut rest, 4, 4)?;
    rest = rest.strip_prefix('-')?;
    let at_month = rest;
    let month = number(&mut rest, 1, 2)?;
    rest = rest.strip_prefix('-')?;
    let day = number(&mut rest, 1, 2)?;
    let date = year > 0 && NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).is_some();
    if rest.is_empty() {
        return (!plain || at_month.len() == "01-01".len()).then_some(date);
    }
    let blank = |c: char| c == ' ' || c == '\t';
    rest = match rest.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None => Some(rest.trim_start_matches(blank)).filter(|after| after.len() < rest.len())?,
    };
    let hour = number(&mut rest, 1, 2)?;
    rest = rest.strip_prefix(':')?;
    let minute = number(&mut rest, 2, 2)?;
    rest = rest.strip_prefix(':')?;
    let second = number(&mut rest, 2, 2)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let time = NaiveTime::from_hms_opt(hour, minute, second).is_some();
    let zone = rest.trim_start_matches(blank);
    let zone = match zone.strip_prefix(['+', '-']) {
        Some(mut offset) => {
            let hours = number(&mut offset, 1, 2)?;
            let minutes = match offset.strip_prefix(':') {
                Some(mut after) => {
                    let minutes = number(&mut after, 2, 2)?;
                    offset = after;
                    minutes
                }
                None => 0,
            };
            offset.is_empty().then_some(hours * 60 + minutes < 24 * 60)?
        }
        None => (rest.is_empty() || zone == "Z").then_some(true)?,
    };
    Some(date && time && zone)
}

/// Takes a number of `least` to `most` digits from the beginning of a text.
fn number(text: &mut &str, least: usize, most: usize) -> Option<u32> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    if digits < least { None } else { number.parse().ok() }
}
