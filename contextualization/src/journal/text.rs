//! The look of the log: Ansible's classic output (docs/spec/contextualization.md 1.21), control characters escaped, secrets
//! masked.

use serde::Serialize;
use serde_json::{
    Map, Serializer, Value,
    ser::{Formatter, PrettyFormatter},
};
use std::{borrow::Cow, fmt::Write, io};

/// Shortest secret that is masked wherever it stands; a shorter one may be a part of any word.
const SECRET: usize = 6;
/// Shortest secret that is masked where it stands alone; even shorter ones are words that logs are full of.
const SHORT: usize = 4;

/// Readers of the log cut it here, wherever it stands: only the driver may write it.
const LAUNCH: &str = "Launch task: ";

/// Makes text of a machine fit for the log.
#[derive(Clone, Default)]
pub struct Cleaner {
    secrets: Vec<String>,
    words: Vec<String>,
    ascii: bool,
}

impl std::fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaner").field("ascii", &self.ascii).finish_non_exhaustive()
    }
}

impl Cleaner {
    /// A cleaner that masks `secrets` of six characters or more, and of four where they stand alone; `ascii` drops
    /// everything else.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = String>, ascii: bool) -> Self {
        let (mut all, mut words): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for secret in secrets {
            match secret.chars().count() {
                SECRET.. => {}
                SHORT.. => {
                    words.push(secret);
                    continue;
                }
                _ => continue,
            }
            // As it stands inside a JSON text, too.
            let quoted = Value::String(secret.clone()).to_string();
            all.push(quoted[1..quoted.len() - 1].to_owned());
            all.extend(
                secret
                    .lines()
                    .map(str::trim)
                    .filter(|l| l.len() >= SECRET && !l.starts_with("-----"))
                    .map(str::to_owned),
            );
            all.push(secret);
        }
        // A secret that contains another one goes first.
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self { secrets: all, words, ascii }
    }

    /// Masks secrets, escapes control characters except newlines and tabs.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.secrets {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), "********");
            }
        }
        for word in &self.words {
            if masked.contains(word.as_str()) {
                masked = without_word(&masked, word);
            }
        }
        let mut out = String::with_capacity(masked.len());
        for c in masked.chars() {
            match c {
                '\n' | '\t' => out.push(c),
                c if c.is_control() => {
                    let _ = write!(out, "\\x{:02x}", c as u32);
                }
                // They end a line where newlines do not.
                '\u{2028}' | '\u{2029}' => {
                    let _ = write!(out, "\\u{:04x}", c as u32);
                }
                // Marks that reorder text on a screen.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
                c if self.ascii && !c.is_ascii() => {}
                c => out.push(c),
            }
        }
        out
    }

    /// Cleans a text for one line of bounded length: names of tasks, plays, items; messages.
    #[must_use]
    pub fn name(&self, text: &str) -> String {
        let line: String = text.chars().take(2000).map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
        self.clean(&line).replace(LAUNCH, "Launch task\\: ")
    }

    /// Cleans a text of JSON, which means the same afterwards.
    #[must_use]
    pub fn json(&self, text: &str) -> String {
        self.clean(text).replace(LAUNCH, "Launch task\\u003a ")
    }
}

/// The text with this word masked where it is no part of a longer one.
fn without_word(text: &str, word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut before) = (text, None);
    while let Some(at) = rest.find(word) {
        let end = at + word.len();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let is_alone = !is_part(rest[..at].chars().next_back().or(before)) && !is_part(rest[end..].chars().next());
        out.push_str(&rest[..at]);
        out.push_str(if is_alone { "********" } else { word });
        before = word.chars().next_back();
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The text, or its beginning and end when it is longer than `limit` bytes.
#[must_use]
pub fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let half = limit / 2;
    let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (head, tail) = (boundary(half), boundary(text.len() - half));
    format!("{}\n... {} bytes are left out ...\n{}", &text[..head], tail - head, &text[tail..]).into()
}

/// A banner as Ansible draws it: a blank line, the title, stars up to column 79, at least three.
#[must_use]
pub fn banner(title: &str) -> String {
    let stars = 79usize.saturating_sub(title.chars().count()).max(3);
    format!("\n{title} {}\n", "*".repeat(stars))
}

/// Weekday, date and time of a moment in seconds of the epoch.
#[must_use]
pub fn moment(ts: f64) -> String {
    let time = chrono::DateTime::from_timestamp_millis((ts * 1000.0) as i64).unwrap_or_default();
    time.format("%A %d %B %Y  %H:%M:%S %z\n").to_string()
}

/// Values of a result as Ansible prints them, sorted: on one line, or with four blanks of indentation.
#[must_use]
pub fn values(result: &Map<String, Value>, pretty: bool) -> String {
    let mut result = Value::Object(result.clone());
    result.sort_all_objects();
    let mut out = Vec::new();
    let written = if pretty {
        result.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b"    ")))
    } else {
        result.serialize(&mut Serializer::with_formatter(&mut out, OneLine))
    };
    match written {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => result.to_string(),
    }
}

/// JSON as Python writes it on one line.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
