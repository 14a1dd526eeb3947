//! The state of an infrastructure: plain data, and what is derived from it.
//!
//! | module | subject |
//! |---|---|
//! | [`model`] | the state itself |
//! | [`accounts`] | which account of a cloud is asked about a machine |
//! | [`draft`] | a model under change, and what follows from the change |
//! | [`observation`] | what a cloud said, in the document of a machine |
//! | [`facts`] | what the contextualization may know |
//! | [`states`] | the states that the outside sees |
//! | [`rights`] | which callers may do what to it |
//! | [`extra_info`] | what it carries besides |
//! | [`render`], [`memo`] | texts made of it |
//! | [`rows`] | as rows of the store |

pub mod accounts;
pub mod draft;
pub mod extra_info;
pub mod facts;
pub mod memo;
pub mod model;
pub mod observation;
pub mod render;
pub mod rights;
pub mod rows;
pub mod states;
