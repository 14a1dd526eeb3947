//! Places of which each user has a few. Who waits for one waits among their own first, so that nobody stands before others
//! more often than with one share, and places are given out in turn.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Users known before those who hold and want nothing are forgotten.
const USERS: usize = 64;

/// Places in common, and for each user.
pub struct Shares {
    all: Arc<Semaphore>,
    each: usize,
    /// How many of one user may wait.
    waiting: usize,
    patience: Duration,
    /// Of those who hold or want a place.
    users: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A place, given back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Share {
    _own: OwnedSemaphorePermit,
    _common: OwnedSemaphorePermit,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Shares {
    /// `all` places, at most `each` for one user, of whom `waiting` may wait as long as `patience`.
    #[must_use]
    pub fn new(all: usize, each: usize, waiting: usize, patience: Duration) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        let (each, users) = (each.clamp(1, all), Mutex::default());
        Self { all: Arc::new(Semaphore::new(all)), each, waiting, patience, users }
    }

    /// A place for the user, as soon as there is one.
    ///
    /// # Errors
    /// Too many of the user wait, or there was none for too long.
    pub async fn take(&self, user: &str) -> Result<Share, Busy> {
        let own = self.of(user);
        // Everybody who holds or wants a place of the user has a reference.
        if Arc::strong_count(&own) > self.each + self.waiting {
            return Err(Busy);
        }
        let both = async {
            let own = own.acquire_owned().await.map_err(|_| Busy)?;
            let common = self.all.clone().acquire_owned().await.map_err(|_| Busy)?;
            Ok(Share { _own: own, _common: common })
        };
        tokio::time::timeout(self.patience, both).await.unwrap_or(Err(Busy))
    }

    /// A place for the user, if there is one.
    ///
    /// # Errors
    /// There is none.
    pub fn try_take(&self, user: &str) -> Result<Share, Busy> {
        let own = self.of(user).try_acquire_owned().map_err(|_| Busy)?;
        let common = self.all.clone().try_acquire_owned().map_err(|_| Busy)?;
        Ok(Share { _own: own, _common: common })
    }

    fn of(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = users.get(user).and_then(Weak::upgrade) {
            return own;
        }
        if users.len() >= USERS {
            users.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.each));
        users.insert(user.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn a_user_with_much_to_do_leaves_places_to_others() {
        let shares = Arc::new(Shares::new(2, 1, 3, PATIENCE));
        let first = shares.take("greedy").await.unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let shares = shares.clone();
                tokio::spawn(async move { shares.take("greedy").await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(shares.take("greedy").await.err(), Some(Busy), "the fourth does not even wait");
        assert!(shares.try_take("greedy").is_err());
        let other = shares.try_take("other").unwrap();
        assert!(shares.try_take("third").is_err(), "both places are taken");
        drop((first, other));
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
        let held = shares.take("greedy").await.unwrap();
        let started = tokio::time::Instant::now();
        assert_eq!(shares.take("greedy").await.err(), Some(Busy));
        assert!(started.elapsed() >= PATIENCE);
        drop(held);
        for number in 0..10 * USERS {
            drop(shares.try_take(&number.to_string()).unwrap());
        }
        assert!(shares.users.lock().unwrap().len() <= USERS, "users who want nothing are forgotten");
    }
}
