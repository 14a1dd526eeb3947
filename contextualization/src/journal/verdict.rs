//! From what a run said to the result of a machine: kinds of failure, recognised from events.

use super::{
    answer::AnsibleAnswer,
    position::{End, FLOODED, Failure, JournalPosition},
    text::Cleaner,
};
use crate::{
    contract::{Details, ErrorCode, VmError},
    galaxy,
};
use serde_json::{Map, Value};

/// Lines of standard error that are kept.
const STDERR: usize = 20;
/// Characters of a message that are kept.
const MESSAGE: usize = 2000;

/// What programs say when a disk is full.
const NO_SPACE: &str = "No space left on device";
/// What they say without memory.
const NO_MEMORY: [&str; 2] = ["Cannot allocate memory", "MemoryError"];

/// What Ansible says of a task that no machine can run, when it finds out in the middle of a run.
const NOT_RUNNABLE: [&str; 3] =
    ["Unsupported parameters for (", "couldn't resolve module/action '", "Syntax Error while loading YAML"];

/// What Ansible, and the runner in its place, say of encrypted text that they cannot open.
const NOT_OPENED: [&str; 3] = ["no vault secrets", "Decryption failed", "VAULT: "];

/// What a run is about.
#[derive(Debug, Clone, Default)]
pub struct RunSubject {
    /// The phase, as errors name it.
    pub phase: String,
    /// The user's step, none for the built-in playbook.
    pub step: Option<i64>,
    /// The recipe, as the log names it.
    pub recipe: Option<String>,
}

/// The failure that a result tells of.
#[must_use]
pub fn failure(task: &str, result: &Map<String, Value>, cleaner: &Cleaner) -> Failure {
    let text = |key: &str| result.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let said = text("msg").or_else(|| text("reason")).unwrap_or("no message");
    let answer = AnsibleAnswer::of_message(said);
    let place = answer.place;
    // Where the message tells of a place, the log shows that place in the user's own text.
    let said = if place.is_some() { answer.said.as_str() } else { said };
    let module_message = cleaner.name(&said.chars().take(MESSAGE).collect::<String>());
    let lines: Vec<&str> = text("stderr").or_else(|| text("module_stderr")).unwrap_or_default().lines().collect();
    let stderr: Vec<String> = lines.iter().skip(lines.len().saturating_sub(STDERR)).map(|l| cleaner.name(l)).collect();
    let rc = result.get("rc").and_then(Value::as_i64);
    let everything = ["msg", "stderr", "module_stderr", "module_stdout", "stdout"];
    let contains = |what: &str| everything.iter().filter_map(|key| text(key)).any(|text| text.contains(what));
    let no_answer = said.contains("waiting for privilege escalation prompt");
    let killed = || lines.iter().any(|line| line.trim() == "Killed" || line.ends_with(": Killed"));
    let code = if NOT_OPENED.iter().any(|words| said.contains(words)) {
        ErrorCode::Vault
    } else if contains("DISK_NOT_FOUND") {
        ErrorCode::DiskNotFound
    } else if said.contains("Missing sudo password") || said.contains("Incorrect sudo password") {
        ErrorCode::SudoDenied
    } else if no_answer {
        ErrorCode::Unreachable
    } else if NOT_RUNNABLE.iter().any(|words| said.starts_with(words)) {
        ErrorCode::RecipeInvalid
    } else if contains(NO_SPACE) {
        ErrorCode::DiskFull
    } else if is_killed(rc) || killed() || NO_MEMORY.iter().any(|text| contains(text)) {
        ErrorCode::OutOfMemory
    } else {
        ErrorCode::TaskFailed
    };
    // The line that says why, else the last one.
    let reasons = || NO_MEMORY.iter().chain([&NO_SPACE]);
    let tells = |line: &&String| reasons().any(|reason| line.contains(reason));
    let last = || stderr.iter().rev().find(|line| !line.trim().is_empty());
    let message = match stderr.iter().find(tells).or_else(last) {
        Some(line) if !module_message.contains(line.as_str()) => format!("{module_message} ({line})"),
        _ => module_message.clone(),
    };
    Failure { code, task: task.to_owned(), message, module_message, rc, stderr, place, mitogen: false }
}

