//! What is sealed in which row: the same for every backend.

use super::{Changes, EventKind, FIRST_SHARED, Keyring, Lease, NewEvent, StoreError, StoredEvent, sealing::SealError};

/// A row that holds a sealed value. Its plain columns are part of the associated data, so that neither the value nor
/// those columns can be exchanged with another row's.
#[derive(Clone, Copy)]
pub(super) enum Row {
    /// The one value of a database that tells whether the key is right.
    KeyCheck,
    Infrastructure,
    Vm(u32),
    Progress,
    Event {
        sequence: u64,
        vm: Option<u32>,
        kind: EventKind,
        at: i64,
    },
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeyCheck => f.write_str("the key check"),
            Self::Infrastructure => f.write_str("the state"),
            Self::Vm(number @ FIRST_SHARED..) => write!(f, "what machines share (part {})", number - FIRST_SHARED),
            Self::Vm(number) => write!(f, "machine {number}"),
            Self::Progress => f.write_str("the contextualization's progress"),
            Self::Event { sequence, .. } => write!(f, "event {sequence}"),
        }
    }
}

impl Row {
    fn associated_data(self, id: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(id.len() + 32);
        data.extend((id.len() as u64).to_le_bytes());
        data.extend(id.as_bytes());
        match self {
            Self::KeyCheck => data.push(b'k'),
            Self::Infrastructure => data.push(b'i'),
            Self::Progress => data.push(b'p'),
            Self::Vm(number) => {
                data.push(b'v');
                data.extend(number.to_le_bytes());
            }
            Self::Event { sequence, vm, kind, at } => {
                data.push(b'e');
                data.extend(sequence.to_le_bytes());
                data.extend(vm.map_or(-1, i64::from).to_le_bytes());
                data.push(kind_number(kind));
                data.extend(at.to_le_bytes());
            }
        }
        data
    }

    /// Seals the value of this row of infrastructure `id`.
    pub(super) fn seal(self, keyring: &Keyring, id: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        keyring.seal(&self.associated_data(id), plain).map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// Opens the value of this row of infrastructure `id`.
    pub(super) fn open(self, keyring: &Keyring, id: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        keyring.open(&self.associated_data(id), sealed).map_err(|error| self.corrupt(id, &error))
    }

    /// The value of this row sealed anew with the newest key.
    pub(super) fn reseal(self, keyring: &Keyring, id: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal(keyring, id, &self.open(keyring, id, sealed)?)
    }

    /// Opens the text of an event.
    pub(super) fn open_text(self, keyring: &Keyring, id: &str, sealed: &[u8]) -> Result<String, StoreError> {
        String::from_utf8(self.open(keyring, id, sealed)?).map_err(|_| self.corrupt(id, &SealError::Damaged))
    }

    fn corrupt(self, id: &str, error: &SealError) -> StoreError {
        StoreError::Corrupt(match self {
            Self::KeyCheck => error.to_string(),
            _ => format!("{self} of infrastructure {id} cannot be opened: {error}"),
        })
    }
}

/// The key check of a new database; what it seals is the id of the database.
pub(super) fn new_key_check(keyring: &Keyring) -> Result<Vec<u8>, StoreError> {
    Row::KeyCheck.seal(keyring, "", uuid::Uuid::new_v4().to_string().as_bytes())
}

/// The id of a database by its key check, which proves that the keys are right; none when it is from before ids.
pub(super) fn database_id(keyring: &Keyring, key_check: &[u8]) -> Result<Option<String>, StoreError> {
    let id = Row::KeyCheck.open_text(keyring, "", key_check)?;
    Ok((!id.is_empty()).then_some(id))
}

/// The number that stands for a kind in the database.
pub(super) const fn kind_number(kind: EventKind) -> u8 {
    match kind {
        EventKind::State => 0,
        EventKind::Log => 1,
    }
}

/// The kind a number of the database stands for.
pub(super) fn kind_of(number: u8) -> Result<EventKind, StoreError> {
    match number {
        0 => Ok(EventKind::State),
        1 => Ok(EventKind::Log),
        _ => Err(StoreError::Corrupt(format!("there is no event kind {number}"))),
    }
}

/// An event whose text is sealed.
pub(super) struct SealedEvent {
    pub(super) sequence: u64,
    pub(super) vm: Option<u32>,
    pub(super) kind: EventKind,
    pub(super) at: i64,
    pub(super) text: Vec<u8>,
}

impl SealedEvent {
    fn seal(keyring: &Keyring, id: &str, sequence: u64, event: NewEvent) -> Result<Self, StoreError> {
        let NewEvent { vm, kind, at, text } = event;
        let text = Row::Event { sequence, vm, kind, at }.seal(keyring, id, text.as_bytes())?;
        Ok(Self { sequence, vm, kind, at, text })
    }

    /// The text of the event. One that is damaged does not keep the others from being read: it is named in the log, and in
    /// its place stands that it is.
    pub(super) fn text(&self, keyring: &Keyring, id: &str) -> String {
        let Self { sequence, vm, kind, at, .. } = *self;
        Row::Event { sequence, vm, kind, at }.open_text(keyring, id, &self.text).unwrap_or_else(|error| {
            tracing::error!(inf = id, "{error}");
            match kind {
                EventKind::State => "unknown".to_owned(),
                EventKind::Log => format!("[event {sequence} is damaged]\n"),
            }
        })
    }

    /// The event as it was appended.
    pub(super) fn open(&self, keyring: &Keyring, id: &str) -> StoredEvent {
        let event = NewEvent { vm: self.vm, kind: self.kind, at: self.at, text: self.text(keyring, id) };
        StoredEvent { sequence: self.sequence, event }
    }
}

/// [`Changes`] whose payloads and texts are sealed.
pub(super) struct SealedChanges {
    pub(super) infrastructure: Option<Vec<u8>>,
    pub(super) owners: Option<Vec<String>>,
    pub(super) deleted: Option<bool>,
    pub(super) pending: Option<bool>,
    pub(super) vms: Vec<(u32, Vec<u8>)>,
    pub(super) progress: Option<Option<Vec<u8>>>,
    pub(super) clear_logs: bool,
    pub(super) events: Vec<SealedEvent>,
    pub(super) lease: Option<Lease>,
}

impl SealedChanges {
    /// Seals the changes of infrastructure `id`.
    pub(super) fn seal(keyring: &Keyring, id: &str, changes: Changes) -> Result<Self, StoreError> {
        let seal = |row: Row, plain: &[u8]| row.seal(keyring, id, plain);
        Ok(Self {
            infrastructure: changes.infrastructure.map(|plain| seal(Row::Infrastructure, &plain)).transpose()?,
            owners: changes.owners,
            deleted: changes.deleted,
            pending: changes.pending,
            vms: changes
                .vms
                .into_iter()
                .map(|(number, plain)| Ok((number, seal(Row::Vm(number), &plain)?)))
                .collect::<Result<_, StoreError>>()?,
            progress: changes
                .progress
                .map(|progress| progress.map(|plain| seal(Row::Progress, &plain)).transpose())
                .transpose()?,
            clear_logs: changes.clear_logs,
            events: (changes.first_sequence..)
                .zip(changes.events)
                .map(|(sequence, event)| SealedEvent::seal(keyring, id, sequence, event))
                .collect::<Result<_, _>>()?,
            lease: changes.lease,
        })
    }
}
