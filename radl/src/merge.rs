//! Documents onto documents: what AddResource and Reconfigure make of the stored one.

use crate::error::RadlError;
use crate::model::{AnsibleHost, Configure, Contextualize, NOT_WHOLE, Network, System};
use std::collections::HashSet;

/// A sentence with an id that is unique in its class.
trait Identified {
    fn id(&self) -> &str;
}

macro_rules! identified {
    ($($class:ty: $field:ident),*) => {$(
        impl Identified for $class {
            fn id(&self) -> &str {
                &self.$field
            }
        }
    )*};
}
identified!(AnsibleHost: id, Network: id, System: name, Configure: name);

/// Ids taken so far, per class.
#[derive(Default)]
pub(crate) struct TakenIds(HashSet<(&'static str, String)>);

impl TakenIds {
    /// Takes an id.
    ///
    /// # Errors
    /// It is taken already.
    pub fn take(&mut self, class: &'static str, id: &str) -> Result<(), RadlError> {
        if self.0.insert((class, id.to_owned())) {
            return Ok(());
        }
        Err(RadlError::plain("Aspect with the same id was found.").about(id))
    }
}

/// Adds the sentences whose id is new.
fn add_new<T: Identified>(class: &mut Vec<T>, added: Vec<T>) {
    let known: HashSet<String> = class.iter().map(|old| old.id().to_owned()).collect();
    class.extend(added.into_iter().filter(|new| !known.contains(new.id())));
}

/// Appends the sentences, in the place of those with their ids.
fn replace<T: Identified>(class: &mut Vec<T>, added: Vec<T>) {
    let ids: HashSet<&str> = added.iter().map(Identified::id).collect();
    class.retain(|old| !ids.contains(old.id()));
    class.extend(added);
}

/// Merges contextualize sentences in order: the longest time; later items and options on top of earlier ones.
pub(crate) fn contextualize(sentences: impl IntoIterator<Item = Contextualize>) -> Option<Contextualize> {
    let mut sentences = sentences.into_iter();
    let mut merged = sentences.next()?;
    let mut items = Vec::new();
    for added in sentences {
        // A time that is no whole number has to reach the check, whatever the other one is.
        merged.max_time = match merged.max_time.min(added.max_time) {
            ..0 => NOT_WHOLE,
            _ => merged.max_time.max(added.max_time),
        };
        merged.options.extend(added.options);
        items.extend(added.items);
    }
    merged.add_items(items);
    Some(merged)
}
