//! Texts of the contract that are made from the model.

use crate::engine::state::model::{Lifecycle, State, Vm};
use chrono::{DateTime, Local};
use contextualization::{Attempt, ErrorCode};
use radl::Radl;
use serde::Serialize;

/// What a user can do about a machine that could not be launched.
const LAUNCH_HINT: &str =
    "Read why the cloud refused the machine, change the document or the cloud's quota, add it again.";

/// A line of the infrastructure's log: local time to the microsecond, text, newline (docs/spec/api.md 5.5).
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

/// Why a machine failed, for programs. Absent values are null or empty, so that every key is always there.
#[derive(Debug, Serialize)]
pub struct FailureReport<'a> {
    code: ErrorCode,
    phase: &'a str,
    step: Option<i64>,
    recipe: Option<&'a str>,
    task: Option<&'a str>,
    message: &'a str,
    module_message: Option<&'a str>,
    rc: Option<i64>,
    stderr: &'a [String],
    attempt: Option<Attempt>,
    hint: &'static str,
}

/// Why the machine was not launched or is not configured; none when nothing is known to be wrong.
#[must_use]
pub fn vm_error(vm: &Vm) -> Option<FailureReport<'_>> {
    let (code, phase, message, details) = match (&vm.failure, &vm.lifecycle) {
        (Some(error), _) => (error.code, error.phase.as_str(), error.message.as_str(), error.details.as_deref()),
        (None, Lifecycle::Failed { why, .. }) => (ErrorCode::NotRunning, "launch", why.as_str(), None),
        _ => return None,
    };
    Some(FailureReport {
        code,
        phase,
        step: details.and_then(|details| details.step),
        recipe: details.and_then(|details| details.recipe.as_deref()),
        task: details.and_then(|details| details.task.as_deref()),
        message,
        module_message: details.and_then(|details| details.module_message.as_deref()),
        rc: details.and_then(|details| details.rc),
        stderr: details.map_or(&[], |details| &details.stderr),
        attempt: details.and_then(|details| details.attempt),
        hint: if phase == "launch" { LAUNCH_HINT } else { code.hint() },
    })
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
