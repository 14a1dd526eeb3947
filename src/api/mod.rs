//! The APIs: they translate between the wire and the engine, and decide nothing.
//!
//! | module | subject |
//! |---|---|
//! | [`document`] | from the body of a request to a document |
//! | [`owners`] | from credential items to new owners |
//! | [`rest`] | REST, port 8800 |

pub mod document;
pub mod owners;
pub mod rest;
