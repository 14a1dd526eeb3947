//! A server may send for ever what is of no use to anybody (RFC 4253, 11.2: SSH_MSG_IGNORE). libssh2 reads on for as long as
//! something comes, so this ends the connection: one call that does not return is ended from outside, and a thread that works
//! without moving a byte of a channel gives up.

use super::login::HangUp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// The share of an interval that may be wasted.
const SHARE: u32 = 3;

/// Time that was spent on bytes of no use.
#[derive(Debug)]
pub(super) struct Waste {
    interval: Duration,
    since: Instant,
    wasted: Duration,
}

impl Waste {
    /// Nothing was wasted until `now`; what was is forgotten after each `interval`.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, since: now, wasted: Duration::ZERO }
    }

    /// Takes the time that was `spent` until `now` in calls of libssh2, by which something moved or not; whether too much
    /// was wasted.
    pub(super) fn is_too_much(&mut self, spent: Duration, now: Instant, moved: bool) -> bool {
        if moved || now.duration_since(self.since) >= self.interval {
            (self.since, self.wasted) = (now, Duration::ZERO);
        }
        if !moved {
            self.wasted += spent;
        }
        self.wasted >= self.interval / SHARE
    }
}

/// Since when the connection's thread is in one call of libssh2; none while it is in none.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<Mutex<Option<Instant>>>);

impl Busy {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work, which is seen from outside while it goes on.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        *self.since() = Some(Instant::now());
        let done = work();
        *self.since() = None;
        done
    }
}

/// Ends the connection when one call takes longer than `most`; until `over` says, by being dropped, that its thread ended.
pub(super) async fn watch(busy: Busy, hang_up: HangUp, most: Duration, mut over: oneshot::Receiver<()>) {
    while tokio::time::timeout(most / SHARE, &mut over).await.is_err() {
        let is_stuck = busy.since().is_some_and(|since| since.elapsed() >= most);
        if is_stuck {
            return drop(hang_up);
        }
    }
    hang_up.not_needed();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ssh::login::Transport;
    use std::{io::Read, os::unix::net::UnixStream};

    #[test]
    fn only_work_without_any_progress_is_waste() {
        let (interval, start) = (Duration::from_secs(15), Instant::now());
        let second = Duration::from_secs(1);
        // Answers to questions for a sign of life: a hundred days of them.
        let mut waste = Waste::new(interval, start);
        let asked = (1..600_000).any(|n| waste.is_too_much(second / 1000, start + interval * n, false));
        assert!(!asked);
        // Much to do, and some of it moves something.
        let mut waste = Waste::new(interval, start);
        assert!(!(1..100).any(|n| waste.is_too_much(second, start + second * n, n % 4 == 0)));
        // Nothing else but what is of no use.
        let mut waste = Waste::new(interval, start);
        let ends = (1..100).find(|n| waste.is_too_much(second, start + second * *n, false));
        assert_eq!(ends, Some(5));
    }

    #[tokio::test]
    async fn a_call_that_does_not_return_is_ended() {
        let most = Duration::from_millis(60);
        let pair = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            (Transport::local(ours), theirs)
        };
        let (transport, mut theirs) = pair();
        let (busy, (_thread, over)) = (Busy::default(), oneshot::channel());
        tokio::spawn(watch(busy.clone(), transport.hang_up().unwrap(), most, over));
        let end = tokio::task::spawn_blocking(move || busy.during(|| theirs.read(&mut [0; 1]))).await.unwrap();
        assert_eq!(end.unwrap(), 0, "it was not hung up");

        // Many short calls are none; when the thread ended by itself nothing is hung up.
        let (transport, mut theirs) = pair();
        let (busy, (thread, over)) = (Busy::default(), oneshot::channel());
        let watching = tokio::spawn(watch(busy.clone(), transport.hang_up().unwrap(), most, over));
        for _ in 0..20 {
            busy.during(|| ());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(thread);
        watching.await.unwrap();
        theirs.set_nonblocking(true).unwrap();
        let open = theirs.read(&mut [0; 1]).unwrap_err();
        assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
    }
}
