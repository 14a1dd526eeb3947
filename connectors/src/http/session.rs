//! Tokens: one for all callers of an account, renewed once for all of them.
//!
//! A session belongs to one credential line as a whole, secrets included: what one password earned is used by nobody who
//! does not have it.

use super::header::{AUTHORIZATION, HeaderName};
use crate::ConnectorError;
use async_trait::async_trait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// A token is renewed this long before its end, so that it does not end on the way; half of its life for a short one.
const MARGIN: Duration = Duration::from_secs(120);

/// What an authority gave for a password.
#[derive(Clone)]
pub struct Token {
    /// The token: a secret.
    pub secret: String,
    /// How long it is good from now on; none when the authority does not say.
    pub lifetime: Option<Duration>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Gives tokens for the credentials of one line.
#[async_trait]
pub trait Authority: Send + Sync {
    /// A new token.
    ///
    /// # Errors
    /// `Auth` where the credentials are not good; what the client says otherwise.
    async fn issue(&self) -> Result<Token, ConnectorError>;

    /// The header that carries a token.
    fn header(&self, token: &str) -> (HeaderName, String) {
        (AUTHORIZATION, format!("Bearer {token}"))
    }
}

/// The current token of an account.
pub(super) struct Session {
    authority: Box<dyn Authority>,
    /// Held while a token is asked for, so that whoever comes meanwhile waits for that one.
    current: Mutex<Current>,
    /// How often the authority was asked and answered.
    asked: AtomicU64,
}

#[derive(Default)]
struct Current {
    token: Option<Held>,
    /// Why the last question failed.
    failure: Option<ConnectorError>,
}

/// A token in use.
#[derive(Clone)]
pub(super) struct Held {
    pub secret: Arc<str>,
    renew_at: Option<Instant>,
}

impl Session {
    pub(super) fn new(authority: impl Authority + 'static) -> Self {
        Self { authority: Box::new(authority), current: Mutex::default(), asked: AtomicU64::new(0) }
    }

    pub(super) fn header(&self, token: &str) -> (HeaderName, String) {
        self.authority.header(token)
    }

    /// A token that is good, other than `refused`, which the cloud does not take. Of all who come while the authority is
    /// asked, nobody asks again: they get its answer, also when it is an error.
    ///
    /// # Errors
    /// What the authority said.
    pub(super) async fn token(&self, refused: Option<&Held>) -> Result<Held, ConnectorError> {
        let before = self.asked.load(Ordering::Acquire);
        let mut current = self.current.lock().await;
        if let Some(held) = &current.token
            && held.renew_at.is_none_or(|end| Instant::now() < end)
            && refused.is_none_or(|refused| !Arc::ptr_eq(&refused.secret, &held.secret))
        {
            return Ok(held.clone());
        }
        if let Some(failure) = &current.failure
            && self.asked.load(Ordering::Acquire) != before
        {
            return Err(failure.clone());
        }
        let answer = self.authority.issue().await;
        self.asked.fetch_add(1, Ordering::AcqRel);
        match answer {
            Ok(token) => {
                let good = token.lifetime.map(|life| life.saturating_sub(MARGIN.min(life / 2)));
                let held = Held { secret: token.secret.into(), renew_at: good.map(|good| Instant::now() + good) };
                *current = Current { token: Some(held.clone()), failure: None };
                Ok(held)
            }
            Err(error) => {
                *current = Current { token: None, failure: Some(error.clone()) };
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ErrorClass;
    use futures::future::join_all;

    /// Counts its tokens; from the `failing`th on it refuses. Each answer takes a second.
    struct Counter {
        issued: Arc<AtomicU64>,
        failing: u64,
        lifetime: Option<Duration>,
    }

    #[async_trait]
    impl Authority for Counter {
        async fn issue(&self) -> Result<Token, ConnectorError> {
            let number = self.issued.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if number >= self.failing {
                return Err(ConnectorError::new(ErrorClass::Auth, "wrong password"));
            }
            Ok(Token { secret: format!("token-{number}"), lifetime: self.lifetime })
        }
    }

    fn session(failing: u64, lifetime: Option<Duration>) -> (Session, Arc<AtomicU64>) {
        let issued = Arc::new(AtomicU64::new(0));
        (Session::new(Counter { issued: Arc::clone(&issued), failing, lifetime }), issued)
    }

    #[tokio::test(start_paused = true)]
    async fn all_callers_share_one_token_and_one_renewal() {
        let (session, issued) = session(u64::MAX, None);
        let first = join_all((0..20).map(|_| session.token(None))).await;
        let first = first[7].as_ref().unwrap();
        assert_eq!((&*first.secret, issued.load(Ordering::Relaxed)), ("token-0", 1));
        let renewed = join_all((0..20).map(|_| session.token(Some(first)))).await;
        assert!(renewed.iter().all(|held| &*held.as_ref().unwrap().secret == "token-1"));
        assert_eq!(issued.load(Ordering::Relaxed), 2);
        // Who comes late with a token that was refused gets the one that is there.
        assert_eq!(&*session.token(Some(first)).await.unwrap().secret, "token-1");
        assert_eq!(issued.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_tried_once_for_all_who_wait_and_again_by_the_next() {
        let (session, issued) = session(0, None);
        let refused = join_all((0..20).map(|_| session.token(None))).await;
        assert!(refused.iter().all(|token| token.as_ref().err().unwrap().class == ErrorClass::Auth));
        assert_eq!(issued.load(Ordering::Relaxed), 1);
        assert!(session.token(None).await.is_err());
        assert_eq!(issued.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_renewed_before_their_end() {
        for (life, good) in [(3600, 3600 - 120), (100, 50)] {
            let (session, issued) = session(u64::MAX, Some(Duration::from_secs(life)));
            session.token(None).await.unwrap();
            tokio::time::sleep(Duration::from_secs(good - 1)).await;
            session.token(None).await.unwrap();
            assert_eq!(issued.load(Ordering::Relaxed), 1, "{life}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(&*session.token(None).await.unwrap().secret, "token-1", "{life}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_goes_away_leaves_the_renewal_to_the_next() {
        let (session, issued) = session(u64::MAX, None);
        let impatient = tokio::time::timeout(Duration::from_millis(100), session.token(None));
        let (gone, token) = tokio::join!(impatient, session.token(None));
        assert!(gone.is_err());
        assert_eq!((&*token.unwrap().secret, issued.load(Ordering::Relaxed)), ("token-1", 2));
    }
}
