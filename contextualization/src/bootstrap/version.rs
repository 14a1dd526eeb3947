//! Which version of Ansible is wished for (docs/spec/contextualization.md 6.6). Pure.

use std::fmt;

/// A line of ansible-core: `2.16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line(pub u32, pub u32);

/// The line of the usual default.
const USUAL: Line = Line(2, 16);
/// Oldest line that works, for what is installed on a master.
pub const OLDEST: Line = Line(2, 11);
/// Newest line that is known to work.
pub const NEWEST: Line = Line(2, 20);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Line {
    /// The line of a version; 0.0 when it is none.
    #[must_use]
    pub fn of(version: &str) -> Self {
        let mut parts = version.split('.').map(|p| p.parse().unwrap_or(0));
        Self(parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// Oldest Python that runs it, as `(major, minor)`.
    #[must_use]
    pub const fn python(self) -> (u32, u32) {
        match self.1 {
            ..=13 => (3, 8),
            14 | 15 => (3, 9),
            16 | 17 => (3, 10),
            18 | 19 => (3, 11),
            _ => (3, 12),
        }
    }

    /// Major version of the community package that belongs to it: package 4 brought core 2.11, and so on.
    #[must_use]
    pub const fn package(self) -> u32 {
        self.1.saturating_sub(7)
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The newest line up to this one that the master can run, else the oldest that it can.
    UpTo(Line),
    /// This line.
    Exactly(Line),
    /// The newest there is.
    Latest,
}

/// A text that names no version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown;

/// What a text names; a version before core 2.11 is none of ours, but known.
enum Named {
    Line(Line),
    Latest,
    Legacy,
}

/// Reads a version of the community package (`9`, `9.13.0`) or of ansible-core (`2.16`, `2.16.3`).
fn read(text: &str) -> Result<Named, Unknown> {
    if text == "latest" {
        return Ok(Named::Latest);
    }
    let numbers: Vec<u32> = text.split('.').map(|p| p.parse().map_err(|_| Unknown)).collect::<Result<_, _>>()?;
    match numbers[..] {
        [2, minor, ..] if (OLDEST.1..=NEWEST.1).contains(&minor) => Ok(Named::Line(Line(2, minor))),
        [2, minor, ..] if minor > NEWEST.1 => Err(Unknown),
        [1..=3, ..] => Ok(Named::Legacy),
        [package, ..] if package >= 4 && package + 7 <= NEWEST.1 => Ok(Named::Line(Line(2, package + 7))),
        _ => Err(Unknown),
    }
}

impl Wish {
    /// The wish of a document over the operator's default, with a sentence when it is not met to the letter.
    ///
    /// # Errors
    /// Which of the two texts names no version.
    pub fn new(document: Option<&str>, default: &str) -> Result<(Self, Option<String>), String> {
        let usual = match read(default.trim()) {
            Ok(Named::Line(line)) => Self::UpTo(line),
            Ok(Named::Latest) => Self::Latest,
            // From a configuration of long ago.
            Ok(Named::Legacy) => Self::UpTo(USUAL),
            Err(Unknown) => return Err(format!("ANSIBLE_VERSION = {default:?} of the daemon")),
        };
        let Some(text) = document.map(str::trim).filter(|text| !text.is_empty()) else { return Ok((usual, None)) };
        match read(text) {
            Ok(Named::Line(line)) => Ok((Self::Exactly(line), None)),
            Ok(Named::Latest) => Ok((Self::Latest, None)),
            Ok(Named::Legacy) => {
                let note = format!("WARNING: Ansible {text} is too old for this manager: the default version is used.");
                Ok((usual, Some(note)))
            }
            Err(Unknown) => Err(format!("option ansible_version = {:?}", text.chars().take(40).collect::<String>())),
        }
    }

    /// Whether this line will do at all.
    #[must_use]
    pub fn accepts(self, line: Line) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == line,
            Self::UpTo(_) | Self::Latest => true,
        }
    }

    /// Smaller is better.
    #[must_use]
    pub fn rank(self, line: Line) -> (bool, u32) {
        match self {
            Self::UpTo(limit) if line > limit => (true, line.1),
            _ => (false, u32::MAX - line.1),
        }
    }
}
