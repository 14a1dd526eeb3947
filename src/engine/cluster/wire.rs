//! What daemons say to each other. Everything is sealed with the data key that they share, so that nobody else can ask or
//! listen; what may be asked is what the caller may, whose credentials were checked where the request came in.
//!
//! A daemon first asks whether the other one keeps the infrastructure (`/hello`). The answer carries a ticket, good for one
//! question (`/ask/<ticket>`), so that an exchange that was recorded cannot be played again.

use crate::{
    auth::{Caller, Identity},
    store::{Keyring, sealing::SealError},
};
use connectors::PowerOperation;
use radl::Radl;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// Path of the first question.
pub const HELLO: &str = "/hello";
/// Path of the second one, before the ticket.
pub const ASK: &str = "/ask/";

/// What a message is; each kind opens as nothing else.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// To the daemon of this session.
    Hello(&'a str),
    /// Answers the hello with this number.
    Welcome(&'a str),
    /// Under this ticket.
    Question(&'a str),
    /// Under this ticket.
    Answer(&'a str),
}

impl Kind<'_> {
    /// Begins unlike that of any row of the store, which has the length of an id there.
    fn associated_data(self) -> Vec<u8> {
        let (name, text) = match self {
            Self::Hello(session) => ("hello", session),
            Self::Welcome(number) => ("welcome", number),
            Self::Question(ticket) => ("question", ticket),
            Self::Answer(ticket) => ("answer", ticket),
        };
        format!("imd daemons {name} {text}").into_bytes()
    }
}

/// Do you keep this infrastructure?
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Its id.
    pub infrastructure: String,
    /// Random; the answer is sealed with it.
    pub number: String,
}

/// The answer to [`Hello`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// For the question; none when another daemon keeps it.
    pub ticket: Option<String>,
}

/// What to do with an infrastructure, and for whom.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// Its id.
    pub infrastructure: String,
    /// Who asked.
    pub caller: Caller,
    /// What for.
    pub request: Request,
}

/// A change, with the arguments of the operation of that name of [`Engine`](crate::engine::Engine).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Request {
    Add { document: Radl, context: bool },
    Remove { vms: Vec<u32>, context: bool },
    Reconfigure { document: Option<Radl>, vms: Option<BTreeSet<u32>> },
    Destroy { force: bool, asynchronous: bool },
    Power { number: Option<u32>, operation: PowerOperation },
    Alter { number: u32, document: Radl },
    Snapshot { number: u32, disk: usize, name: String, auto_delete: bool },
    ChangeOwners { owners: Vec<Identity>, overwrite: bool },
    GiveAway,
    Refresh,
    Tunnel { vm: u32, key: Option<String> },
}

/// Seals a message.
///
/// # Errors
/// The library.
pub fn seal(keyring: &Keyring, kind: Kind<'_>, message: &impl Serialize) -> Result<Vec<u8>, SealError> {
    let plain = serde_json::to_vec(message).map_err(|error| SealError::Failed(error.to_string()))?;
    keyring.seal(&kind.associated_data(), &plain)
}

/// Opens a message.
///
/// # Errors
/// It is not one of this kind from a daemon with our key.
pub fn open<T: DeserializeOwned>(keyring: &Keyring, kind: Kind<'_>, sealed: &[u8]) -> Result<T, SealError> {
    let plain = keyring.open(&kind.associated_data(), sealed)?;
    serde_json::from_slice(&plain).map_err(|_| SealError::Damaged)
}
