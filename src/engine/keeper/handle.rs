//! The way to a keeper.

use crate::{
    engine::{
        error::OperationError,
        state::{
            draft::{Draft, WorkResult},
            model::Infrastructure,
        },
        transitions::Event,
    },
    store::StoreError,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub type Apply = Box<dyn FnOnce(&mut Draft) -> Acknowledge + Send>;
pub type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a keeper is told.
pub enum Message {
    /// Refused with the store's error while the store is away.
    Command(Apply),
    /// Applied again until it is stored. The answer says whether it was still of use.
    Report(Event, Option<oneshot::Sender<bool>>),
}

/// The way to a keeper, and what it published last.
#[derive(Clone)]
pub struct Handle {
    pub(super) mailbox: mpsc::UnboundedSender<Message>,
    pub(super) snapshot: watch::Receiver<Arc<Infrastructure>>,
    pub(super) events: watch::Receiver<u64>,
    /// When the clouds were last asked on behalf of a client, microseconds since the start of the daemon.
    pub(super) asked: Arc<AtomicI64>,
    /// Another daemon keeps it now.
    pub(super) left: CancellationToken,
}

impl Handle {
    /// Whether this is the way to the keeper that publishes these snapshots.
    #[must_use]
    pub fn is_of(&self, snapshots: &watch::Receiver<Arc<Infrastructure>>) -> bool {
        self.snapshot.same_channel(snapshots)
    }

    /// Ends the keeper, without ending what runs on machines: another daemon goes on with it.
    pub fn leave(&self) {
        self.left.cancel();
    }

    /// Whether the keeper has ended, or is to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left.is_cancelled() || self.mailbox.is_closed()
    }

    /// Why a keeper did not answer.
    fn ended(&self) -> OperationError {
        if self.snapshot().deleted { OperationError::DeletedInfrastructure } else { OperationError::Moved }
    }

    /// Whether the clouds are to be asked again; if so, this caller is the one to do it.
    #[must_use]
    pub fn is_due(&self, now: i64, frequency: Duration) -> bool {
        let last = self.asked.load(Ordering::Relaxed);
        let frequency = i64::try_from(frequency.as_micros()).unwrap_or(i64::MAX);
        now.saturating_sub(last) >= frequency
            && self.asked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The state as last stored.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Infrastructure> {
        self.snapshot.borrow().clone()
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Infrastructure>> {
        self.snapshot.clone()
    }

    /// Follows the sequence of the last stored event.
    #[must_use]
    pub fn watch_events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// Changes the infrastructure; returns when the change is durable.
    ///
    /// # Errors
    /// What `change` refused, with nothing changed; the store; a keeper that ended.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<T, OperationError> + Send + 'static,
    ) -> Result<T, OperationError> {
        let (reply, answer) = oneshot::channel();
        let apply: Apply = Box::new(move |draft| {
            // What is applied with it may have deleted the infrastructure.
            let result = if draft.model.deleted { Err(OperationError::DeletedInfrastructure) } else { change(draft) };
            Box::new(move |stored| {
                let result = result.and_then(|value| stored.map(|()| value).map_err(OperationError::from));
                // Nobody waits any more: the change stands all the same.
                let _ = reply.send(result);
            })
        });
        self.mailbox.send(Message::Command(apply)).map_err(|_| self.ended())?;
        answer.await.map_err(|_| self.ended())?
    }

    /// Accepts a piece of work by a change of the infrastructure, and waits for its end.
    ///
    /// # Errors
    /// What `change` refused, with nothing changed; the store; a keeper that ended, or cannot tell the end of the work.
    pub async fn change_and_wait(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<u64, OperationError> + Send + 'static,
    ) -> Result<WorkResult, OperationError> {
        let (done, end) = oneshot::channel();
        self.change(move |draft| {
            let work = change(draft)?;
            draft.waiters.entry(work).or_default().push(done);
            Ok(())
        })
        .await?;
        let untold = "the work goes on; its end cannot be told, for it cannot be stored now or the daemon is stopping";
        end.await.map_err(|_| OperationError::InDoubt(untold.to_owned()))
    }

    /// Reports what happened; it is applied sooner or later.
    pub fn report(&self, event: Event) {
        // A keeper that ended has nothing left to learn.
        let _ = self.mailbox.send(Message::Report(event, None));
    }

    /// Reports what happened and waits until it is durable; whether it was still of use.
    pub async fn report_and_wait(&self, event: Event) -> bool {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Message::Report(event, Some(reply))).is_ok() && answer.await.unwrap_or(false)
    }
}
