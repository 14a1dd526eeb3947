//! The states that the event stream told last, so that each change of a state is told once.

use crate::{
    engine::state::{
        draft::Draft,
        model::{Infrastructure, State},
        states::{self, Clock},
    },
    store::{EventKind, NewEvent},
};

/// The states that the event stream told last.
#[derive(Clone)]
pub struct Told {
    infrastructure: State,
    vms: Vec<State>,
}

impl Told {
    /// All states of a model as told.
    #[must_use]
    pub fn of(model: &Infrastructure, clock: Clock) -> Self {
        Self {
            infrastructure: states::infrastructure_state(model, clock),
            vms: model.vms.iter().map(|vm| states::vm_state(model, vm, clock)).collect(),
        }
    }

    /// Adds an event to the draft for every state that changed; what is told then.
    #[must_use]
    pub fn tell(&self, draft: &mut Draft, clock: Clock) -> Self {
        let mut told = self.clone();
        if draft.touched.is_empty() && !draft.infrastructure_touched {
            return told;
        }
        let mut changed = Vec::new();
        for (index, vm) in draft.model.vms.iter().enumerate() {
            let state = states::vm_state(&draft.model, vm, clock);
            match told.vms.get_mut(index) {
                Some(last) if *last == state => continue,
                Some(last) => *last = state,
                None => told.vms.push(state),
            }
            changed.push((Some(vm.number), state));
        }
        let state = states::infrastructure_state(&draft.model, clock);
        if told.infrastructure != state {
            told.infrastructure = state;
            changed.push((None, state));
        }
        let at = draft.terms.now;
        let event = |(vm, state): (Option<u32>, State)| NewEvent {
            vm,
            kind: EventKind::State,
            at,
            text: state.name().to_owned(),
        };
        draft.events.extend(changed.into_iter().map(event));
        told
    }
}
