//! Answering another daemon. What it passes on is done here or refused, never passed on again.

use crate::engine::{
    cluster::{
        Cluster,
        wire::{self, Hello, Kind, Question, Request, Welcome},
    },
    error::OperationError,
    keeper::keepers::Seized,
    operations::engine::Engine,
    services::apart::SHORT,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

impl Engine {
    /// Whether other daemons may ask this one.
    fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.services.cluster.as_ref()
    }

    /// Answers a hello; none if it is not from a daemon that shares our key, or meant for another one.
    pub async fn welcome(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let cluster = self.cluster()?;
        let keyring = &cluster.settings.keyring;
        let hello: Hello = wire::open(keyring, Kind::Hello(&cluster.session()), sealed).ok()?;
        let kept = matches!(self.keepers.seize(&hello.infrastructure).await, Ok(Seized::Here(_)));
        let welcome = Welcome { ticket: kept.then(|| cluster.tickets.give()) };
        wire::seal(keyring, Kind::Welcome(&hello.number), &welcome).ok()
    }

    /// Whether a question may come under this ticket; it is good for one.
    pub fn take_ticket(&self, ticket: &str) -> bool {
        self.cluster().is_some_and(|cluster| cluster.tickets.take(ticket))
    }

    /// Opens the question that came under a ticket; none if it is not from a daemon that shares our key.
    pub async fn open_question(&self, ticket: &str, sealed: Bytes) -> Option<Question> {
        let (keyring, ticket) = (self.cluster()?.settings.keyring.clone(), ticket.to_owned());
        let is_short = sealed.len() < SHORT;
        let open = move || wire::open(&keyring, Kind::Question(&ticket), &sealed).ok();
        if is_short { open() } else { self.apart("another daemon", open).await.ok()? }
    }

    /// Answers a question.
    pub async fn answer(&self, ticket: &str, question: Question) -> Option<Vec<u8>> {
        let keyring = &self.cluster()?.settings.keyring;
        let here = Self { forwards: false, ..self.clone() };
        // Boxed: few requests come this way.
        let answer = Box::pin(here.perform(question)).await;
        wire::seal(keyring, Kind::Answer(ticket), &answer).ok()
    }

    async fn perform(&self, question: Question) -> Result<Value, OperationError> {
        use Request as R;
        let Question { infrastructure: id, caller, request } = question;
        let caller = &caller;
        match request {
            R::Add { document, context } => value(self.add(caller, &id, document, context).await),
            R::Remove { vms, context } => value(self.remove(caller, &id, &vms, context).await),
            R::Reconfigure { document, vms } => value(self.reconfigure(caller, &id, document, vms).await),
            R::Destroy { force, asynchronous } => value(self.destroy(caller, &id, force, asynchronous).await),
            R::Power { number, operation } => value(self.power(caller, &id, number, operation).await),
            R::Alter { number, document } => value(self.alter(caller, &id, number, document).await),
            R::Snapshot { number, disk, name, auto_delete } => {
                value(self.snapshot(caller, &id, number, disk, &name, auto_delete).await)
            }
            R::ChangeOwners { owners, overwrite } => value(self.change_owners(caller, &id, owners, overwrite).await),
            R::GiveAway => value(self.export(caller, &id, true).await),
            R::Tunnel { vm, key } => value(self.tunnel(caller, &id, vm, key.as_deref()).await),
            R::Refresh => value(self.refresh(caller, &id).await),
        }
    }
}

fn value(answer: Result<impl Serialize, OperationError>) -> Result<Value, OperationError> {
    serde_json::to_value(answer?).map_err(|error| OperationError::Unavailable(error.to_string()))
}
