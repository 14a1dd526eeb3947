//! The entries of a feature list: an ordered map that takes little room and costs little to copy.
//!
//! A daemon keeps one document per machine, and a thousand machines of one deploy differ in their name and address only.
//! So the copies of a list share its entries, by the chunk, until one of them changes something: then it has that entry
//! and its chunk for itself. Lists are short as a rule: names are compared one by one, and only a long list has an index.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    marker::PhantomData,
    sync::Arc,
};

/// Up to this many entries are searched one by one.
const SHORT: usize = 32;
/// How many entries a chunk has; only the last one has fewer.
const CHUNK: usize = 32;
/// How many places a chunk grows by.
const STEP: usize = 4;

#[derive(Debug, Clone, PartialEq)]
struct Entry<V> {
    name: Arc<str>,
    value: V,
}

/// Entries whose copies share them.
type Chunk<V> = Arc<Vec<Arc<Entry<V>>>>;

/// An ordered map from names to values.
#[derive(Clone)]
pub(crate) struct Entries<V> {
    chunks: Vec<Chunk<V>>,
    /// Where the first names of a long list stand; those behind them, [`SHORT`] at most, are searched one by one, so that
    /// copies which add a few names of their own go on sharing it.
    index: Option<Arc<HashMap<Arc<str>, usize>>>,
}

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), index: None }
    }
}

impl<V: Clone + PartialEq> Entries<V> {
    pub(crate) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries(0).map(|entry| (&*entry.name, &entry.value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        Some(&self.entry(self.position(name)?)?.value)
    }

    /// The value, to be changed in this list alone.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        let at = self.position(name)?;
        let entry = Arc::make_mut(self.chunks.get_mut(at / CHUNK)?).get_mut(at % CHUNK)?;
        Some(&mut Arc::make_mut(entry).value)
    }

