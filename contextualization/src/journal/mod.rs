//! From the runner's journal to what people read.
//!
//! | module | subject |
//! |---|---|
//! | [`event`] | lines of the journal |
//! | [`demux`] | events of a run to logs and results per machine |
//! | [`answer`] | what Ansible says of a recipe that it cannot run |
//! | [`position`] | how far a journal was read, and what was seen in it |
//! | [`verdict`] | why a machine failed |
//! | [`text`] | the look of the log; masking and escaping |

pub mod answer;
pub mod demux;
pub mod event;
pub mod position;
mod tail;
pub mod text;
pub mod verdict;

#[cfg(test)]
mod tests;
