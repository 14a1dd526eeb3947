//! What an infrastructure carries besides its documents and machines, `extra_info` in its row and in exports
//! (docs/spec/api.md 5.6): entries that this version knows, and all others as they came.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Name of [`ExtraInfo::Tosca`] on the wire and in rows.
const TOSCA: &str = "TOSCA";

/// One entry.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    /// The text of the TOSCA document that the infrastructure was made from.
    Tosca(String),
    /// One that means nothing here: it is kept, stored and exported unchanged.
    Other(String, Value),
}

/// The entries, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct ExtraInfo(Vec<Entry>);

impl ExtraInfo {
    /// The text of the TOSCA document that the infrastructure was made from, if there was one.
    #[must_use]
    pub fn tosca(&self) -> Option<&str> {
        self.0.iter().find_map(|entry| match entry {
            Entry::Tosca(text) => Some(text.as_str()),
            Entry::Other(..) => None,
        })
    }

    /// Takes the text of a TOSCA document in the place of what was there.
    pub fn set_tosca(&mut self, text: String) {
        match self.0.iter_mut().find(|entry| matches!(entry, Entry::Tosca(_))) {
            Some(entry) => *entry = Entry::Tosca(text),
            None => {
                // Something else of that name is no document.
                self.0.retain(|entry| !matches!(entry, Entry::Other(name, _) if name == TOSCA));
                self.0.push(Entry::Tosca(text));
            }
        }
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Map<String, Value>> for ExtraInfo {
    fn from(entries: Map<String, Value>) -> Self {
        let entry = |(name, value): (String, Value)| match value {
            Value::String(text) if name == TOSCA => Entry::Tosca(text),
            value => Entry::Other(name, value),
        };
        Self(entries.into_iter().map(entry).collect())
    }
}

impl From<ExtraInfo> for Map<String, Value> {
    fn from(ExtraInfo(entries): ExtraInfo) -> Self {
        let pair = |entry| match entry {
            Entry::Tosca(text) => (TOSCA.to_owned(), Value::String(text)),
            Entry::Other(name, value) => (name, value),
        };
        entries.into_iter().map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_is_lost_of_what_is_not_known() {
        for text in [
            "{}",
            r#"{"b":[1,{"x":null}],"TOSCA":"tosca_definitions_version: x\n","a":"text"}"#,
            r#"{"TOSCA":{"not":"a text"},"tosca":"another name"}"#,
        ] {
            let read: ExtraInfo = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let tosca = |text: &str| serde_json::from_str::<ExtraInfo>(text).unwrap().tosca().map(str::to_owned);
        assert_eq!(tosca(r#"{"a":1,"TOSCA":"x"}"#).as_deref(), Some("x"));
        assert_eq!((tosca(r#"{"TOSCA":7}"#), tosca(r#"{"tosca":"x"}"#)), (None, None));
    }
}
