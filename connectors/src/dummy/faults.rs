//! How slow and unreliable the simulated cloud is.

use super::request::CloudRequest;
use crate::{CloudAccount, ConnectorError, Endpoint, ErrorClass, FirstLogin, PowerState};
use indexmap::IndexMap;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as NameError};
use std::{
    collections::{BTreeSet, HashMap},
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

/// The keys of what a cloud does with requests; what it is like is a matter of the credential line alone.
const KEYS: [&str; 9] = [
    "latency_ms",
    "failure_rate",
    "retry_after_ms",
    "lost_reply_rate",
    "fail_requests",
    "quota",
    "fail_numbers",
    "full_zones",
    "seed",
];

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFate {
    /// It is not done.
    Refused(ErrorClass),
    /// It is done, and the reply is lost.
    ReplyLost,
}

/// A request that fails, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingRequest {
    /// Its kind ([`CloudRequest::kind`]); none for any.
    pub kind: Option<String>,
    /// Which one of its kind, from 1.
    pub number: u32,
    /// What becomes of it.
    pub fate: RequestFate,
}

/// What the cloud is like, its delays and its faults; the default has none. `docs.md` has the keys of the credential line.
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
    /// Requests that fail, each once.
    pub requests: Vec<FailingRequest>,
    /// Machines that the account may have.
    pub quota: Option<usize>,
    /// Numbers of the machines that the cloud refuses to make.
    pub fail_numbers: BTreeSet<u32>,
    /// Zones of the cloud, the preferred one first; none for a cloud that is not divided.
    pub zones: Vec<String>,
    /// Zones that have no room for another machine.
    pub full_zones: BTreeSet<String>,
    /// How many things are asked for at once; none for as many as usual.
    pub page: Option<usize>,
    /// Who makes the first login of a machine.
    pub first_login: FirstLogin,
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
            requests: key(account, "fail_requests", "create_machine:2 or attach:1:conflict,any:7:lost", |text| {
                list(text, failing_request)
            })?
            .unwrap_or_default(),
            quota: key(account, "quota", "20", number)?,
            zones: key(account, "zones", "north,south", |text| list(text, zone))?.unwrap_or_default(),
            full_zones: key(account, "full_zones", "north", |text| list(text, zone))?.unwrap_or_default(),
            page: key(account, "page", "20", |text| number(text).filter(|page| *page > 0))?,
            first_login: key(account, "first_login", "image or daemon", first_login)?.unwrap_or_default(),
            fail_numbers: key(account, "fail_numbers", "0,3", |text| list(text, number))?.unwrap_or_default(),
            states: key(account, "states", "pending:2000,running", |text| list(text, state))?
                .map(Schedule)
                .unwrap_or_default(),
            seed: key(account, "seed", "42", number)?.unwrap_or_default(),
        })
    }

    /// Reads the fault keys of a text like the end of a credential line, but for those that say what the cloud is like:
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
    pub(super) fn restrict(&self, request: &mut CloudRequest) -> Result<(), ConnectorError> {
        let CloudRequest::CreateMachine { machine, quota } = request else { return Ok(()) };
        if self.fail_numbers.contains(&machine.number) {
            let message = format!("The simulated cloud refuses machine number {}", machine.number);
            return Err(ConnectorError::new(ErrorClass::Invalid, message));
        }
        if let Some(zone) = machine.location.zone.as_ref().filter(|zone| self.full_zones.contains(*zone)) {
            let message = format!("The zone {zone} of the simulated cloud has no room");
            return Err(ConnectorError::new(ErrorClass::Capacity, message));
        }
        *quota = (*quota).into_iter().chain(self.quota).min();
        Ok(())
    }
}

/// Faults together with the chance that decides when they strike.
pub(super) struct Simulation {
    pub(super) faults: Faults,
    chance: Mutex<StdRng>,
    /// How many requests came, by their kind.
    seen: Mutex<HashMap<&'static str, u32>>,
}

impl Simulation {
    pub(super) fn new(faults: Faults) -> Self {
        Self { chance: Mutex::new(StdRng::seed_from_u64(faults.seed)), seen: Mutex::default(), faults }
    }

    /// How many requests came, of whatever kind.
    #[cfg(test)]
    pub(super) fn requests(&self) -> u32 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// What becomes of a request by its number.
    fn fate(&self, request: &CloudRequest) -> Option<RequestFate> {
        let kind = request.kind();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(kind).or_default() += 1;
        let (of_kind, all) = (seen.get(kind).copied().unwrap_or_default(), seen.values().sum::<u32>());
        let strikes = |failing: &&FailingRequest| match &failing.kind {
            Some(name) => name == kind && failing.number == of_kind,
            None => failing.number == all,
        };
        self.faults.requests.iter().find(strikes).map(|failing| failing.fate)
    }

    /// The way to the cloud: takes its time and may fail. Whether the reply of what is done then is lost.
    pub(super) async fn call(&self, request: &CloudRequest) -> Result<bool, ConnectorError> {
        let fate = self.fate(request);
        let (shortest, longest) = self.faults.latency;
        if !longest.is_zero() {
            let latency = shortest + (longest.saturating_sub(shortest)).mul_f64(self.random());
            tokio::time::sleep(latency).await;
        }
        if let Some(RequestFate::Refused(class)) = fate {
            return Err(self.failure(class));
        }
        if self.faults.failures.is_empty() {
            return Ok(fate.is_some());
        }
        let mut draw = self.random();
        for (class, rate) in &self.faults.failures {
            if draw < *rate {
                return Err(self.failure(*class));
            }
            draw -= rate;
        }
        Ok(fate.is_some())
    }

    fn failure(&self, class: ErrorClass) -> ConnectorError {
        let retry_after = self.faults.retry_after.filter(|_| class == ErrorClass::Throttled);
        ConnectorError { retry_after, ..ConnectorError::new(class, format!("Simulated failure: {}", class.name())) }
    }

    /// The way back from a change: whether the reply is lost by chance.
    pub(super) fn loses_reply(&self) -> bool {
        self.faults.lost_replies > 0.0 && self.random() < self.faults.lost_replies
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

/// A request that fails: `kind:number`, or with an error class or `lost` behind a further colon.
fn failing_request(text: &str) -> Option<FailingRequest> {
    let mut parts = text.split(':').map(str::trim);
    let kind = parts.next().filter(|kind| *kind == "any" || CloudRequest::KINDS.contains(kind))?;
    let number = parts.next().and_then(number).filter(|number| *number > 0)?;
    let fate = match parts.next() {
        None => RequestFate::Refused(ErrorClass::Transient),
        Some("lost") => RequestFate::ReplyLost,
        Some(class) => RequestFate::Refused(named(class)?),
    };
    let kind = (kind != "any").then(|| kind.to_owned());
    parts.next().is_none().then_some(FailingRequest { kind, number, fate })
}

fn zone(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn first_login(text: &str) -> Option<FirstLogin> {
    match text {
        "image" => Some(FirstLogin::Image),
        "daemon" => Some(FirstLogin::Daemon),
        _ => None,
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
