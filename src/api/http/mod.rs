//! HTTP as both APIs need it, whatever they say over it.
//!
//! | module | subject |
//! |---|---|
//! | [`listener`] | the socket, and the encryption of what comes over it |
//! | [`tls`] | keys and certificates |
//! | `connections` | accepting connections, bounding them, and ending them in order |
//! | `progress` | whose turn it is on a connection, and for how long |
//! | `body` | reading a body within its bounds |
//! | `gzip` | bodies that are compressed |

pub(crate) mod body;
pub(crate) mod connections;
pub(crate) mod gzip;
pub mod listener;
pub(crate) mod progress;
pub mod tls;

pub use listener::Listener;
pub use tls::{Tls, TlsError};
