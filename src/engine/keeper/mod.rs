//! An infrastructure has one keeper, which alone changes it (docs/architecture.md, 3).
//!
//! | module | subject |
//! |---|---|
//! | `handle` | the way to a keeper: changes, reports, snapshots |
//! | `task` | the keeper itself: applies, stores, publishes, starts what follows |
//! | `crew` | who does its slow work |
//! | `told` | the states that the event stream told last |
//! | `doubt` | commits whose answer was lost |
//! | `keepers` | from an id to its keeper |
//! | `directory` | which infrastructures there are |
//! | `resuming` | the work of an earlier daemon goes on in pieces |
//! | `tenure` | taking over from other daemons, and letting go |
//! | `views` | reading what another daemon keeps |
//! | `commit_point` | where tests let a daemon die |

mod commit_point;
pub mod crew;
pub mod directory;
mod doubt;
pub mod handle;
pub mod keepers;
pub mod resuming;
mod task;
pub mod tenure;
mod told;
mod views;
