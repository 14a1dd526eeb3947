//! States of machines (docs.opennebula.io, "Virtual Machine States Reference").

use super::xml::Element;
use crate::PowerState;

/// STATE and LCM_STATE of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    state: i32,
    lcm: i32,
}

impl State {
    /// Waits to be released.
    pub const HOLD: i32 = 2;
    /// Has a host; the LCM_STATE says what it does there.
    const ACTIVE: i32 = 3;
    /// Gone.
    const DONE: i32 = 6;
    const POWEROFF: i32 = 8;
    const RUNNING: i32 = 3;

    pub fn of(vm: &Element) -> Self {
        Self { state: vm.number("STATE").unwrap_or(-1), lcm: vm.number("LCM_STATE").unwrap_or(0) }
    }

    pub fn is_done(self) -> bool {
        self.state == Self::DONE
    }

    pub fn is_held(self) -> bool {
        self.state == Self::HOLD
    }

    pub fn is_running(self) -> bool {
        (self.state, self.lcm) == (Self::ACTIVE, Self::RUNNING)
    }

    pub fn is_powered_off(self) -> bool {
        self.state == Self::POWEROFF
    }

    /// Suspended, stopped or undeployed: its disks are kept, and `resume` brings it back.
    pub fn is_stopped(self) -> bool {
        matches!(self.state, 4 | 5 | 9)
    }

    /// On its way to being stopped (SAVE_STOP, SAVE_SUSPEND, EPILOG_STOP).
    pub fn is_stopping(self) -> bool {
        self.state == Self::ACTIVE && matches!(self.lcm, 5 | 6 | 10)
    }

    /// On its way up from having been stopped.
    pub fn is_resuming(self) -> bool {
        self.state == Self::ACTIVE && matches!(self.lcm, 9 | 19..=22 | 31 | 32)
    }

    /// Resources are being attached to it, detached from it, or copied: it takes no other request meanwhile.
    pub fn is_busy(self) -> bool {
        self.state == Self::ACTIVE && !self.is_running() && power(self.state, self.lcm) != PowerState::Failed
    }

    /// It goes from one state to another, and takes no request meanwhile.
    pub fn is_on_its_way(self) -> bool {
        self.is_busy() || self.power() == PowerState::Pending
    }

    pub fn has_failed(self) -> bool {
        self.power() == PowerState::Failed
    }

    pub fn power(self) -> PowerState {
        power(self.state, self.lcm)
    }
}

/// The state that the daemon sees.
fn power(state: i32, lcm: i32) -> PowerState {
    match state {
        // INIT, PENDING, HOLD, CLONING.
        0..=2 | 10 => PowerState::Pending,
        4 | 5 => PowerState::Stopped,
        // DONE, POWEROFF, UNDEPLOYED.
        6 | 8 | 9 => PowerState::Off,
        7 | 11 => PowerState::Failed,
        3 => match lcm {
            0..=2 | 9 | 15 | 19..=22 | 31 | 32 | 35 | 71 => PowerState::Pending,
            5 | 6 | 10 | 28 | 45 | 54 | 56 | 68 => PowerState::Stopped,
            11 | 12 | 18 | 23 | 27 | 29 | 30 | 33 | 34 | 43 | 51..=53 | 63..=65 | 67 | 70 => PowerState::Off,
            36..=42 | 44 | 46..=50 | 61 => PowerState::Failed,
            // UNKNOWN and its PROLOG_MIGRATE: the host does not tell. The machine may well run, and nothing is to be made
            // in its place; a machine that is pending is looked at again.
            16 | 60 => PowerState::Pending,
            _ => PowerState::Running,
        },
        _ => PowerState::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_the_reference() {
        for (state, lcm, expected) in [
            (1, 0, PowerState::Pending),
            (10, 0, PowerState::Pending),
            (11, 0, PowerState::Failed),
            (3, 2, PowerState::Pending),
            (3, 3, PowerState::Running),
            (3, 17, PowerState::Running),
            (3, 25, PowerState::Running),
            (3, 26, PowerState::Running),
            (3, 6, PowerState::Stopped),
            (5, 0, PowerState::Stopped),
            (8, 0, PowerState::Off),
            (3, 12, PowerState::Off),
            (6, 0, PowerState::Off),
            (3, 36, PowerState::Failed),
            (3, 44, PowerState::Failed),
            (3, 61, PowerState::Failed),
            (3, 66, PowerState::Running),
            (3, 16, PowerState::Pending),
        ] {
            assert_eq!(power(state, lcm), expected, "{state} {lcm}");
        }
    }
}