    /// Sets a value; a known name keeps its place.
    pub(crate) fn insert(&mut self, name: &str, value: V) {
        let Some(at) = self.position(name) else {
            return self.push(Arc::new(Entry { name: name.into(), value }));
        };
        // What is equal stays shared.
        let known = self.entry(at).filter(|entry| entry.value != value);
        if let Some(name) = known.map(|entry| entry.name.clone()) {
            Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK] = Arc::new(Entry { name, value });
        }
    }

    /// Removes an entry and tells where it stood; the others keep their order.
    pub(crate) fn remove(&mut self, name: &str) -> Option<(usize, V)> {
        let at = self.position(name)?;
        let removed = self.entry(at)?.clone();
        self.retain(|other| other != name);
        Some((at, Arc::unwrap_or_clone(removed).value))
    }

    /// Keeps the entries whose name is wanted, in their order.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        let mut kept = Self::default();
        self.entries(0).filter(|entry| wanted(&entry.name)).for_each(|entry| kept.push(entry.clone()));
        *self = kept;
    }

    /// Takes over the names of another list, and the entries that are equal.
    pub(crate) fn share(&mut self, with: &Self) {
        let mut same_names = self.len() == with.len();
        for (at, chunk) in self.chunks.iter_mut().enumerate() {
            let theirs = with.chunks.get(at);
            if theirs.is_some_and(|theirs| Arc::ptr_eq(chunk, theirs)) {
                continue;
            }
            let list = Arc::make_mut(chunk);
            let mut is_same = theirs.is_some_and(|theirs| theirs.len() == list.len());
            for (place, entry) in list.iter_mut().enumerate() {
                // Alike lists have most names at the same place.
                let there = theirs.and_then(|theirs| theirs.get(place)).filter(|other| other.name == entry.name);
                same_names &= there.is_some();
                let there = there.or_else(|| with.entry(with.position(&entry.name)?));
                match there {
                    Some(there) if there.value == entry.value => *entry = there.clone(),
                    Some(there) => Arc::make_mut(entry).name = there.name.clone(),
                    None => {}
                }
                is_same &= theirs.and_then(|theirs| theirs.get(place)).is_some_and(|other| Arc::ptr_eq(entry, other));
            }
            list.shrink_to_fit();
            if let (true, Some(theirs)) = (is_same, theirs) {
                *chunk = theirs.clone();
            }
        }
        self.chunks.shrink_to_fit();
        if same_names {
            self.index.clone_from(&with.index);
        }
    }

    /// What brings `base` to this list: entries to set, in order, after the names are removed. See [`Entries::with`].
    pub(crate) fn changes_from(&self, base: &Self) -> (Self, Vec<String>) {
        let (mut set, mut removed) = (Self::default(), Vec::new());
        let (mut ours, mut theirs) = (0, 0);
        while let Some(former) = base.entry(theirs) {
            let chunks = (self.chunks.get(ours / CHUNK), base.chunks.get(theirs / CHUNK));
            if let ((0, 0), (Some(chunk), Some(former))) = ((ours % CHUNK, theirs % CHUNK), chunks)
                && Arc::ptr_eq(chunk, former)
            {
                ours += chunk.len();
                theirs += former.len();
                continue;
            }
            theirs += 1;
            match self.entry(ours).filter(|entry| entry.name == former.name) {
                Some(entry) => {
                    ours += 1;
                    if !Arc::ptr_eq(entry, former) && entry.value != former.value {
                        set.push(entry.clone());
                    }
                }
                // It may come again behind all others.
                None => removed.push(former.name.to_string()),
            }
        }
        self.entries(ours).for_each(|entry| set.push(entry.clone()));
        (set, removed)
    }

    /// This list after such changes.
    pub(crate) fn with(&self, set: &Self, removed: &[String]) -> Self {
        let mut after = self.clone();
        if !removed.is_empty() {
            let removed: HashSet<&str> = removed.iter().map(String::as_str).collect();
            after.retain(|name| !removed.contains(name));
        }
        for (name, value) in set.iter() {
            after.insert(name, value.clone());
        }
        after
    }

    fn entry(&self, at: usize) -> Option<&Arc<Entry<V>>> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// The entries from a place on.
    fn entries(&self, from: usize) -> impl Iterator<Item = &Arc<Entry<V>>> {
        let chunks = self.chunks.get(from / CHUNK..).unwrap_or_default();
        chunks.iter().flat_map(|chunk| chunk.iter()).skip(from % CHUNK)
    }

    /// Adds an entry of a name that is not there yet.
    fn push(&mut self, entry: Arc<Entry<V>>) {
        let at = self.len();
        if let Some(index) = self.index.as_mut().filter(|index| index.len() == at).and_then(Arc::get_mut) {
            index.insert(entry.name.clone(), at);
        }
        if at.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(STEP)));
        }
        if let Some(last) = self.chunks.last_mut().map(Arc::make_mut) {
            if last.len() == last.capacity() {
                last.reserve_exact(STEP);
            }
            last.push(entry);
        }
        if self.len() - self.indexed() > SHORT {
            let places = self.entries(0).enumerate().map(|(at, entry)| (entry.name.clone(), at));
            self.index = Some(Arc::new(places.collect()));
        }
    }

    fn indexed(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.len())
    }

    fn position(&self, name: &str) -> Option<usize> {
        let known = self.index.as_ref().and_then(|index| index.get(name).copied());
        let behind = || Some(self.indexed() + self.entries(self.indexed()).position(|entry| &*entry.name == name)?);
        known.or_else(behind)
    }
}

impl<N: AsRef<str>, V: Clone + PartialEq> FromIterator<(N, V)> for Entries<V> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut entries = Self::default();
        for (name, value) in pairs {
            entries.insert(name.as_ref(), value);
        }
        entries
    }
}

impl<V: Clone + PartialEq> PartialEq for Entries<V> {
    /// The order says nothing.
    fn eq(&self, other: &Self) -> bool {
        let same = |at: usize, entry: &Arc<Entry<V>>| match other.entry(at) {
            Some(found) if Arc::ptr_eq(entry, found) => true,
            Some(found) if found.name == entry.name => found.value == entry.value,
            _ => other.get(&entry.name) == Some(&entry.value),
        };
        let same_chunk = |(number, chunk): (usize, &Chunk<V>)| {
            other.chunks.get(number).is_some_and(|theirs| Arc::ptr_eq(chunk, theirs))
                || chunk.iter().zip(number * CHUNK..).all(|(entry, at)| same(at, entry))
        };
        self.len() == other.len() && self.chunks.iter().enumerate().all(same_chunk)
    }
}

