//! A playbook over some machines: the unit of which progress is kept.

use super::key::{ItemKey, Work};
use crate::{
    contract::VmError,
    journal::verdict::RunSubject,
    plan::{self, Runnable, decide::Lane},
};
use radl::Radl;
use std::collections::BTreeMap;

/// A playbook to run, in as many attempts as it takes and may take.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name in the progress.
    pub key: ItemKey,
    /// Its name in the log.
    pub task: String,
    /// The phase that its errors tell.
    pub phase: String,
    /// The user's step, none for a built-in playbook.
    pub step: Option<i64>,
    /// The playbook.
    pub playbook: Runnable,
    /// Its machines.
    pub vms: Vec<u32>,
    /// What it is done with, by machine; it is not done again with the same for a machine when the master was lost.
    pub marks: BTreeMap<u32, String>,
    /// The item that comes next for the same machines.
    pub next: Option<Box<Item>>,
}

impl Item {
    /// The built-in playbook over some machines, or over a late one by itself.
    #[must_use]
    pub fn built_in(radl: &Radl, windows: bool, vms: Vec<u32>, late: Option<u32>) -> Self {
        let (task, phase, playbook) = match windows {
            false => ("basic", "basic", plan::BASIC),
            true => ("main_windows", "main", plan::windows::PLAYBOOK),
        };
        Self {
            key: Work::BuiltIn { windows, late }.into(),
            task: task.to_owned(),
            phase: phase.to_owned(),
            step: None,
            playbook: Runnable::built_in(radl, playbook),
            vms,
            marks: BTreeMap::new(),
            next: None,
        }
    }

    /// A recipe over the machines of a lane; `marks` are what it is done with, by machine.
    #[must_use]
    pub fn recipe(step: i64, lane: &Lane, configure: &str, playbook: &Runnable, marks: BTreeMap<u32, String>) -> Self {
        let vm = if let [vm] = lane.vms[..] { Some(vm) } else { None };
        let (system, name) = (lane.system.clone(), configure.to_owned());
        Self {
            key: Work::Recipe { step, system, vm, configure: name }.into(),
            task: format!("{configure}_{}", lane.system),
            phase: phase(step),
            step: Some(step),
            playbook: playbook.clone(),
            vms: lane.vms.clone(),
            marks,
            next: None,
        }
    }

    /// What its runs are about.
    #[must_use]
    pub fn subject(&self) -> RunSubject {
        RunSubject { phase: self.phase.clone(), step: self.step, recipe: Some(self.task.clone()) }
    }
}

/// The phase that errors of a step tell.
#[must_use]
pub fn phase(step: i64) -> String {
    format!("step {step}")
}

/// The lines of the log about attempt `number` of `of` that failed.
#[must_use]
pub fn failed(task: &str, number: u32, of: u32, error: &VmError) -> String {
    let cause = if number >= of { error.final_cause() } else { error.cause() };
    format!("ERROR executing task {task}: ({number}/{of})\n{cause}")
}
