//! An amount that many hold parts of, such as places for connections or memory for what arrives over them. When it is used
//! up, who keeps the daemon waiting for the longest time makes room: a client that does nothing stands in nobody's way.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Time between two looks whether somebody has kept us waiting for long enough.
const LOOK: Duration = Duration::from_millis(50);

/// How an amount is given out.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The amount.
    pub all: usize,
    /// What one address may hold of it. Whoever comes from there makes room for others from there first.
    pub address: usize,
    /// Nobody makes room who has kept us waiting for less.
    pub grace: Duration,
    /// How long one waits for a part.
    pub patience: Duration,
}

/// The amount and who holds it.
pub struct Budget {
    limits: Limits,
    start: Instant,
    parts: Mutex<Parts>,
    freed: Notify,
}

#[derive(Default)]
struct Parts {
    held: usize,
    by_address: HashMap<IpAddr, usize>,
    /// In the order in which they came.
    holders: BTreeMap<u64, Part>,
    /// How many of them want more than there is.
    wanting: usize,
    next: u64,
}

struct Part {
    address: IpAddr,
    amount: usize,
    /// How much it wants that there is not, 0 for nothing.
    wants: usize,
    claim: Arc<Claim>,
}

/// Whether a holder waits for its client, and whether it had to make room.
#[derive(Debug)]
pub struct Claim {
    start: Instant,
    /// Milliseconds after the start, 0: it does not wait.
    asked: AtomicU64,
    blocked: AtomicU64,
    /// How long the client took for what was asked of it last.
    took: AtomicU64,
    lost: CancellationToken,
}

/// Somebody who holds parts of a budget, given back when dropped.
pub struct Holder {
    budget: Arc<Budget>,
    number: u64,
    claim: Arc<Claim>,
}

/// Why there is no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There was none for too long.
    Waited,
    /// The holder had to make room for others itself.
    Lost,
}

impl Claim {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The client is to send something, from now on.
    pub fn ask(&self) {
        self.asked.store(self.now(), Ordering::Relaxed);
    }

    /// The client is to send more of what it was asked for; the time that it took already counts.
    pub fn ask_more(&self) {
        self.asked.store(self.now().saturating_sub(self.took.load(Ordering::Relaxed)).max(1), Ordering::Relaxed);
    }

    /// It is the daemon's turn.
    pub fn work(&self) {
        let asked = self.asked.swap(0, Ordering::Relaxed);
        if asked > 0 {
            self.took.store(self.now().saturating_sub(asked), Ordering::Relaxed);
        }
    }

    /// Whether the client does not take what is sent to it.
    pub fn block(&self, blocked: bool) {
        match (blocked, self.blocked.load(Ordering::Relaxed)) {
            (true, 0) => self.blocked.store(self.now(), Ordering::Relaxed),
            (false, since) if since > 0 => self.blocked.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Since when the client keeps us waiting.
    fn waiting_since(&self) -> Option<u64> {
        let since = |time: &AtomicU64| Some(time.load(Ordering::Relaxed)).filter(|since| *since > 0);
        [since(&self.asked), since(&self.blocked)].into_iter().flatten().min()
    }

    /// Completes when the holder had to make room.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Budget {
    /// Nobody holds anything yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let limits = Limits { all: limits.all.max(1), address: limits.address.clamp(1, limits.all.max(1)), ..limits };
        Arc::new(Self { limits, start: Instant::now(), parts: Mutex::default(), freed: Notify::new() })
    }

    /// A holder of nothing, whose client is to send something.
    #[must_use]
    pub fn join(self: &Arc<Self>, address: IpAddr) -> Holder {
        let claim = Arc::new(Claim {
            start: self.start,
            asked: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            took: AtomicU64::new(0),
            lost: CancellationToken::new(),
        });
        claim.ask();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let number = parts.next;
        parts.next += 1;
        parts.insert(number, Part { address: network(address), amount: 0, wants: 0, claim: claim.clone() });
        Holder { budget: self.clone(), number, claim }
    }

    /// How much is held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).held
    }
}

impl Parts {
    /// Gives `amount` to a holder, if need be taking it from others.
    fn give(&mut self, number: u64, amount: usize, limits: &Limits) -> Result<(), Full> {
        loop {
            let holder = self.holders.get(&number).ok_or(Full::Lost)?;
            let address = holder.address;
            let of_address = self.by_address.get(&address).copied().unwrap_or_default();
            let crowded = !may_have(limits.address, of_address, amount);
            let is_first = self.is_first(number, address, limits);
            if is_first && !crowded && may_have(limits.all, self.held, amount) {
                let part = self.remove(number).ok_or(Full::Lost)?;
                self.insert(number, Part { amount: part.amount + amount, wants: 0, ..part });
                return Ok(());
            }
            let now = holder.claim.now();
            let grace = u64::try_from(limits.grace.as_millis()).unwrap_or(u64::MAX);
            let idle = self.holders.iter().filter(|(other, part)| **other != number && part.amount > 0);
            let idle = idle.filter(|(_, part)| !crowded || part.address == address);
            let since = idle.filter_map(|(other, part)| Some((part.claim.waiting_since()?, *other)));
            match since.min().filter(|(since, _)| is_first && now.saturating_sub(*since) >= grace) {
                Some((_, idle)) => self.take_from(idle),
                None => {
                    let part = self.remove(number).ok_or(Full::Lost)?;
                    self.insert(number, Part { wants: amount, ..part });
                    return Err(Full::Waited);
                }
            }
        }
    }

