//! Documents of machines as they were last written: a client that polls a machine which does not change costs no
//! printing.

use super::negotiation::Form;
use crate::engine::model::State;
use bytes::Bytes;
use hashlink::LruCache;
use radl::Radl;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Documents kept.
const KEPT: usize = 2048;

/// Longer documents are not kept, which bounds the memory this takes.
const KEPT_LENGTH: usize = 16 * 1024;

/// What a document of a machine is made from: its facts, which are replaced and never changed, and its state.
type Key = (usize, State, Form);

/// The documents. The weak reference keeps the address of the facts from being used again while it is a key.
pub(super) struct MachineDocuments(Mutex<LruCache<Key, (Weak<Radl>, Bytes)>>);

impl MachineDocuments {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }

    /// The document made from these facts in this state, written by `write` if it is not at hand.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn get<E>(
        &self,
        facts: &Arc<Radl>,
        state: State,
        form: Form,
        write: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let key = (Arc::as_ptr(facts).addr(), state, form);
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, document)) = kept().get(&key) {
            return Ok(document.clone());
        }
        let document = write()?;
        if document.len() <= KEPT_LENGTH {
            kept().insert(key, (Arc::downgrade(facts), document.clone()));
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::{cell::Cell, convert::Infallible};

    #[test]
    fn a_document_is_written_once_for_the_same_facts() {
        let documents = MachineDocuments::new();
        let written = Cell::new(0);
        let get = |facts: &Arc<Radl>, state, form| {
            let write = || {
                written.set(written.get() + 1);
                Ok::<_, Infallible>(Bytes::from(format!("{state} {form:?} {}", written.get())))
            };
            documents.get(facts, state, form, write).unwrap()
        };
        let facts = Arc::new(Radl::default());
        assert_eq!(get(&facts, State::Running, Form::Text), "running Text 1");
        assert_eq!(get(&facts, State::Running, Form::Text), "running Text 1");
        assert_eq!(get(&facts, State::Configured, Form::Text), "configured Text 2");
        assert_eq!(get(&facts, State::Running, Form::Json), "running Json 3");
        // Other facts, even if they are equal or take the place of facts that are gone.
        for number in 4..100 {
            let others = Arc::new(Radl::default());
            assert_eq!(get(&others, State::Running, Form::Text), format!("running Text {number}"));
        }
    }
}
