//! Infrastructures in the form of the reference's export (docs/spec/api.md 5.6), out and in.
//!
//! | module | subject |
//! |---|---|
//! | [`record`] | the document, and what older writers made of it |
//! | [`export`] | from the model to the document |
//! | [`import`] | from the document to the model |
//! | [`stored`] | between the document and the rows of the store |

pub mod export;
pub mod import;
pub mod record;
pub mod stored;

#[cfg(test)]
mod tests;
