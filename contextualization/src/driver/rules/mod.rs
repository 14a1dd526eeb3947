//! The pure part of the driver: where a contextualization stands, and what follows from that. Nothing here waits, looks at a
//! clock, or knows of connections.
//!
//! | module | subject |
//! |---|---|
//! | `key` | what a playbook's item is called in the stored progress |
//! | `item` | a playbook over some machines |
//! | `progress` | where the contextualization stands |
//! | `next` | what happens next with an item |
//! | `parts` | who of a lane waits for machines that come late |

pub(super) mod item;
pub(super) mod key;
pub(super) mod next;
pub(super) mod parts;
pub(super) mod progress;

#[cfg(test)]
mod histories;
