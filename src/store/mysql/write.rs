//! From changes to statements: what a transaction writes is decided here, from the rows it has locked.

use super::{
    Kind,
    leases::NOW,
    sql::{Inserts, Literal, list, statement},
};
use crate::store::{
    IndexRow, StoreError, Version,
    change::Change,
    rows::{SealedChanges, SealedEvent, kind_number},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A change with the mark that it leaves in the row, by which it is known again when the answer to its commit was lost.
pub(super) struct Marked {
    pub(super) change: Change,
    pub(super) mark: u64,
}

/// What a transaction will answer to a change once it is committed.
pub(super) enum PlannedAnswer {
    /// The new version, or a refusal.
    Ready(Result<u64, StoreError>),
    /// How many rows the statement of this number changed.
    Rows(usize),
}

/// The row of an infrastructure as the transaction sees it.
pub(super) struct InfrastructureRow {
    /// Its number, or the variable that will hold it.
    number: Literal<'static>,
    version: Version,
    sequence: u64,
    mark: u64,
    deleted: bool,
    pending: bool,
    lease: Option<(Vec<u8>, u64)>,
}

/// A row of the answer to [`lock`].
pub(super) type Locked = (Vec<u8>, u64, Version, u64, u64, bool, bool, Vec<u8>, u64);

/// The statement that locks the rows of all infrastructures concerned, none when none is; and that which tells the sessions
/// that live of those that write under a lease.
pub(super) fn lock(group: &[&Marked]) -> Option<Vec<u8>> {
    let ids: BTreeSet<&str> = group
        .iter()
        .filter_map(|marked| match &marked.change {
            Change::Create { row, .. } => Some(row.id.as_str()),
            Change::Commit { id, .. } => Some(id.as_str()),
            Change::Purge { .. } | Change::Check => None,
        })
        .collect();
    let ids = (!ids.is_empty()).then(|| list(ids.into_iter().map(Literal::from)))?;
    let leases = group.iter().filter_map(|marked| match &marked.change {
        Change::Create { changes, .. } | Change::Commit { changes, .. } => changes.lease.as_ref(),
        Change::Purge { .. } | Change::Check => None,
    });
    let sessions: BTreeSet<&str> = leases.map(|lease| &*lease.session).collect();
    // A list without values is none: nobody has a session without a name.
    let sessions = list(sessions.into_iter().chain([""]).map(Literal::from));
    let sql = format!(
        "SELECT id, number, version, sequence, mark, deleted, pending, session, token FROM infrastructures WHERE id IN ({ids}) FOR UPDATE;
         SELECT session FROM daemons WHERE session IN ({sessions}) AND expires > {NOW}"
    );
    Some(sql.into_bytes())
}

/// The statements of a group of changes.
pub(super) struct Plan {
    /// Statements in order.
    pub(super) statements: Vec<Vec<u8>>,
    /// Answers, one per change.
    pub(super) answers: Vec<PlannedAnswer>,
    rows: HashMap<Vec<u8>, InfrastructureRow>,
    kind: Kind,
    /// Rows of several changes, which go into one statement each: those of infrastructures that are there, machines, events.
    heads: Inserts,
    vms: Inserts,
    events: Inserts,
    /// Infrastructures that these are of.
    waiting: HashSet<Vec<u8>>,
    /// Sessions that live.
    alive: HashSet<Vec<u8>>,
    /// Length of the longest statement that the server takes.
    limit: usize,
}

impl Plan {
    /// Decides what the changes do to the locked rows.
    pub(super) fn new(
        kind: Kind,
        group: &[&Marked],
        (locked, alive): (Vec<Locked>, HashSet<Vec<u8>>),
        limit: usize,
    ) -> Self {
        let row = |(id, number, version, sequence, mark, deleted, pending, session, token): Locked| {
            let (number, lease) = (Literal::Number(number.into()), Some((session, token)));
            (id, InfrastructureRow { number, version, sequence, mark, deleted, pending, lease })
        };
        let rows = locked.into_iter().map(row).collect();
        let mut plan = Self {
            statements: Vec::new(),
            answers: Vec::new(),
            rows,
            kind,
            heads: Inserts::new(
                "INSERT INTO infrastructures (number, id, version, mark, created, deleted, pending, sequence, data) VALUES ",
                " ON DUPLICATE KEY UPDATE version = VALUES(version), mark = VALUES(mark), deleted = VALUES(deleted),
                 pending = VALUES(pending), sequence = VALUES(sequence)",
            ),
            vms: Inserts::new("INSERT INTO vms VALUES ", " ON DUPLICATE KEY UPDATE data = VALUES(data)"),
            events: Inserts::new("INSERT INTO events VALUES ", ""),
            waiting: HashSet::new(),
            alive,
            limit,
        };
        for (index, marked) in group.iter().enumerate() {
            let answer = plan.add(index, marked);
            plan.answers.push(answer);
        }
        plan.insert_waiting();
        plan
    }

    fn add(&mut self, index: usize, marked: &Marked) -> PlannedAnswer {
        let mark = marked.mark;
        match &marked.change {
            Change::Create { row, changes } => PlannedAnswer::Ready(self.create(index, mark, row, changes)),
            Change::Commit { id, expected, changes } => PlannedAnswer::Ready(self.commit(mark, id, *expected, changes)),
            Change::Purge { created_before, limit } => self.count(statement(
                "DELETE FROM infrastructures WHERE deleted = 1 AND created < ? ORDER BY created, number LIMIT ?",
                &[(*created_before).into(), (*limit as u64).into()],
            )),
            Change::Check => self.count(b"UPDATE schema_version SET checks = checks + 1".to_vec()),
        }
    }

    fn count(&mut self, statement: Vec<u8>) -> PlannedAnswer {
        self.insert_waiting();
        self.statements.push(statement);
        PlannedAnswer::Rows(self.statements.len() - 1)
    }

    fn create(
        &mut self,
        index: usize,
        mark: u64,
        row: &IndexRow,
        changes: &SealedChanges,
    ) -> Result<Version, StoreError> {
        match self.rows.get(row.id.as_bytes()) {
            Some(known) if known.mark == mark => return Ok(1),
            Some(_) => return Err(StoreError::AlreadyExists),
            None => {}
        }
        let lease = changes.lease.as_ref().map(|lease| (lease.session.as_bytes().to_vec(), lease.token));
        if lease.as_ref().is_some_and(|(session, _)| !self.alive.contains(session)) {
            return Err(StoreError::Fenced);
        }
        let number = Literal::Variable(index);
        let sequence = changes.events.last().map_or(0, |event| event.sequence);
        let (deleted, pending) = (changes.deleted.unwrap_or(row.deleted), changes.pending.unwrap_or(row.pending));
        let mut statements = vec![
            statement(
                "INSERT INTO infrastructures (id, version, mark, created, deleted, pending, sequence, data, session, token)
                 VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?)",
                &[
                    row.id.as_str().into(),
                    mark.into(),
                    row.created.into(),
                    deleted.into(),
                    pending.into(),
                    sequence.into(),
                    Literal::Sealed(changes.infrastructure.as_deref().unwrap_or_default()),
                    lease.as_ref().map_or(&[][..], |(session, _)| session).into(),
                    lease.as_ref().map_or(0, |(_, token)| *token).into(),
                ],
            ),
            statement("SET ? = LAST_INSERT_ID()", &[number]),
        ];
        statements.extend(owners(number, changes.owners.as_ref().unwrap_or(&row.owners)));
        self.take(row.id.as_bytes(), Written::new(statements, number, changes))?;
        self.rows.insert(
            row.id.clone().into_bytes(),
            InfrastructureRow { number, version: 1, sequence, mark, deleted, pending, lease },
        );
        Ok(1)
    }

    fn commit(
        &mut self,
        mark: u64,
        id: &str,
        expected: Version,
        changes: &SealedChanges,
    ) -> Result<Version, StoreError> {
        let known = self.rows.get(id.as_bytes()).ok_or(StoreError::NotFound)?;
        let (number, current) = (known.number, known.version);
        if known.mark == mark && expected.checked_add(1) == Some(current) {
            return Ok(current);
        }
        if let Some(lease) = &changes.lease {
            let held = known.lease.as_ref().is_some_and(|(session, token)| {
                *session == lease.session.as_bytes() && *token == lease.token && self.alive.contains(session)
            });
            if !held {
                return Err(StoreError::Fenced);
            }
        }
        // The mark of the events used so far decides, not the events still there: cleared logs give no number back.
        let reused = changes.events.first().is_some_and(|first| first.sequence <= known.sequence);
        if current != expected || reused {
            return Err(StoreError::Stale { expected, current });
        }
        let sequence = changes.events.last().map_or(known.sequence, |event| event.sequence);
        let version = current + 1;
        let (deleted, pending) = (changes.deleted.unwrap_or(known.deleted), changes.pending.unwrap_or(known.pending));
        let head = |number: Literal<'static>| {
            let values =
                [number, id.into(), version.into(), mark.into(), deleted.into(), pending.into(), sequence.into()];
            statement("(?,?,?,?,0,?,?,?,'')", &values)
        };
        let mut statements = Vec::new();
        let head = match self.kind {
            Kind::Alone => Some(head(number)),
            // It may drop the lock for another server's change without a word: the row is still what the decision was made
            // from, or -1 is a version that it does not take, and the transaction fails.
            Kind::Replicated => {
                let (session, token) = match &known.lease {
                    Some((session, token)) => (session.as_slice().into(), (*token).into()),
                    None => (Literal::Null, Literal::Null),
                };
                statements.push(statement(
                    "UPDATE infrastructures SET version = IF(version = ? AND session = COALESCE(?, session)
                     AND token = COALESCE(?, token), ?, -1), mark = ?, sequence = ?, deleted = ?, pending = ?
                     WHERE number = ?",
                    &[
                        current.into(),
                        session,
                        token,
                        version.into(),
                        mark.into(),
                        sequence.into(),
                        deleted.into(),
                        pending.into(),
                        number,
                    ],
                ));
                None
            }
        };
        if let Some(data) = &changes.infrastructure {
            let values = [Literal::Sealed(data), number];
            statements.push(statement("UPDATE infrastructures SET data = ? WHERE number = ?", &values));
        }
        if let Some(names) = &changes.owners {
            statements.push(statement("DELETE FROM owners WHERE infrastructure = ?", &[number]));
            statements.extend(owners(number, names));
        }
        let lease = known.lease.clone();
        self.take(id.as_bytes(), Written { head, ..Written::new(statements, number, changes) })?;
        self.rows.insert(
            id.as_bytes().to_vec(),
            InfrastructureRow { number, version, sequence, mark, deleted, pending, lease },
        );
        Ok(version)
    }

    /// Takes what one change of an infrastructure writes, or refuses it alone.
    fn take(&mut self, id: &[u8], written: Written) -> Result<(), StoreError> {
        let Written { head, statements, vms, events } = written;
        let head_length = head.iter().map(|row| self.heads.length(row));
        let vm_lengths = vms.iter().map(|row| self.vms.length(row));
        let event_lengths = events.iter().map(|row| self.events.length(row));
        let longest = statements
            .iter()
            .map(Vec::len)
            .chain(head_length)
            .chain(vm_lengths)
            .chain(event_lengths)
            .max()
            .unwrap_or_default();
        if longest > self.limit {
            return Err(StoreError::Unavailable(format!(
                "a change needs a statement of {longest} bytes and the database server takes {}, raise its \
                 max_allowed_packet",
                self.limit
            )));
        }
        if self.waiting.contains(id) {
            self.insert_waiting();
        }
        self.statements.extend(statements);
        head.iter().for_each(|row| self.heads.push(row, self.limit));
        vms.iter().for_each(|row| self.vms.push(row, self.limit));
        events.iter().for_each(|row| self.events.push(row, self.limit));
        self.waiting.insert(id.to_vec());
        Ok(())
    }

    /// Writes the rows so far, before something that must find them.
    fn insert_waiting(&mut self) {
        self.statements.extend(self.heads.take());
        self.statements.extend(self.vms.take());
        self.statements.extend(self.events.take());
        self.waiting.clear();
    }
}

