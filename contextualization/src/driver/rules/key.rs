//! What a playbook's item is called in the stored progress.

use crate::plan::control::ControlNode;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Characters that have a meaning in the text of a key.
const RESERVED: &AsciiSet = &CONTROLS.add(b'.').add(b'@').add(b'%');
/// What stands for several machines in the text of a key.
const ALL: &str = "all";

/// The key of an item. It is stored as a text: `basic` or `windows` for the built-in playbooks, with `.7` for those of
/// machine 7 that came late; `STEP.SYSTEM.all.CONFIGURE` or `STEP.SYSTEM.7.CONFIGURE` for a recipe; then `@` and the control
/// node where several of them share the item. Dots in names are written as `%2E`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemKey {
    /// What is run, and for whom.
    pub work: Work,
    /// The control node whose share of the item this is; none when there is only one.
    pub share_of: Option<ControlNode>,
}

/// What an item runs, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// The built-in playbook.
    BuiltIn {
        /// Whether it is the one for Windows machines.
        windows: bool,
        /// The machine, when it is one that came late.
        late: Option<u32>,
    },
    /// A recipe of the user.
    Recipe {
        /// Its step.
        step: i64,
        /// The system whose machines it configures.
        system: String,
        /// The machine, when it is one alone.
        vm: Option<u32>,
        /// Name of the configure.
        configure: String,
    },
}

/// A text that is the key of no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key of an item")]
pub struct InvalidKey(String);

impl ItemKey {
    /// The key of this item's share that belongs to one control node among several.
    #[must_use]
    pub fn share(&self, node: &ControlNode) -> Self {
        Self { work: self.work.clone(), share_of: Some(node.clone()) }
    }

    /// Whether it is a built-in playbook, which is run again by every master.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        matches!(self.work, Work::BuiltIn { .. })
    }
}

impl From<Work> for ItemKey {
    /// The key of an item that is not shared.
    fn from(work: Work) -> Self {
        Self { work, share_of: None }
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::BuiltIn { windows, late } => {
                f.write_str(if *windows { "windows" } else { "basic" })?;
                late.map_or(Ok(()), |vm| write!(f, ".{vm}"))?;
            }
            Work::Recipe { step, system, vm, configure } => {
                let [system, configure] = [system, configure].map(|name| utf8_percent_encode(name, RESERVED));
                match vm {
                    Some(vm) => write!(f, "{step}.{system}.{vm}.{configure}")?,
                    None => write!(f, "{step}.{system}.{ALL}.{configure}")?,
                }
            }
        }
        self.share_of.as_ref().map_or(Ok(()), |node| write!(f, "@{node}"))
    }
}

impl FromStr for ItemKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = || InvalidKey(text.to_owned());
        // Names have no @.
        let (work, node) = text.split_once('@').map_or((text, None), |(work, node)| (work, Some(node)));
        let share_of = node.map(str::parse::<ControlNode>).transpose().map_err(|_| invalid())?;
        let (first, rest) = work.split_once('.').map_or((work, None), |(first, rest)| (first, Some(rest)));
        let work = match first {
            "basic" | "windows" => {
                let late = rest.map(str::parse::<u32>).transpose().map_err(|_| invalid())?;
                Work::BuiltIn { windows: first == "windows", late }
            }
            step => {
                let step = step.parse::<i64>().map_err(|_| invalid())?;
                let (system, vm, configure) = rest.and_then(recipe).ok_or_else(invalid)?;
                Work::Recipe { step, system, vm, configure }
            }
        };
        Ok(Self { work, share_of })
    }
}

/// System, machine and configure of `SYSTEM.MACHINE.CONFIGURE`. Former versions wrote dots in names as they are: of several
/// ways to read such a text the one with the first `all` counts, else the one with the first number.
fn recipe(text: &str) -> Option<(String, Option<u32>, String)> {
    let parts: Vec<&str> = text.split('.').collect();
    let inner = 1..parts.len().checked_sub(1)?;
    let all = inner.clone().find(|at| parts[*at] == ALL);
    let at = all.or_else(|| inner.clone().find(|at| parts[*at].parse::<u32>().is_ok()))?;
    let name = |parts: &[&str]| Some(percent_decode_str(&parts.join(".")).decode_utf8().ok()?.into_owned());
    Some((name(&parts[..at])?, parts[at].parse().ok(), name(&parts[at + 1..])?))
}

impl Serialize for ItemKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ItemKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn recipe(step: i64, system: &str, vm: Option<u32>, configure: &str) -> ItemKey {
        Work::Recipe { step, system: system.to_owned(), vm, configure: configure.to_owned() }.into()
    }

    /// What databases hold, also those that a former version wrote.
    #[test]
    fn keys_of_stored_progress() {
        let built_in = |windows, late| ItemKey::from(Work::BuiltIn { windows, late });
        let host = ControlNode::Host("h-1.x".to_owned());
        for (text, key) in [
            ("basic", built_in(false, None)),
            ("windows.12", built_in(true, Some(12))),
            ("basic@VM 0", built_in(false, None).share(&ControlNode::Vm(0))),
            ("-1.web.all.front", recipe(-1, "web", None, "front")),
            ("2.web.7.front@ansible host h-1.x", recipe(2, "web", Some(7), "front").share(&host)),
            ("1.a%2Eb.all.c%2E1", recipe(1, "a.b", None, "c.1")),
        ] {
            assert_eq!(text.parse(), Ok(key.clone()), "{text}");
            assert_eq!(key.to_string(), text);
        }
        for (former, key) in [
            ("1.a.b.all.c.d", recipe(1, "a.b", None, "c.d")),
            ("1.a.b.3.c.1", recipe(1, "a.b", Some(3), "c.1")),
            ("1.a.3.all.c", recipe(1, "a.3", None, "c")),
        ] {
            assert_eq!(former.parse(), Ok(key), "{former}");
        }
        for text in ["", "1", "1.web", "1.web.all", "x.web.all.front", "basic.x", "basic@nobody", "1.web.some.front"] {
            assert!(text.parse::<ItemKey>().is_err(), "{text}");
        }
    }

    proptest! {
        /// Different items have different keys, whatever their names.
        #[test]
        fn keys_are_read_as_they_are_written(
            step: i64,
            system in "[a-z._%@0-9é]{1,8}|all",
            vm: Option<u32>,
            configure in "[a-z._%@0-9é]{1,8}|all",
        ) {
            let key = recipe(step, &system, vm, &configure).share(&ControlNode::Vm(1));
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
