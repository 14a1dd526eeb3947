//! Why JSON is not what was expected: the place, and what should be there. What serde says itself repeats values, which
//! may be secrets, and names types of this program.

use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use std::fmt;

/// JSON that is not what was expected. The text holds nothing of it but names of members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Misfit {
    /// The members that lead there, as `vm_list[0].cloud`; empty for the whole.
    path: String,
    /// Line and column, in a text inside another one those of the inner one.
    position: Option<(usize, usize)>,
    why: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.why)?;
        match self.position {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl From<serde_json::Error> for Misfit {
    fn from(error: serde_json::Error) -> Self {
        let position = (error.line() > 0).then(|| (error.line(), error.column()));
        Self { path: String::new(), position, why: why(&error) }
    }
}

impl Misfit {
    /// This misfit, found in a text or a value at `path`.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The whole is something else than `expected`.
    #[must_use]
    pub fn expected(expected: &str) -> Self {
        Self { path: String::new(), position: None, why: format!("expected {expected}") }
    }
}

/// A value as what it should be.
///
/// # Errors
/// The place where it is something else.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let misfit = Misfit::from(error.into_inner());
        // A dot stands for the whole.
        if path == "." { misfit } else { misfit.at(&path) }
    })
}

/// The words for an error: of what is no JSON serde's own, which have nothing of the text; of a value that does not fit
/// the half that says what was expected, never that which says what was found.
fn why(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            format!("this is no JSON: {}", said.split(" at line ").next().unwrap_or_default())
        }
        Category::Data if said.starts_with("missing field `") => {
            said.split(" at line ").next().unwrap_or_default().into()
        }
        Category::Data => match said.rsplit_once(", expected ").and_then(|(_, wanted)| plain(wanted)) {
            Some(wanted) => format!("expected {wanted}"),
            None => "something else has to stand here".to_owned(),
        },
    }
}

/// What serde expects, in words of JSON; none for words that are not known.
fn plain(wanted: &str) -> Option<&'static str> {
    let wanted = wanted.split(" at line ").next()?;
    Some(match wanted.split(' ').next()? {
        "struct" => "an object",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        _ => match wanted {
            "a map" => "an object",
            "a sequence" => "a list",
            "a string" | "a borrowed string" => "a text",
            "a boolean" => "true or false",
            _ => return None,
        },
    })
}
