//! The states the outside sees, derived from the model (docs/spec/api.md 4.2 and 4.3).

use crate::engine::state::model::{Infrastructure, Lifecycle, State, Vm};
use connectors::PowerState;

/// Seconds without an answer of the cloud until a machine is `unknown` (`VM_INFO_UPDATE_ERROR_GRACE_PERIOD`) and the
/// time now, seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Now.
    pub now: i64,
    /// The grace period.
    pub grace: i64,
}

/// State of a machine.
#[must_use]
pub fn vm_state(infrastructure: &Infrastructure, vm: &Vm, clock: Clock) -> State {
    match &vm.lifecycle {
        Lifecycle::Planned | Lifecycle::Launching => State::Pending,
        Lifecycle::Failed { .. } => State::Failed,
        Lifecycle::Deleting(_) => State::Deleting,
        Lifecycle::Gone => State::Off,
        Lifecycle::Present(_) => {
            let Some(observed) = &vm.observed else { return State::Pending };
            if observed.failing_since.is_some_and(|since| clock.now - since > clock.grace) {
                return State::Unknown;
            }
            match observed.state {
                PowerState::Pending => State::Pending,
                PowerState::Stopped => State::Stopped,
                PowerState::Off => State::Off,
                PowerState::Failed => State::Failed,
                PowerState::Running => running(infrastructure, vm),
            }
        }
    }
}

fn running(infrastructure: &Infrastructure, vm: &Vm) -> State {
    let open = infrastructure.generation.as_ref().is_some_and(|generation| generation.open);
    match vm.configured {
        Some(false) => State::Unconfigured,
        Some(true) if infrastructure.configured == Some(false) => State::Unconfigured,
        Some(true) => State::Configured,
        None if infrastructure.configured == Some(false) && !open => State::Unconfigured,
        None => State::Running,
    }
}

/// State of the infrastructure: failed and unknown machines decide first, then pending, then running, then unconfigured;
/// the order of the machines does not matter.
#[must_use]
pub fn infrastructure_state(infrastructure: &Infrastructure, clock: Clock) -> State {
    if infrastructure.is_deleting() {
        return State::Deleting;
    }
    let mut found = [false; 9];
    for vm in infrastructure.live_vms() {
        found[vm_state(infrastructure, vm, clock) as usize] = true;
    }
    let order = [
        State::Failed,
        State::Unknown,
        State::Pending,
        State::Running,
        State::Unconfigured,
        State::Stopped,
        State::Off,
        State::Configured,
    ];
    if let Some(state) = order.into_iter().find(|state| found[*state as usize]) {
        return state;
    }
    match infrastructure.configured {
        Some(false) => State::Failed,
        None if infrastructure.vms.is_empty() => State::Pending,
        _ => State::Unknown,
    }
}
