//! The HTTP client of real clouds: what their APIs have in common, so that a connector says only what is its own.
//!
//! | module | subject |
//! |---|---|
//! | [`settings`] | time limits and certificates, for all clouds and for one credential line |
//! | [`trust`] | certificates, once for all accounts |
//! | [`client`] | requests to one cloud as one account, and their replies |
//! | [`refusal`] | from a status and a body to an error of a class |
//! | [`session`] | tokens: shared by all callers of an account, renewed once |
//! | [`paging`] | lists that come in pages |
//! | [`long_running`] | operations that a cloud goes on with after its reply |
//! | [`redaction`] | keeps secrets out of what a cloud says |
//!
//! Nothing here repeats a request, but for one renewal of a token that the cloud does not take any more: repeating is for
//! the layers and for the engine, which know whether an operation may be repeated.

pub mod client;
pub mod long_running;
pub mod paging;
pub mod redaction;
pub mod refusal;
pub mod session;
pub mod settings;
pub mod trust;

pub use client::{Client, Reply, base_url};
pub use long_running::{Handle, Patience, Progress};
pub use paging::{Page, all_pages};
pub use refusal::{Fault, Refusal};
pub use session::{Authority, Token};
pub use settings::HttpSettings;
// What a connector names of the library below.
pub use reqwest::{Method, RequestBuilder, StatusCode, Url, header};
