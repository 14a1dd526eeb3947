//! Answering another daemon. What it passes on is done here or refused, never passed on again.

use crate::engine::{
    cluster::{
        Cluster,
        wire::{self, Hello, MessageKind, Question, Welcome},
    },
    keeper::keepers::Seized,
    operations::engine::Engine,
    services::apart::SHORT,
};
use bytes::Bytes;
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
        let hello: Hello = wire::open(keyring, MessageKind::Hello(&cluster.session()), sealed).ok()?;
        let kept = matches!(self.keepers.seize(&hello.infrastructure).await, Ok(Seized::Here(_)));
        let welcome = Welcome { ticket: kept.then(|| cluster.tickets.give()) };
        wire::seal(keyring, MessageKind::Welcome(&hello.number), &welcome).ok()
    }

    /// Whether a question may come under this ticket; it is good for one.
    pub fn take_ticket(&self, ticket: &str) -> bool {
        self.cluster().is_some_and(|cluster| cluster.tickets.take(ticket))
    }

    /// Opens the question that came under a ticket; none if it is not from a daemon that shares our key.
    pub async fn open_question(&self, ticket: &str, sealed: Bytes) -> Option<Question> {
        let (keyring, ticket) = (self.cluster()?.settings.keyring.clone(), ticket.to_owned());
        let is_short = sealed.len() < SHORT;
        let open = move || wire::open(&keyring, MessageKind::Question(&ticket), &sealed).ok();
        if is_short { open() } else { self.apart("another daemon", open).await.ok()? }
    }

    /// Answers a question.
    pub async fn answer(&self, ticket: &str, question: Question) -> Option<Vec<u8>> {
        let keyring = &self.cluster()?.settings.keyring;
        let here = Self { forwards: false, ..self.clone() };
        let Question { infrastructure, caller, change, parameters } = question;
        let answer = here.make_named(&caller, &infrastructure, &change, &parameters).await;
        wire::seal(keyring, MessageKind::Answer(ticket), &answer).ok()
    }
}
