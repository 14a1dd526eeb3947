//! What takes long, such as reading a large document, is done on threads apart from those that serve requests: a few things
//! at a time, in turn for all users.

use crate::{
    bounds::{Budget, Limits, Shares},
    engine::error::OperationError,
};
use radl::Radl;
use std::{sync::Arc, time::Duration};

/// Texts of fewer bytes are read in less time than it takes to wake another thread.
pub const SHORT: usize = 16 << 10;

/// Things of one user that may wait for their turn.
const WAITING: usize = 64;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time that the client of a body may let us wait for it, altogether, before it may have to make room for others.
const GRACE: Duration = Duration::from_secs(1);
/// How long a body waits for memory.
const MEMORY_PATIENCE: Duration = Duration::from_secs(20);

/// Parts of a document, and bytes of its recipes, that are written in less time than it takes to wake another thread.
const FEW: (usize, usize) = (200, 64 << 10);

/// Whether it takes long to write the document.
#[must_use]
pub fn is_long(document: &Radl) -> bool {
    let Radl { systems, networks, configures, deploys, .. } = document;
    let parts = systems.len() + networks.len() + configures.len() + deploys.len();
    let features: usize = systems.iter().map(|system| system.features.iter().count()).sum();
    let recipes: usize = configures.iter().filter_map(|configure| configure.recipe.as_ref()).map(String::len).sum();
    parts + features > FEW.0 || recipes > FEW.1
}

/// Threads and memory that requests share.
pub struct Capacity {
    turns: Shares,
    /// The memory for the bodies of all requests.
    pub bodies: Arc<Budget>,
}

impl Capacity {
    /// As many threads as there are processors, two at least; one user has half of them. `bodies` bytes for the bodies of
    /// all requests; one address has half of them.
    #[must_use]
    pub fn new(bodies: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |number| number.get().max(2));
        let limits = Limits { all: bodies, address: bodies / 2, grace: GRACE, patience: MEMORY_PATIENCE };
        Self { turns: Shares::new(threads, threads / 2, WAITING, PATIENCE), bodies: Budget::new(limits) }
    }
}

impl Capacity {
    /// Does what may take long for a user. It is brought to its end even if nobody waits for it any more.
    ///
    /// # Errors
    /// [`OperationError::Busy`]: too much of the user waits already.
    ///
    /// # Panics
    /// As `job`.
    pub async fn apart<T: Send + 'static>(
        &self,
        user: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OperationError> {
        let turn = self.turns.take(user).await.map_err(|_| {
            OperationError::Busy("Too many of your requests that take long are waiting, try again later.".to_owned())
        })?;
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            span.in_scope(job)
        });
        match done.await {
            Ok(value) => Ok(value),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(OperationError::Busy("The service is stopping.".to_owned())),
            },
        }
    }
}
