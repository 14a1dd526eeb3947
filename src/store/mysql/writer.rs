//! The one task that writes. Commits that wait together go into one transaction of two round trips: one locks the rows
//! and tells their versions, one writes and commits. So they share one flush of the server's log.

use super::{
    ANSWER, CONNECT, Kind,
    error::Failure,
    sql::packets,
    write::{Locked, Marked, Plan, PlannedAnswer, lock},
};
use crate::store::{StoreError, change::Change};
use mysql_async::{Conn, Opts, prelude::Queryable};
use std::{collections::HashSet, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// How many changes go into one transaction at most; bounds the time the first one waits for the last one.
const GROUP: usize = 256;
/// How often a transaction is tried when the connection breaks.
const ATTEMPTS: usize = 4;
/// How often it is tried when others are in its way: servers of a cluster find that out when both have written.
const TURNS: usize = 30;
/// Wait before another turn, milliseconds at most, so that two do not meet again.
const PAUSE: u64 = 20;

/// Settings of the writer's session: sealed values are read as they are written, byte by byte ([`super::sql`]). The rows it
/// decides from are locked, so it needs no snapshot, and locks no gaps.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES', character_set_client = binary, net_read_timeout = 4;
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT @@max_allowed_packet";
/// Begins a transaction. A daemon that stands still in the middle of it does not keep the rows locked for long: the server
/// ends the connection, and with it the transaction, after so many seconds without a word.
const BEGIN: &str = "SET SESSION wait_timeout = 4;START TRANSACTION";
const COMMIT: &str = "COMMIT;SET SESSION wait_timeout = DEFAULT";

struct Job {
    marked: Marked,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// The writing side of a database. Its task ends when it is dropped and everything queued is written.
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Job>,
}

impl Writer {
    /// Starts the task with its first connection; `options` make another one when that one is lost.
    pub(super) fn start(first: Session, options: Opts) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        let kind = first.kind;
        tokio::spawn(serve(jobs, Sessions { options, kind, current: Some(first) }));
        Self { queue }
    }

    /// Writes a change; when this returns, it is durable. A caller that stops waiting does not take it back.
    pub(super) async fn write(&self, change: Change) -> Result<u64, StoreError> {
        let ended = || StoreError::Unavailable("the writing task has ended, restart the daemon".to_owned());
        let (answer, result) = oneshot::channel();
        let marked = Marked { change, mark: rand::random() };
        self.queue.send(Job { marked, answer }).map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

async fn serve(mut jobs: mpsc::UnboundedReceiver<Job>, mut sessions: Sessions) {
    let mut group = Vec::new();
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        let changes: Vec<&Marked> = group.iter().map(|job| &job.marked).collect();
        match sessions.write(&changes).await {
            Ok(results) => {
                for (job, result) in group.drain(..).zip(results) {
                    let _ = job.answer.send(result);
                }
            }
            Err(error) => {
                for job in group.drain(..) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// The writer's connection, and how to make another one.
struct Sessions {
    options: Opts,
    kind: Kind,
    current: Option<Session>,
}

impl Sessions {
    /// Writes a group in one transaction. Whether a lost one was committed is found out by doing it again: a change that
    /// finds its own mark was.
    async fn write(&mut self, group: &[&Marked]) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
        let (mut attempts, mut turns) = (ATTEMPTS, TURNS);
        let mut in_doubt = false;
        loop {
            let in_the_end = |failure: Failure, in_doubt: bool| match failure.into_error() {
                error if in_doubt => error.in_doubt(),
                error => error,
            };
            let mut session = match self.current.take() {
                Some(session) => session,
                None => {
                    Session::open(&self.options, self.kind).await.map_err(|failure| in_the_end(failure, in_doubt))?
                }
            };
            let failure = match session.write(group).await {
                Ok(results) => {
                    self.current = Some(session);
                    return Ok(results);
                }
                Err(failure) => failure,
            };
            if matches!(failure, Failure::Lost(_)) {
                in_doubt |= session.is_committing;
            } else if session.roll_back().await {
                self.current = Some(session);
            }
            let left = match &failure {
                Failure::Lost(_) => &mut attempts,
                Failure::Busy(_) => &mut turns,
                Failure::Refused(_) => return Err(in_the_end(failure, in_doubt)),
            };
            *left -= 1;
            if *left == 0 {
                return Err(in_the_end(failure, in_doubt));
            }
            if matches!(failure, Failure::Busy(_)) {
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..=PAUSE))).await;
            }
        }
    }
}

/// A connection for writing. The server rolls back what it was doing when it is dropped.
pub(super) struct Session {
    connection: Conn,
    kind: Kind,
    /// Length of the longest packet that the server takes.
    limit: usize,
    /// Whether the server was asked to commit and did not answer.
    is_committing: bool,
}

impl Session {
    /// Connects to the server.
    pub(super) async fn open(options: &Opts, kind: Kind) -> Result<Self, Failure> {
        let connect = async {
            let mut connection = Conn::new(options.clone()).await?;
            let limit: Option<usize> = {
                let mut result = connection.query_iter(SESSION).await?;
                result.try_collect::<mysql_async::Row>().await?;
                result.try_collect::<mysql_async::Row>().await?;
                result.try_collect::<usize>().await?.pop().and_then(Result::ok)
            };
            // The packet's own head counts too.
            Ok(Self { connection, kind, limit: limit.unwrap_or(1 << 20).saturating_sub(64), is_committing: false })
        };
        tokio::time::timeout(CONNECT, connect).await.unwrap_or_else(|_| Err(Failure::silence()))
    }

    /// The connection, to prepare the tables with.
    pub(super) fn connection(&mut self) -> &mut Conn {
        &mut self.connection
    }

    async fn write(&mut self, group: &[&Marked]) -> Result<Vec<Result<u64, StoreError>>, Failure> {
        let (begin, commit) = match self.kind {
            Kind::Alone => (BEGIN, COMMIT),
            // Its locks are for itself; what a statement met is told for sure only where it goes alone.
            Kind::Replicated => ("START TRANSACTION", "COMMIT"),
        };
        let (locked, begin) = match lock(group) {
            Some(lock) => {
                (self.locked([begin.as_bytes(), b";", &lock].concat(), begin.split(';').count()).await?, None)
            }
            None => (Default::default(), Some(begin)),
        };
        let Plan { statements, answers, .. } = Plan::new(self.kind, group, locked, self.limit);
        let skipped = begin.map_or(0, |begin| begin.split(';').count());
        let statements = begin.map(Into::into).into_iter().chain(statements);
        let mut counts = Vec::new();
        let packets = match self.kind {
            Kind::Alone => packets(statements.chain([commit.into()]), self.limit),
            Kind::Replicated => statements.chain([commit.into()]).collect(),
        };
        let last = packets.len() - 1;
        for (index, packet) in packets.into_iter().enumerate() {
            self.is_committing = index == last;
            counts.extend(self.send(packet).await?);
        }
        self.is_committing = false;
        let answer = |answer| match answer {
            PlannedAnswer::Ready(result) => result,
            PlannedAnswer::Rows(statement) => Ok(counts.get(skipped + statement).copied().unwrap_or_default()),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Locks rows after so many statements that begin the transaction.
    async fn locked(&mut self, packet: Vec<u8>, begun: usize) -> Result<(Vec<Locked>, HashSet<Vec<u8>>), Failure> {
        let ask = async {
            let mut result = self.connection.query_iter(packet).await?;
            for _ in 0..begun {
                result.try_collect::<mysql_async::Row>().await?;
            }
            let differs = |_| Failure::row(&"its types differ");
            let rows = result.try_collect::<Locked>().await?;
            let rows = rows.into_iter().collect::<Result<_, _>>().map_err(differs)?;
            let alive = result.try_collect::<Vec<u8>>().await?;
            let alive = alive.into_iter().collect::<Result<_, _>>().map_err(differs)?;
            Ok((rows, alive))
        };
        tokio::time::timeout(ANSWER, ask).await.unwrap_or_else(|_| Err(Failure::silence()))
    }

    /// Sends statements; tells how many rows each one changed.
    async fn send(&mut self, packet: Vec<u8>) -> Result<Vec<u64>, Failure> {
        let ask = async {
            let mut result = self.connection.query_iter(packet).await?;
            let mut counts = Vec::new();
            loop {
                counts.push(result.affected_rows());
                // None of the statements has rows: empty means the last one, or one that failed, and the failure is told by
                // the next look at the results.
                let is_last = result.is_empty();
                result.try_collect::<mysql_async::Row>().await?;
                if is_last {
                    return Ok(counts);
                }
            }
        };
        tokio::time::timeout(ANSWER, ask).await.unwrap_or_else(|_| Err(Failure::silence()))
    }

    /// Takes back what was begun; tells whether the connection is still of use.
    async fn roll_back(&mut self) -> bool {
        self.is_committing = false;
        self.send(b"ROLLBACK;SET SESSION wait_timeout = DEFAULT".to_vec()).await.is_ok()
    }
}