impl<V: Clone + PartialEq + fmt::Debug> fmt::Debug for Entries<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<V: Clone + PartialEq + Serialize> Serialize for Entries<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Clone + PartialEq + Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<V>(PhantomData<V>);
        impl<'de, V: Clone + PartialEq + Deserialize<'de>> Visitor<'de> for Pairs<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of features")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<V>, A::Error> {
                let mut entries = Entries::default();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    entries.insert(&name, value);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn an_entry_is_shared_until_it_is_changed() {
        let one: Entries<String> = [("a", text("1")), ("b", text("2"))].into_iter().collect();
        let mut other = one.clone();
        other.insert("a", text("3"));
        other.insert("b", text("2"));
        assert_eq!(one.get("a"), Some(&text("1")));
        let entry = |entries: &Entries<String>, at: usize| Arc::as_ptr(&entries.chunks[0][at]);
        assert_ne!(entry(&one, 0), entry(&other, 0));
        assert_eq!(entry(&one, 1), entry(&other, 1), "an equal value is no change");
        // Lists that were made apart come together as far as they are equal.
        let mut apart: Entries<String> = [("b", text("2")), ("a", text("4")), ("c", text("5"))].into_iter().collect();
        let before = apart.clone();
        apart.share(&one);
        assert_eq!(apart, before);
        assert_eq!(entry(&apart, 0), entry(&one, 1));
        assert!(Arc::ptr_eq(&apart.chunks[0][1].name, &one.chunks[0][0].name));
    }

    #[test]
    fn copies_of_a_long_list_share_all_but_the_chunks_they_change() {
        let base: Entries<String> = (0..1000).map(|number| (format!("n{number}"), text("long"))).collect();
        let mut copy = base.clone();
        copy.insert("n700", text("own"));
        copy.insert("own", text("added"));
        let shared = |a: &Entries<String>, b: &Entries<String>| {
            a.chunks.iter().zip(&b.chunks).filter(|(a, b)| Arc::ptr_eq(a, b)).count()
        };
        assert_eq!(shared(&copy, &base), base.chunks.len() - 2);
        assert!(Arc::ptr_eq(copy.index.as_ref().unwrap(), base.index.as_ref().unwrap()));
        assert_eq!((copy.get("own"), copy.get("n999")), (Some(&text("added")), Some(&text("long"))));
        // One that comes from elsewhere, as from a database, shares as much.
        let mut read: Entries<String> = serde_json::from_str(&serde_json::to_string(&copy).unwrap()).unwrap();
        read.share(&base);
        assert_eq!(read, copy);
        assert_eq!(shared(&read, &base), base.chunks.len() - 2);
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
            let mut ours: Entries<String> = (0..first).map(start).collect();
            let mut model: IndexMap<String, String> = (0..first).map(start).collect();
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
                prop_assert!(ours.len() - ours.indexed() <= SHORT);
            }
            prop_assert!(ours.iter().eq(model.iter().map(|(name, value)| (name.as_str(), value))));
            prop_assert!((0..70).all(|number| ours.get(&name(number)) == model.get(&name(number))));
            let written = serde_json::to_string(&ours)?;
            prop_assert_eq!(&written, &serde_json::to_string(&model)?);
            prop_assert_eq!(&serde_json::from_str::<Entries<String>>(&written)?, &ours);
            let reversed: Entries<String> = model.into_iter().rev().collect();
            prop_assert_eq!(&reversed, &ours);
            prop_assert_eq!(&copy, &(0..first).map(start).collect::<Entries<String>>());
            let (set, removed) = ours.changes_from(&copy);
            let again = copy.with(&set, &removed);
            prop_assert!(again.iter().eq(ours.iter()), "the order is the same, too");
        }
    }
}
