//! What clients may take of the daemon at the same time. Every place where something piles up by what clients send has one of
//! these around it (docs/architecture.md, 11).
//!
//! | module | subject |
//! |---|---|
//! | [`budget`] | an amount that many hold parts of: who keeps us waiting the longest makes room for others |
//! | [`shares`] | places of which each user has a few, given out in turn |
//! | [`remembered`] | what is kept to be quicker the next time, bounded in bytes and age |

pub mod budget;
pub mod remembered;
pub mod shares;

pub use budget::{Budget, Claim, Full, Holder, Limits};
pub use remembered::Remembered;
pub use shares::{Busy, Share, Shares};
