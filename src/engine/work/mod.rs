//! The slow work of keepers: calls of clouds and contextualizations. It starts after the commit that decided it, and reports
//! back.
//!
//! | module | subject |
//! |---|---|
//! | `children` | the tasks of one keeper |
//! | `placement` | which cloud gets which machines |
//! | [`admission`] | what a request may cost |
//! | `launch`, `alter`, `removal`, `snapshot` | what clouds are asked to do |
//! | `rounds` | asking a cloud until it is done, with back-off |
//! | `refresh` | asking the clouds how the machines are |
//! | `tunnel` | what a machine that no master reaches does at its boot |
//! | `context` | the contextualization |

pub mod admission;
mod alter;
pub mod children;
pub mod context;
mod launch;
pub mod placement;
pub mod refresh;
mod removal;
mod rounds;
mod snapshot;
pub mod tunnel;
