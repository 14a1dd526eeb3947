//! `semantics.json`.
