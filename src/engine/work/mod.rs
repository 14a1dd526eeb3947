//! The slow work of keepers: calls of clouds and contextualizations. It starts after the commit that decided it, and reports
//! back.
//!
//! | module | subject |
//! |---|---|
//! | `children` | the tasks of one keeper |
//! | `placement` | which cloud gets which machines |
//! | [`admission`] | what a request may cost |
//! | `intent` | what a cloud is asked to make |
//! | `launch`, `completion`, `alter`, `removal`, `snapshot` | what clouds are asked to do |
//! | `names` | records of the names of machines |
//! | `rounds` | asking a cloud until it is done, with back-off |
//! | `refresh` | asking the clouds how the machines are |
//! | `tunnel` | what a machine that no master reaches does at its boot |
//! | `context` | the contextualization |

pub mod admission;
mod alter;
pub mod children;
mod completion;
pub mod context;
mod intent;
mod launch;
mod names;
pub mod placement;
pub mod refresh;
mod removal;
mod rounds;
mod snapshot;
pub mod tunnel;
