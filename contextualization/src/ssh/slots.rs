//! Slots that owners share fairly. A free one goes to the owner who holds the fewest among those who wait, and among these
//! to the one who got none for the longest time. Who holds one already leaves an eighth of them to others, so that nobody
//! takes all of them for as long as they like.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The slots. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

/// A slot that is taken, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    owner: Arc<str>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Slots that go to owners without one only.
    reserved: usize,
    owners: BTreeMap<Arc<str>, Owner>,
    /// Slots given out so far.
    given: u64,
}

#[derive(Debug, Default)]
struct Owner {
    held: usize,
    /// Number of the last slot it got.
    last: u64,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

impl State {
    /// The owner who is to get the next slot, and who waits for it.
    fn next(&mut self) -> Option<(Arc<str>, oneshot::Sender<Slot>)> {
        for owner in self.owners.values_mut() {
            // Whoever gave up waiting does not count.
            while owner.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                owner.waiting.pop_front();
            }
        }
        let room = |owner: &Owner| self.free > if owner.held == 0 { 0 } else { self.reserved };
        let waits = self.owners.iter().filter(|(_, owner)| !owner.waiting.is_empty() && room(owner));
        let name = waits.min_by_key(|(_, owner)| (owner.held, owner.last)).map(|(name, _)| name.clone())?;
        let owner = self.owners.get_mut(&name)?;
        let waiting = owner.waiting.pop_front()?;
        self.given += 1;
        (owner.held, owner.last) = (owner.held + 1, self.given);
        self.free -= 1;
        Some((name, waiting))
    }
}

impl Slots {
    pub(super) fn new(number: usize) -> Self {
        let number = number.max(1);
        let state = State { free: number, reserved: number / 8, owners: BTreeMap::new(), given: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot.
    pub(super) async fn take(&self, owner: &Arc<str>) -> Option<Slot> {
        let (give, given) = oneshot::channel();
        self.state().owners.entry(owner.clone()).or_default().waiting.push_back(give);
        self.hand_out();
        given.await.ok()
    }

    fn hand_out(&self) {
        loop {
            let next = self.state().next();
            let Some((owner, waiting)) = next else { break };
            // Who gave up in this moment gives it back by dropping it.
            drop(waiting.send(Slot { slots: self.clone(), owner }));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.free += 1;
        if let Some(owner) = state.owners.get_mut(&self.owner) {
            owner.held -= 1;
            if owner.held == 0 && owner.waiting.is_empty() {
                state.owners.remove(&self.owner);
            }
        }
        drop(state);
        self.slots.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn owner(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn a_crowd_does_not_keep_others_waiting() {
        let slots = Slots::new(8);
        let (many, few) = (owner("many"), owner("few"));
        let mut crowd: Vec<_> = (0..100).map(|_| Box::pin(slots.take(&many))).collect();
        let mut held: Vec<Slot> = crowd.iter_mut().filter_map(|wait| wait.now_or_never().flatten()).collect();
        assert_eq!(held.len(), 7, "the last one is for others");
        let first = slots.take(&few).now_or_never().flatten();
        assert!(first.is_some());
        // All are taken: the next one goes to who holds fewer.
        let mut second = Box::pin(slots.take(&few));
        assert!(second.as_mut().now_or_never().is_none());
        held.truncate(5);
        assert!(second.now_or_never().flatten().is_some(), "two were given back, and one is for owners without any");
        drop((crowd, held, first));
        assert!(slots.state().owners.is_empty() && slots.state().free == 8, "nothing is forgotten, nothing is kept");
    }

    #[test]
    fn turns_go_round_and_who_gave_up_is_passed_over() {
        let slots = Slots::new(1);
        let (one, other) = (owner("one"), owner("other"));
        let held = slots.take(&one).now_or_never().flatten();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(slots.take(&one))).collect();
        waiting.iter_mut().for_each(|wait| assert!(wait.now_or_never().is_none()));
        let mut late = Box::pin(slots.take(&other));
        assert!(late.as_mut().now_or_never().is_none());
        drop(held);
        let late = late.now_or_never().flatten();
        assert!(late.is_some(), "the other one had none for longer");
        drop(waiting.remove(0));
        drop(late);
        let next: Vec<_> = waiting.iter_mut().map(|wait| wait.now_or_never().flatten()).collect();
        assert!(next[0].is_some() && next[1].is_none());
    }
}