/// Exit status of a process that got SIGKILL: what the kernel sends when memory is short.
fn is_killed(rc: Option<i64>) -> bool {
    matches!(rc, Some(-9 | 137))
}

/// The result of a machine in a run that ended.
///
/// # Errors
/// Why it failed.
pub fn result(position: &JournalPosition, vm: u32, end: &End, subject: &RunSubject) -> Result<(), VmError> {
    let failure = position.failures.get(&vm);
    match position.stats.get(&vm) {
        Some(true) => return Ok(()),
        None if end.state == "finished" && end.rc == 0 => return Ok(()),
        // It did all its work before another machine held up the run.
        None if position.done.contains(&vm) && matches!(end.state.as_str(), "timeout" | "cancelled") => return Ok(()),
        _ => {}
    }
    let mut details = Details { step: subject.step, recipe: subject.recipe.clone(), ..Details::default() };
    let tail: Vec<String> = end.tail.lines().map(str::to_owned).collect();
    let (code, message) = match (end.state.as_str(), failure) {
        ("timeout", _) => (ErrorCode::Timeout, "time is over".to_owned()),
        ("cancelled", _) => (ErrorCode::Cancelled, "the run was cancelled".to_owned()),
        (FLOODED, _) => {
            let text = "the run wrote a journal that is too long to be read, and was ended: let its tasks say less";
            (ErrorCode::TaskFailed, text.to_owned())
        }
        ("lost", _) => (ErrorCode::RunnerLost, "the run on the master ended abruptly".to_owned()),
        ("rebooted", _) => (ErrorCode::MasterLost, "the master was restarted during the run".to_owned()),
        (_, Some(failure)) => {
            details.task = Some(failure.task.clone());
            details.module_message = Some(failure.module_message.clone());
            details.rc = failure.rc;
            details.stderr.clone_from(&failure.stderr);
            (failure.code, format!("task '{}': {}", failure.task, failure.message))
        }
        (state, None) if position.stats.is_empty() => {
            let last = || tail.last().map_or("it said nothing", |line| line.trim()).to_owned();
            let said = AnsibleAnswer::of_output(&end.tail).map_or_else(last, |answer| answer.said);
            details.rc = Some(end.rc);
            let (code, why) = match state {
                _ if NOT_OPENED.iter().any(|words| end.tail.contains(words)) => (ErrorCode::Vault, ""),
                _ if end.tail.contains(NO_SPACE) => (ErrorCode::DiskFull, "no space is left on the master"),
                _ if NO_MEMORY.iter().any(|text| end.tail.contains(text)) => {
                    (ErrorCode::OutOfMemory, "the master has no memory left for Ansible")
                }
                "finished" if is_killed(Some(end.rc)) => {
                    (ErrorCode::OutOfMemory, "Ansible was killed on the master, which is what happens without memory")
                }
                "failed" => (ErrorCode::RunnerLost, "Ansible could not be started on the master"),
                _ => (ErrorCode::RecipeInvalid, "Ansible did not run the recipe"),
            };
            let hint = galaxy::hint(&end.tail).map(|hint| format!("\n{hint}")).unwrap_or_default();
            let message = match code {
                ErrorCode::Vault => {
                    let last = tail.iter().rev().find(|line| !line.trim().is_empty());
                    last.map(|line| line.trim_start_matches("VAULT: ").to_owned()).unwrap_or_default()
                }
                _ => format!("{why}: {said}{hint}"),
            };
            details.stderr = tail[tail.len().saturating_sub(STDERR)..].to_vec();
            (code, message)
        }
        (_, None) => (ErrorCode::TaskFailed, "the machine was not reached: the play ended before".to_owned()),
    };
    Err(VmError { code, phase: subject.phase.clone(), message, details: Some(Box::new(details)) })
}
