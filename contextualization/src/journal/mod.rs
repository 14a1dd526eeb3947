//! From the runner's journal to what people read.
//!
//! | module | subject |
//! |---|---|
//! | [`event`] | lines of the journal |
//! | [`demux`] | events of a run to logs and results per machine |
//! | [`text`] | the look of the log; masking and escaping |

pub mod demux;
pub mod event;
pub mod text;

#[cfg(test)]
mod tests;