fn owners(number: Literal<'_>, names: &[String]) -> Option<Vec<u8>> {
    let rows: Vec<_> = (0_u64..)
        .zip(names)
        .map(|(position, name)| statement("(?,?,?)", &[number, position.into(), name.as_str().into()]))
        .collect();
    (!rows.is_empty()).then(|| [b"INSERT INTO owners VALUES ", rows.join(&b',').as_slice()].concat())
}

/// What a change writes: statements of its own, and rows that may be inserted with those of others afterwards.
struct Written {
    head: Option<Vec<u8>>,
    statements: Vec<Vec<u8>>,
    vms: Vec<Vec<u8>>,
    events: Vec<Vec<u8>>,
}

impl Written {
    /// These statements, and after them machines, progress and events.
    fn new(mut statements: Vec<Vec<u8>>, number: Literal<'_>, changes: &SealedChanges) -> Self {
        match &changes.progress {
            Some(Some(data)) => {
                statements.push(statement("REPLACE INTO progress VALUES (?,?)", &[number, Literal::Sealed(data)]));
            }
            Some(None) => statements.push(statement("DELETE FROM progress WHERE infrastructure = ?", &[number])),
            None => {}
        }
        if changes.clear_logs {
            statements.push(statement("DELETE FROM events WHERE infrastructure = ? AND kind = 1", &[number]));
        }
        let vm = |(vm, data): &(u32, Vec<u8>)| statement("(?,?,?)", &[number, (*vm).into(), Literal::Sealed(data)]);
        let event = |event: &SealedEvent| {
            let (kind, text) = (kind_number(event.kind).into(), Literal::Sealed(&event.text));
            let values = [number, event.sequence.into(), event.vm.into(), kind, event.at.into(), text];
            statement("(?,?,?,?,?,?)", &values)
        };
        let (vms, events) = (changes.vms.iter().map(vm).collect(), changes.events.iter().map(event).collect());
        Self { head: None, statements, vms, events }
    }
}
