//! Who does the slow work of a keeper.

use crate::engine::{
    keeper::handle::Handle,
    services::Services,
    state::{draft::Effect, model::Infrastructure},
    transitions::Event,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Finds the crew of a keeper; its tasks end where they are when the token is cancelled.
pub type Hire = fn(Arc<Services>, Handle, CancellationToken) -> Box<dyn Crew>;

/// Does what changes ask for, beside the keeper, and reports to it.
pub trait Crew: Send {
    /// Starts what a change asked for.
    fn start(&mut self, effect: Effect, snapshot: &Arc<Infrastructure>);

    /// Takes note of a report before it is applied.
    fn note(&mut self, event: &Event);

    /// Learns of a new state.
    fn follow(&mut self, snapshot: &Arc<Infrastructure>);

    /// Ends what is of no use any more: the infrastructure is gone.
    fn stop(&mut self);

    /// Ends all tasks where they are: the infrastructure has another keeper, which goes on.
    fn leave(&mut self);
}
