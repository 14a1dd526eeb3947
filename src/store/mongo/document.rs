//! The documents of the collections.
//!
//! MongoDB changes one document at a time, and a server alone has no transactions. So a commit is one change of the
//! document of the infrastructure: besides the infrastructure's own values it takes the machines and events of the commit
//! along. From there they are copied into collections of their own, where they must be before the next commit takes
//! their place. A reader puts the ones of the last commit over those of the collections.

use crate::store::{
    StoreError,
    rows::{SealedEvent, kind_number, kind_of},
};
use mongodb::bson::{Binary, DateTime, oid::ObjectId, spec::BinarySubtype};
use serde::{Deserialize, Serialize};

/// Names of the collections.
pub(super) mod collection {
    /// [`super::Head`], [`super::Values`], what the index is made of, and the lease: `session` (none: nobody's) and `token`.
    pub(in super::super) const INFRASTRUCTURES: &str = "infrastructures";
    /// [`super::Machine`] with `i` (`made` of the infrastructure) and `key`.
    pub(in super::super) const VMS: &str = "vms";
    /// [`super::Event`] with `i` and `key`.
    pub(in super::super) const EVENTS: &str = "events";
    /// [`super::Chunk`] with `i` and `mark` of the commit.
    pub(in super::super) const CHUNKS: &str = "chunks";
    /// [`super::Daemon`]
    pub(in super::super) const DAEMONS: &str = "daemons";
    /// One document: `version` of the collections, `key_check`, and `checks`, which a check of the store increases.
    pub(in super::super) const SCHEMA: &str = "schema_version";
}

/// The values of an infrastructure itself.
#[derive(Deserialize)]
pub(super) struct Values {
    pub(super) data: Binary,
    pub(super) progress: Option<Binary>,
}

/// An infrastructure without its values, with what its last commit wrote.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    /// Stands for the infrastructure in the other collections; increases from one to the next.
    pub(super) made: ObjectId,
    pub(super) version: i64,
    /// Of the last commit, by which it is known again when the answer to it was lost.
    pub(super) mark: i64,
    /// Highest sequence of an event.
    pub(super) sequence: i64,
    /// Log events up to this sequence count as removed.
    pub(super) cleared: i64,
    /// In how many chunks the machines and events of the last commit are, when they are not here.
    pub(super) chunks: i32,
    /// Machines that the last commit wrote.
    pub(super) vms: Vec<Machine>,
    /// Events that the last commit wrote.
    pub(super) events: Vec<Event>,
}

/// The session of a daemon that shares the database. It is over when its time has come, and then its document may go;
/// without a document it is over for good.
#[derive(Serialize, Deserialize)]
pub(super) struct Daemon {
    #[serde(rename = "_id")]
    pub(super) session: String,
    pub(super) url: String,
    pub(super) place: String,
    /// By the server's clock.
    pub(super) expires: DateTime,
    /// Sessions whose infrastructures are to pass to this one.
    pub(super) former: Vec<String>,
}

/// A part of the machines and events of a commit that is too large for one document. It is there before the commit, and
/// goes when they are in their collections.
#[derive(Deserialize)]
pub(super) struct Chunk {
    pub(super) vms: Vec<Machine>,
    pub(super) events: Vec<Event>,
}

/// A machine: its number and value, and in its collection the version that wrote it.
#[derive(Serialize, Deserialize)]
pub(super) struct Machine {
    #[serde(default, skip_serializing)]
    pub(super) w: i64,
    pub(super) n: i64,
    pub(super) d: Binary,
}

/// An event: sequence, machine, kind, time and text.
#[derive(Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) s: i64,
    pub(super) v: Option<i64>,
    pub(super) k: i32,
    pub(super) a: i64,
    pub(super) t: Binary,
}

impl Machine {
    pub(super) fn number(&self) -> Result<u32, StoreError> {
        u32::try_from(self.n).map_err(|_| StoreError::Corrupt(format!("there is no machine {}", self.n)))
    }
}

impl From<SealedEvent> for Event {
    fn from(event: SealedEvent) -> Self {
        let SealedEvent { sequence, vm, kind, at, text } = event;
        Self { s: number(sequence), v: vm.map(i64::from), k: kind_number(kind).into(), a: at, t: binary(text) }
    }
}

impl TryFrom<Event> for SealedEvent {
    type Error = StoreError;

    fn try_from(event: Event) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt(format!("event {} is not what this version writes", event.s));
        Ok(Self {
            sequence: u64::try_from(event.s).map_err(|_| corrupt())?,
            vm: event.v.map(u32::try_from).transpose().map_err(|_| corrupt())?,
            kind: kind_of(u8::try_from(event.k).map_err(|_| corrupt())?)?,
            at: event.a,
            text: event.t.bytes,
        })
    }
}

/// Bytes as a value of a document.
pub(super) fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

/// How a sealed value begins that is sealed with the same key.
pub(super) fn key_of(sealed: &Binary) -> Binary {
    binary(sealed.bytes.iter().copied().take(5).collect())
}

/// A version or sequence as documents have it.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A version or sequence of a document.
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