    /// Whether nobody who came earlier wants more and could have it if this one waits: so one after the other gets all that
    /// it needs, instead of all of them a part.
    fn is_first(&self, number: u64, address: IpAddr, limits: &Limits) -> bool {
        let is_before = |part: &Part| {
            let of_address = || self.by_address.get(&part.address).copied().unwrap_or_default();
            part.wants > 0 && (part.address == address || may_have(limits.address, of_address(), part.wants))
        };
        self.wanting == 0 || !self.holders.range(..number).any(|(_, part)| is_before(part))
    }

    fn insert(&mut self, number: u64, part: Part) {
        self.held += part.amount;
        self.wanting += usize::from(part.wants > 0);
        if part.amount > 0 {
            *self.by_address.entry(part.address).or_default() += part.amount;
        }
        self.holders.insert(number, part);
    }

    fn take_from(&mut self, number: u64) {
        if let Some(part) = self.remove(number) {
            part.claim.lost.cancel();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Part> {
        let part = self.holders.remove(&number)?;
        self.held -= part.amount;
        self.wanting -= usize::from(part.wants > 0);
        if let Some(of_address) = self.by_address.get_mut(&part.address) {
            *of_address -= part.amount;
            if *of_address == 0 {
                self.by_address.remove(&part.address);
            }
        }
        Some(part)
    }
}

impl Holder {
    /// Takes so much more, if it can be had at once.
    ///
    /// # Errors
    /// It cannot.
    pub fn try_take(&mut self, amount: usize) -> Result<(), Full> {
        let Budget { limits, parts, .. } = &*self.budget;
        parts.lock().unwrap_or_else(PoisonError::into_inner).give(self.number, amount, limits)
    }

    /// Takes so much more, waiting for it.
    ///
    /// # Errors
    /// There was not so much for too long, or the holder had to make room itself.
    pub async fn take(&mut self, amount: usize) -> Result<(), Full> {
        let budget = self.budget.clone();
        let until = Instant::now() + budget.limits.patience;
        loop {
            // Before the look, so that nothing is missed that is given back after it.
            let freed = budget.freed.notified();
            let given = self.try_take(amount);
            if given != Err(Full::Waited) || Instant::now() >= until {
                return given;
            }
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.claim.lost() => return Err(Full::Lost),
            }
        }
    }

    /// Gives back all but so much.
    pub fn keep(&self, amount: usize) {
        let mut parts = self.budget.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.remove(self.number) {
            let amount = part.amount.min(amount);
            parts.insert(self.number, Part { amount, ..part });
        }
        drop(parts);
        self.budget.freed.notify_waiters();
    }

    /// Whether it waits for its client.
    #[must_use]
    pub fn claim(&self) -> &Arc<Claim> {
        &self.claim
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.budget.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(self.number);
        self.budget.freed.notify_waiters();
    }
}

/// Whether `amount` may be added to what is held. What nobody could ever have is as good as all there is.
fn may_have(bound: usize, held: usize, amount: usize) -> bool {
    held == 0 || held.saturating_add(amount) <= bound
}

/// What counts as one address: whoever has one of IPv6 has the network around it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GRACE: Duration = Duration::from_millis(200);
    const PATIENCE: Duration = Duration::from_millis(1000);

    fn budget(all: usize, address: usize) -> Arc<Budget> {
        Budget::new(Limits { all, address, grace: GRACE, patience: PATIENCE })
    }

    async fn holder(budget: &Arc<Budget>, address: &str, amount: usize) -> Result<Holder, Full> {
        let mut holder = budget.join(address.parse().unwrap());
        holder.take(amount).await.map(|()| holder)
    }

    #[tokio::test]
    async fn who_keeps_us_waiting_longest_makes_room_and_nobody_else() {
        let budget = budget(3, 3);
        let working = holder(&budget, "10.0.0.1", 1).await.unwrap();
        working.claim().work();
        let slow = holder(&budget, "10.0.0.1", 1).await.unwrap();
        tokio::time::sleep(GRACE / 10).await;
        let unread = holder(&budget, "10.0.0.2", 1).await.unwrap();
        unread.claim().work();
        unread.claim().block(true);
        let start = Instant::now();
        let third = holder(&budget, "10.0.0.3", 1).await.unwrap();
        assert!(start.elapsed() >= GRACE / 2, "the slow one had its time");
        slow.claim().lost().await;
        assert!(!unread.claim().lost.is_cancelled() && !working.claim().lost.is_cancelled());
        let fourth = holder(&budget, "10.0.0.3", 1).await.unwrap();
        unread.claim().lost().await;
        for busy in [&third, &fourth] {
            busy.claim().work();
        }
        let start = Instant::now();
        assert_eq!(holder(&budget, "10.0.0.4", 1).await.err(), Some(Full::Waited));
        assert!(start.elapsed() >= PATIENCE);
        drop((slow, unread));
        assert_eq!(budget.held(), 3, "who made room gives nothing back");
        drop(third);
        assert!(holder(&budget, "10.0.0.4", 1).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_makes_room_for_itself() {
        let budget = budget(100, 50);
        let mut other = holder(&budget, "10.0.0.2", 10).await.unwrap();
        tokio::time::sleep(GRACE).await;
        let first = holder(&budget, "2001:db8::1", 25).await.unwrap();
        let second = holder(&budget, "2001:db8::2", 25).await.unwrap();
        let third = holder(&budget, "2001:db8::3", 25).await.unwrap();
        first.claim().lost().await;
        assert!(!other.claim().lost.is_cancelled(), "it is there for longer, and was not in the way");
        assert_eq!(budget.held(), 60);
        second.claim().work();
        third.claim().work();
        assert_eq!(other.take(1000).await, Err(Full::Waited));
        drop((second, third, other));
        assert!(holder(&budget, "10.0.0.2", 1000).await.is_ok(), "more than there is can be had alone");
        assert_eq!(budget.held(), 0);
    }
}
