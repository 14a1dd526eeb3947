//! Tickets for questions of other daemons: each is good for one.

use hashlink::LruCache;
use std::sync::{Mutex, PoisonError};

/// Tickets that were not used yet; older ones are forgotten.
const TICKETS: usize = 4096;

pub struct Tickets(Mutex<LruCache<String, ()>>);

impl Default for Tickets {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(TICKETS)))
    }
}

impl Tickets {
    pub fn give(&self) -> String {
        let ticket = uuid::Uuid::new_v4().to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket.clone(), ());
        ticket
    }

    pub fn take(&self, ticket: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket).is_some()
    }
}
