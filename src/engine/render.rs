//! Texts of the contract that are made from the model.

use super::model::{Lifecycle, State, Vm};
use chrono::{DateTime, Local};
use radl::Radl;

/// A line of the infrastructure's log: local time to the microsecond, text, newline (spec/api.md 5.5).
#[must_use]
pub fn log_line(at: i64, text: &str) -> String {
    let time = DateTime::from_timestamp_micros(at).unwrap_or_default().with_timezone(&Local);
    format!("{}: {text}\n", time.format("%Y-%m-%d %H:%M:%S%.6f"))
}

/// The whole log: header, then each machine that has one.
#[must_use]
pub fn contextualization_log(header: &str, vms: &[(u32, String)]) -> String {
    let mut text = header.to_owned();
    for (number, log) in vms {
        text.push_str(&format!("VM {number}:\n{log}\n{}\n", "*".repeat(75)));
    }
    text
}

/// The log of a machine: why it could not be launched, then what was said of it since.
#[must_use]
pub fn vm_log(vm: &Vm, stored: &str) -> String {
    match &vm.lifecycle {
        Lifecycle::Failed { why, .. } => format!("{why}\n{stored}"),
        _ => stored.to_owned(),
    }
}

/// What `GetVMInfo` shows of a machine: its networks and its one system with its `state`.
#[must_use]
pub fn vm_info(vm: &Vm, state: State) -> Radl {
    let mut info = Radl::clone(&vm.info);
    if let Some(system) = info.systems.first_mut() {
        system.features.set_text("state", state.name());
    }
    info
}
