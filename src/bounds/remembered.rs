//! What is kept to be quicker the next time: bounded in bytes, used last stays longest, and nothing grows old.

use hashlink::LinkedHashMap;
use std::{
    borrow::Borrow,
    hash::Hash,
    time::{Duration, Instant},
};

/// Values by key.
pub struct Remembered<K, V> {
    entries: LinkedHashMap<K, Entry<V>>,
    bytes: usize,
    most: usize,
    age: Duration,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    since: Instant,
}

impl<K: Hash + Eq, V> Remembered<K, V> {
    /// Values of at most `most` bytes together, each no longer than `age`.
    #[must_use]
    pub fn new(most: usize, age: Duration) -> Self {
        Self { entries: LinkedHashMap::new(), bytes: 0, most, age }
    }

    /// The value of a key, unless it is too old at `now`.
    pub fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, now: Instant) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if self.entries.get(key).is_some_and(|entry| now.saturating_duration_since(entry.since) >= self.age) {
            self.remove(key);
        }
        let entry = self.entries.to_back(key)?;
        Some(&mut entry.value)
    }

    /// Keeps a value that takes so many bytes, unless it would take a quarter of the room and more.
    pub fn insert(&mut self, key: K, value: V, bytes: usize, now: Instant) {
        self.remove(&key);
        if bytes > self.most / 4 {
            return;
        }
        self.bytes += bytes;
        self.entries.insert(key, Entry { value, bytes, since: now });
        while self.bytes > self.most
            && let Some((_, entry)) = self.entries.pop_front()
        {
            self.bytes -= entry.bytes;
        }
    }

    /// Forgets the value of a key.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    /// Forgets what is too old at `now`.
    pub fn forget_old(&mut self, now: Instant) {
        let (age, bytes) = (self.age, &mut self.bytes);
        self.entries.retain(|_, entry| {
            let stays = now.saturating_duration_since(entry.since) < age;
            *bytes -= if stays { 0 } else { entry.bytes };
            stays
        });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// The values, the one used last at the end.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|entry| &entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_age_are_bounded() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut subject = Remembered::new(100, 10 * second);
        for key in 0..10 {
            subject.insert(key, key, 20, start);
        }
        assert_eq!(subject.values().copied().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        assert_eq!(subject.get(&5, start).copied(), Some(5));
        subject.insert(10, 10, 20, start + second);
        assert_eq!((subject.get(&5, start).copied(), subject.get(&6, start)), (Some(5), None), "used last stays");
        subject.insert(5, 0, 26, start);
        assert_eq!((subject.get(&5, start).copied(), subject.bytes), (None, 80), "what is too large is not kept");
        assert_eq!(subject.get(&10, start + 11 * second), None);
        subject.insert(11, 11, 20, start + 9 * second);
        subject.forget_old(start + 12 * second);
        assert_eq!((subject.values().count(), subject.bytes), (1, 20));
    }
}
