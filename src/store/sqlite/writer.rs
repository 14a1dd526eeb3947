//! The one thread that writes. Commits that wait together go into one transaction, and so share one flush of the disk.

use super::{error::store_error, file::Watch, write::Task};
use crate::store::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::{io, sync::mpsc, thread};
use tokio::sync::oneshot;

/// How many changes go into one transaction at most; bounds the time the first one waits for the last one.
const GROUP: usize = 256;

/// After how many changed rows the WAL is copied into the database file.
const CHECKPOINT: u64 = 1000;

struct Job {
    task: Task,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// Makes a connection ready for writing.
pub(super) type Connect = Box<dyn Fn() -> Result<Connection, StoreError> + Send>;

/// The writing side of a database. Dropping it waits until everything queued is written.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread with its first connection; `connect` makes another one when that one has failed. `watch` is for the
    /// file of the daemon's own database.
    pub(super) fn start(connection: Connection, connect: Connect, watch: Option<Watch>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&jobs, connection, &connect, watch))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Does a task; when this returns, it is on the disk. A caller that stops waiting does not take it back.
    pub(super) async fn write(&self, task: Task) -> Result<u64, StoreError> {
        let ended = || StoreError::Unavailable("the writing thread has ended, restart the daemon".to_owned());
        let (answer, result) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.send(Job { task, answer }).map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook; there is nobody to hand it to here.
            let _ = thread.join();
        }
    }
}

fn serve(jobs: &mpsc::Receiver<Job>, first: Connection, connect: &Connect, mut watch: Option<Watch>) {
    if let Some(watch) = &mut watch {
        watch.checkpoint(&first);
    }
    let check = |watch: &mut Option<Watch>| watch.as_mut().map_or(Ok(()), Watch::check);
    let mut connection = Some(first);
    let mut copied = 0;
    while let Ok(job) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(job).chain(jobs.try_iter().take(GROUP - 1)).collect();
        let ready = check(&mut watch).and_then(|()| connection.take().map_or_else(connect, Ok));
        let results = match ready {
            Ok(mut ready) => {
                let (results, healthy) = write_group(&mut ready, &group);
                connection = healthy.then_some(ready);
                // Written to a file that was lost meanwhile: it may come back.
                results.and_then(|results| check(&mut watch).map(|()| results).map_err(StoreError::in_doubt))
            }
            Err(error) => Err(error),
        };
        // Also a refusal waits for the end of the transaction: it may rest on a change that was rolled back.
        match results {
            Ok(results) => {
                for (job, result) in group.into_iter().zip(results) {
                    let _ = job.answer.send(result);
                }
            }
            Err(error) => {
                for job in group {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
        if let Some(connection) = &connection {
            let changed = connection.total_changes();
            // A new connection counts from zero.
            if changed < copied || changed - copied >= CHECKPOINT {
                copied = changed;
                match &mut watch {
                    Some(watch) => watch.checkpoint(connection),
                    None => drop(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))),
                }
                // So many changes do not come one after the other: the system's page cache has the pages as well.
                let _ = connection.execute_batch("PRAGMA shrink_memory");
            }
        }
    }
    if let (Some(watch), Some(connection)) = (&mut watch, &connection) {
        watch.leave(connection);
    }
}

type Results = Result<Vec<Result<u64, StoreError>>, StoreError>;

/// Writes a group in one transaction, each change behind a savepoint so that it fails alone. The second value tells
/// whether the connection may be used again.
fn write_group(connection: &mut Connection, group: &[Job]) -> (Results, bool) {
    let mut spoilt = false;
    let results = (|| {
        let mut failed = |error: rusqlite::Error| {
            spoilt |= super::error::spoils_connection(&error);
            store_error(&error)
        };
        let mut transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&mut failed)?;
        let mut results = Vec::with_capacity(group.len());
        for job in group {
            let savepoint = transaction.savepoint().map_err(&mut failed)?;
            let result = job.task.run(&savepoint);
            match &result {
                Ok(_) => savepoint.commit(),
                Err(_) => savepoint.finish(),
            }
            .map_err(&mut failed)?;
            // Some errors, a full disk for one, make SQLite roll back the whole transaction: nobody's change is left.
            if let (Err(error), true) = (&result, transaction.is_autocommit()) {
                return Err(error.clone());
            }
            results.push(result);
        }
        transaction.commit().map_err(&mut failed)?;
        Ok(results)
    })();
    (results, !spoilt && connection.is_autocommit())
}
