//! What daemons say to each other. Everything is sealed with the data key that they share, so that nobody else can ask or
//! listen; what may be asked is what the caller may, whose credentials were checked where the request came in.
//!
//! A daemon first asks whether the other one keeps the infrastructure (`/hello`). The answer carries a ticket, good for one
//! question (`/ask/<ticket>`), so that an exchange that was recorded cannot be played again.
//!
//! Daemons of two versions may share a store while one after the other is exchanged. A change that the one who is asked does not
//! know is answered with an error that says so; a message that it cannot read at all is not answered.

use crate::{
    auth::Caller,
    store::{Keyring, sealing::SealError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

/// Path of the first question.
pub const HELLO: &str = "/hello";
/// Path of the second one, before the ticket.
pub const ASK: &str = "/ask/";

/// What a message is; each kind opens as nothing else.
#[derive(Debug, Clone, Copy)]
pub enum MessageKind<'a> {
    /// To the daemon of this session.
    Hello(&'a str),
    /// Answers the hello with this number.
    Welcome(&'a str),
    /// Under this ticket.
    Question(&'a str),
    /// Under this ticket.
    Answer(&'a str),
}

impl MessageKind<'_> {
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
    /// Name of the change that is to be made.
    pub change: String,
    /// Its parameters, which are read by the one who knows the change.
    pub parameters: Box<RawValue>,
}

impl Question {
    /// Asks for a change.
    ///
    /// # Errors
    /// Parameters that cannot be written as JSON.
    pub fn new(
        infrastructure: String,
        caller: Caller,
        change: &str,
        parameters: &impl Serialize,
    ) -> Result<Self, SealError> {
        let parameters = to_raw_value(parameters).map_err(|error| SealError::Failed(error.to_string()))?;
        Ok(Self { infrastructure, caller, change: change.to_owned(), parameters })
    }
}

/// Seals a message.
///
/// # Errors
/// The library.
pub fn seal(keyring: &Keyring, kind: MessageKind<'_>, message: &impl Serialize) -> Result<Vec<u8>, SealError> {
    let plain = serde_json::to_vec(message).map_err(|error| SealError::Failed(error.to_string()))?;
    keyring.seal(&kind.associated_data(), &plain)
}

/// Opens a message.
///
/// # Errors
/// It is not one of this kind from a daemon with our key.
pub fn open<T: DeserializeOwned>(keyring: &Keyring, kind: MessageKind<'_>, sealed: &[u8]) -> Result<T, SealError> {
    let plain = keyring.open(&kind.associated_data(), sealed)?;
    serde_json::from_slice(&plain).map_err(|_| SealError::Damaged)
}
