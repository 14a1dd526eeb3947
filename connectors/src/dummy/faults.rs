//! How slow and unreliable the simulated cloud is.

use super::request::Request;
use crate::{CloudAccount, ConnectorError, Endpoint, ErrorClass, PowerState};
use indexmap::IndexMap;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as NameError};
use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// States that a new machine goes through, each with its length; the last one stays. Empty means running at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<(PowerState, Duration)>);

impl Schedule {
    /// The state of a machine of this age.
    #[must_use]
    pub fn at(&self, mut age: Duration) -> PowerState {
        for (state, length) in &self.0 {
            if age < *length {
                return *state;
            }
            age -= *length;
        }
        self.0.last().map_or(PowerState::Running, |(state, _)| *state)
    }
}

/// The keys of what a cloud does with requests; how it tells states is a matter of the credential line alone.
const KEYS: [&str; 7] =
    ["latency_ms", "failure_rate", "retry_after_ms", "lost_reply_rate", "quota", "fail_numbers", "seed"];

/// Delays and faults; the default has none. `docs.md` has the keys of the credential line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Shortest and longest time that a call takes.
    pub latency: (Duration, Duration),
    /// Share of the calls, in [0, 1], that fail with a class and do nothing.
    pub failures: Vec<(ErrorClass, f64)>,
    /// What a throttled caller is asked to wait.
    pub retry_after: Option<Duration>,
    /// Share of the changes, in [0, 1], that are done although the caller gets `Transient`.
    pub lost_replies: f64,
    /// Machines that the account may have.
    pub quota: Option<usize>,
    /// Numbers of the machines that the cloud refuses to make.
    pub fail_numbers: BTreeSet<u32>,
    /// States of a new machine.
    pub states: Schedule,
    /// Seed of the random numbers behind the rates.
    pub seed: u64,
}

impl Faults {
    /// Reads the fault keys of a credential line; other keys are left alone.
    ///
    /// # Errors
    /// `Invalid`, naming the key and the form it must have.
    pub fn from_account(account: &CloudAccount) -> Result<Self, ConnectorError> {
        Ok(Self {
            latency: key(account, "latency_ms", "50 or 20-200", latency)?.unwrap_or_default(),
            failures: key(account, "failure_rate", "0.1 or transient:0.1,throttled:0.05", failures)?
                .unwrap_or_default(),
            retry_after: key(account, "retry_after_ms", "500", milliseconds)?,
            lost_replies: key(account, "lost_reply_rate", "0.05", rate)?.unwrap_or_default(),
            quota: key(account, "quota", "20", number)?,
            fail_numbers: key(account, "fail_numbers", "0,3", |text| list(text, number))?.unwrap_or_default(),
            states: key(account, "states", "pending:2000,running", |text| list(text, state))?
                .map(Schedule)
                .unwrap_or_default(),
            seed: key(account, "seed", "42", number)?.unwrap_or_default(),
        })
    }

    /// Reads the fault keys of a text like the end of a credential line, but for `states`:
    /// `latency_ms = 5; lost_reply_rate = 0.05`.
    ///
    /// # Errors
    /// `Invalid`, naming the key and the form it must have; also for a key that is none of these.
    pub fn parse(text: &str) -> Result<Self, ConnectorError> {
        let invalid = |message: String| ConnectorError::new(ErrorClass::Invalid, message);
        let mut fields = IndexMap::new();
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').ok_or_else(|| invalid(format!("Dummy: `{item}` has no value")))?;
            if !KEYS.contains(&name.trim()) {
                return Err(invalid(format!("Dummy: `{}` is none of {}", name.trim(), KEYS.join(", "))));
            }
            fields.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        let (id, kind) = ("faults".to_owned(), "Dummy".to_owned());
        Self::from_account(&CloudAccount { id, kind, endpoint: Endpoint::default(), fields })
    }

    /// Holds a request to what the account may have.
    pub(super) fn restrict(&self, request: &mut Request) -> Result<(), ConnectorError> {
        let Request::CreateMachine { machine, quota } = request else { return Ok(()) };
        if self.fail_numbers.contains(&machine.number) {
            let message = format!("The simulated cloud refuses machine number {}", machine.number);
            return Err(ConnectorError::new(ErrorClass::Invalid, message));
        }
        *quota = (*quota).into_iter().chain(self.quota).min();
        Ok(())
    }
}

/// Faults together with the chance that decides when they strike.
pub(super) struct Simulation {
    pub(super) faults: Faults,
    chance: Mutex<StdRng>,
}

impl Simulation {
    pub(super) fn new(faults: Faults) -> Self {
        Self { chance: Mutex::new(StdRng::seed_from_u64(faults.seed)), faults }
    }

    /// The way to the cloud: takes its time and may fail.
    pub(super) async fn call(&self) -> Result<(), ConnectorError> {
        let (shortest, longest) = self.faults.latency;
        if !longest.is_zero() {
            let latency = shortest + (longest.saturating_sub(shortest)).mul_f64(self.random());
            tokio::time::sleep(latency).await;
        }
        if self.faults.failures.is_empty() {
            return Ok(());
        }
        let mut draw = self.random();
        for (class, rate) in &self.faults.failures {
            if draw < *rate {
                let mut error = ConnectorError::new(*class, format!("Simulated failure: {}", class.name()));
                error.retry_after = self.faults.retry_after.filter(|_| *class == ErrorClass::Throttled);
                return Err(error);
            }
            draw -= rate;
        }
        Ok(())
    }

    /// The way back from a change: the reply may be lost.
    pub(super) fn reply(&self) -> Result<(), ConnectorError> {
        if self.faults.lost_replies > 0.0 && self.random() < self.faults.lost_replies {
            return Err(ConnectorError::new(ErrorClass::Transient, "Simulated failure: the reply was lost"));
        }
        Ok(())
    }

    /// A random number in [0, 1).
    pub(super) fn random(&self) -> f64 {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

fn key<T>(
    account: &CloudAccount,
    name: &str,
    example: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ConnectorError> {
    let Some(text) = account.field(name) else { return Ok(None) };
    let wrong = || ConnectorError::new(ErrorClass::Invalid, format!("Dummy: `{name}` must look like {example}"));
    read(text.trim()).map(Some).ok_or_else(wrong)
}

fn list<T, C: FromIterator<T>>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<C> {
    text.split(',').map(|item| read(item.trim())).collect()
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn milliseconds(text: &str) -> Option<Duration> {
    number(text).map(Duration::from_millis)
}

fn rate(text: &str) -> Option<f64> {
    number(text).filter(|rate| (0.0..=1.0).contains(rate))
}

fn latency(text: &str) -> Option<(Duration, Duration)> {
    let (shortest, longest) = text.split_once('-').unwrap_or((text, text));
    let range = (milliseconds(shortest.trim())?, milliseconds(longest.trim())?);
    (range.0 <= range.1).then_some(range)
}

fn failures(text: &str) -> Option<Vec<(ErrorClass, f64)>> {
    match rate(text) {
        Some(rate) => Some(vec![(ErrorClass::Transient, rate)]),
        None => list(text, |item| {
            let (class, share) = item.split_once(':')?;
            Some((named(class.trim())?, rate(share.trim())?))
        }),
    }
}

fn state(text: &str) -> Option<(PowerState, Duration)> {
    let (state, length) = text.split_once(':').unwrap_or((text, "0"));
    Some((named(state.trim())?, milliseconds(length.trim())?))
}

/// A value by the name that it has in JSON.
fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    let name: serde::de::value::StrDeserializer<'_, NameError> = name.into_deserializer();
    T::deserialize(name).ok()
}
