//! The entries of a feature list: an ordered map that takes little room and costs little to copy.
//!
//! A daemon keeps one document per machine, and a thousand machines of one deploy differ in their name and address only.
//! So each entry is shared by the copies of a list until one of them changes it. Lists are short as a rule: names are
//! compared one by one, and only a long list has an index.

use crate::features::Value;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use std::{collections::HashMap, fmt, sync::Arc};

/// Up to this many entries are searched one by one.
const SHORT: usize = 32;
/// How many places a short list grows by.
const STEP: usize = 4;

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    name: Arc<str>,
    value: Value,
}

/// An ordered map from names to values.
#[derive(Clone, Default)]
pub(crate) struct Entries {
    list: Vec<Arc<Entry>>,
    /// Where each name stands; none for a short list, which is to have the room of a pointer for it.
    #[allow(clippy::box_collection)]
    index: Option<Box<HashMap<Arc<str>, usize>>>,
}

impl Entries {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.list.iter().map(|entry| (&*entry.name, &entry.value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        Some(&self.list.get(self.position(name)?)?.value)
    }

    /// The value, to be changed in this list alone.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.position(name)?;
        Some(&mut Arc::make_mut(self.list.get_mut(at)?).value)
    }

    /// Sets a value; a known name keeps its place.
    pub(crate) fn insert(&mut self, name: &str, value: Value) {
        if let Some(at) = self.position(name) {
            // What is equal stays shared.
            if self.list[at].value != value {
                self.list[at] = Arc::new(Entry { name: self.list[at].name.clone(), value });
            }
            return;
        }
        if self.list.len() < SHORT && self.list.len() == self.list.capacity() {
            self.list.reserve_exact(STEP);
        }
        let name: Arc<str> = name.into();
        if let Some(index) = &mut self.index {
            index.insert(name.clone(), self.list.len());
        }
        self.list.push(Arc::new(Entry { name, value }));
        if self.index.is_none() && self.list.len() > SHORT {
            self.make_index();
        }
    }

    /// Removes an entry and tells where it stood; the others keep their order.
    pub(crate) fn remove(&mut self, name: &str) -> Option<(usize, Value)> {
        let at = self.position(name)?;
        let entry = self.list.remove(at);
        if self.index.is_some() {
            self.make_index();
        }
        Some((at, Arc::unwrap_or_clone(entry).value))
    }

    /// Keeps the entries whose name is wanted, in their order.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.list.retain(|entry| wanted(&entry.name));
        self.make_index();
    }

    /// Takes over the names of another list, and the entries that are equal.
    pub(crate) fn share(&mut self, with: &Self) {
        for (at, entry) in self.list.iter_mut().enumerate() {
            // Alike lists have most names at the same place.
            let there = with.list.get(at).filter(|other| other.name == entry.name);
            let Some(there) = there.or_else(|| with.list.get(with.position(&entry.name)?)) else { continue };
            if Arc::ptr_eq(entry, there) {
                continue;
            }
            if there.value == entry.value {
                *entry = there.clone();
            } else {
                Arc::make_mut(entry).name = there.name.clone();
            }
        }
        self.list.shrink_to_fit();
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.list.iter().position(|entry| &*entry.name == name),
        }
    }

    fn make_index(&mut self) {
        let places = self.list.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at));
        self.index = (self.list.len() > SHORT).then(|| Box::new(places.collect()));
    }
}

impl<N: AsRef<str>> FromIterator<(N, Value)> for Entries {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(pairs: I) -> Self {
        let mut entries = Self::default();
        for (name, value) in pairs {
            entries.insert(name.as_ref(), value);
        }
        entries
    }
}

impl PartialEq for Entries {
    /// The order says nothing.
    fn eq(&self, other: &Self) -> bool {
        let same = |(at, entry): (usize, &Arc<Entry>)| match other.list.get(at) {
            Some(found) if Arc::ptr_eq(entry, found) => true,
            Some(found) if found.name == entry.name => found.value == entry.value,
            _ => other.get(&entry.name) == Some(&entry.value),
        };
        self.len() == other.len() && self.list.iter().enumerate().all(same)
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of features")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    entries.insert(&name, value);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Operator;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    fn text(text: &str) -> Value {
        Value::Text { operator: Operator::Eq, text: text.to_owned(), line: 0 }
    }

    #[test]
    fn an_entry_is_small_and_shared_until_it_is_changed() {
        assert!(size_of::<Value>() <= 40, "{}", size_of::<Value>());
        let one: Entries = [("a", text("1")), ("b", text("2"))].into_iter().collect();
        let mut other = one.clone();
        other.insert("a", text("3"));
        other.insert("b", text("2"));
        assert_eq!(one.get("a"), Some(&text("1")));
        assert!(!Arc::ptr_eq(&one.list[0], &other.list[0]));
        assert!(Arc::ptr_eq(&one.list[1], &other.list[1]), "an equal value is no change");
        // Lists that were made apart come together as far as they are equal.
        let mut apart: Entries = [("b", text("2")), ("a", text("4")), ("c", text("5"))].into_iter().collect();
        let before = apart.clone();
        apart.share(&one);
        assert_eq!(apart, before);
        assert!(Arc::ptr_eq(&apart.list[0], &one.list[1]));
        assert!(Arc::ptr_eq(&apart.list[1].name, &one.list[0].name));
    }

    proptest! {
        /// It does what an `IndexMap` does, with and without an index, and is written as one.
        #[test]
        fn it_is_an_ordered_map(
            first in 0..60_usize,
            steps in prop::collection::vec((any::<bool>(), 0..70_usize, 0..4_u32), 0..60),
        ) {
            let name = |number: usize| format!("n{number}");
            let start = |number| (name(number), text("start"));
            let mut ours: Entries = (0..first).map(start).collect();
            let mut model: IndexMap<String, Value> = (0..first).map(start).collect();
            let copy = ours.clone();
            for (remove, number, value) in steps {
                let (name, value) = (name(number), text(&value.to_string()));
                if remove {
                    prop_assert_eq!(ours.remove(&name), model.shift_remove_full(&name).map(|(at, _, value)| (at, value)));
                } else if let Some(known) = ours.get_mut(&name) {
                    *known = value.clone();
                    model.insert(name, value);
                } else {
                    ours.insert(&name, value.clone());
                    model.insert(name, value);
                }
                prop_assert_eq!(ours.index.is_some(), ours.len() > SHORT);
            }
            prop_assert!(ours.iter().eq(model.iter().map(|(name, value)| (name.as_str(), value))));
            prop_assert!((0..70).all(|number| ours.get(&name(number)) == model.get(&name(number))));
            let written = serde_json::to_string(&ours)?;
            prop_assert_eq!(&written, &serde_json::to_string(&model)?);
            prop_assert_eq!(&serde_json::from_str::<Entries>(&written)?, &ours);
            let reversed: Entries = model.into_iter().rev().collect();
            prop_assert_eq!(&reversed, &ours);
            prop_assert_eq!(copy, (0..first).map(start).collect::<Entries>());
        }
    }
}
