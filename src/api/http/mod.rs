//! HTTP as both APIs need it, whatever they say over it, and the server of the sites.
//!
//! | module | subject |
//! |---|---|
//! | [`listener`] | the socket, and the encryption of what comes over it |
//! | [`tls`] | keys and certificates |
//! | `connections` | accepting connections, bounding them, and ending them in order |
//! | `progress` | whose turn it is on a connection, and for how long |
//! | `body` | reading a body within its bounds |
//! | `gzip` | bodies that are compressed |
//! | [`server`] | a port with sites, each below a prefix |
//! | [`site`] | an HTTP contract: its routes, its errors, the way of its requests |
//! | [`router`] | from a path to a row of a table of routes, and contradictions in it |
//! | [`external_url`] | the address of the server as clients see it |
//! | `metrics` | requests of all sites, counted |

pub(crate) mod body;
pub(crate) mod connections;
pub mod external_url;
pub(crate) mod gzip;
pub mod listener;
mod metrics;
pub(crate) mod progress;
pub mod router;
pub mod server;
pub mod site;
pub mod tls;

pub use listener::Listener;
pub use server::{MountError, ServerSettings, Sites, serve};
pub use site::{Refusal, Response, Route, Site, SiteRequest};
pub use tls::{Tls, TlsError};
