//! Files at addresses that documents of TOSCA name, and the repository of templates: what the daemon fetches by a user's
//! word, and what keeps such a word from leading anywhere that the configuration does not allow (docs/spec/tosca.md 2.3).
//!
//! | module | subject |
//! |---|---|
//! | [`address`] | addresses that nothing is fetched from: pure |
//! | [`permission`] | which URLs may be fetched: pure |
//! | `mirror` | copies on this host |
//! | [`fetcher`] | one file by HTTPS: limits, redirections, what is kept |
//! | [`gathering`] | all files of one document |
//! | [`repository`] | the repository of templates |
//!
//! A connection goes to an address that was looked at after its name was resolved, so that a name which means another place
//! the next time it is asked for leads nowhere.

pub mod address;
pub mod fetcher;
pub mod gathering;
mod mirror;
pub mod permission;
pub mod repository;

pub use fetcher::{FetchError, Fetcher, Network};
pub use gathering::Gathering;
pub use permission::Permission;
pub use repository::Repository;
