//! Where a contextualization stands: what is stored with every step, and enough to go on after a restart.

use super::{item::Item, key::ItemKey};
use crate::{
    bootstrap::Runtime,
    contract::VmError,
    journal::position::JournalPosition,
    plan::{carrier::Carrier, control::ControlNode, inventory::Host, recipe::Strategy},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The whole of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Where Ansible runs: the master, or external hosts.
    pub controls: Vec<ControlRecord>,
    /// Installed roles with tasks that need lock step.
    pub lock_step_roles: Vec<String>,
    /// Installed roles that look at no other machine.
    pub alone_roles: Vec<String>,
    /// Why roles and collections are not there, by [`crate::galaxy::fault_key`].
    pub not_installed: BTreeMap<String, String>,
    /// Whether mitogen failed, so that plain Ansible does the rest.
    pub without_mitogen: bool,
    /// Machines that were reached.
    pub hosts: BTreeMap<u32, HostRecord>,
    /// Machines that did not answer when the others began: each follows by itself, also with another master.
    pub late: BTreeSet<u32>,
    /// Machines with a final result: none when fine.
    pub results: BTreeMap<u32, Option<VmError>>,
    /// What the logs say already of the master that is being prepared.
    pub said: BTreeSet<String>,
    /// Finished items.
    pub finished: BTreeSet<ItemKey>,
    /// Items with a run under way.
    pub open: BTreeMap<ItemKey, OpenRun>,
    /// Runs that the process of another item's run went on with, by item: they may be under way.
    pub ahead: BTreeMap<ItemKey, String>,
    /// Attempts begun of items that are not finished: an attempt that took the master with it counts.
    pub attempts: BTreeMap<ItemKey, u32>,
    /// Machines for which an item of the user is done, with the mark of what it was done with.
    pub done: BTreeMap<ItemKey, BTreeMap<u32, String>>,
    /// Machines that were the master and died: others are preferred.
    pub lost: BTreeSet<u32>,
    /// How often a master was prepared again.
    pub redos: u32,
}

/// How often a master may be prepared again.
pub const MAX_REDOS: u32 = 5;

impl Progress {
    /// Whether a master may be prepared once more.
    #[must_use]
    pub fn may_redo(&self) -> bool {
        self.redos < MAX_REDOS
    }

    /// Back to the choice of the master. What is done for the machines stays done.
    pub fn redo(&mut self) {
        self.phase = Phase::WaitIps;
        self.controls.clear();
        self.open.clear();
        self.ahead.clear();
        self.hosts.clear();
        self.said.clear();
        self.not_installed.clear();
        self.finished.retain(|key| !key.is_built_in());
        self.redos += 1;
    }

    /// Whether the item is done for the machine, and nothing changed since.
    #[must_use]
    pub fn is_done(&self, item: &Item, vm: u32) -> bool {
        let done = self.done.get(&item.key).and_then(|vms| vms.get(&vm));
        done.is_some() && done == item.marks.get(&vm)
    }

    /// Machines of the item that have no result yet and for which it is not done.
    #[must_use]
    pub fn waiting(&self, item: &Item) -> BTreeSet<u32> {
        let waits = |vm: &u32| !self.results.contains_key(vm) && !self.is_done(item, *vm);
        item.vms.iter().copied().filter(waits).collect()
    }

    /// The machine of the infrastructure that is the master.
    #[must_use]
    pub fn master(&self) -> Option<u32> {
        self.controls.iter().find_map(|record| match record.node {
            ControlNode::Vm(number) => Some(number),
            ControlNode::Host(_) => None,
        })
    }

    /// How Ansible is started on a control node.
    #[must_use]
    pub fn runtime(&self, node: &ControlNode) -> Option<&Runtime> {
        self.controls.iter().find(|record| record.node == *node)?.runtime.as_ref()
    }
}

/// A control node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControlRecord {
    /// Which one.
    pub node: ControlNode,
    /// How Ansible is started there, once it is.
    pub runtime: Option<Runtime>,
}

/// Phases of a contextualization (docs/spec/contextualization.md 6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was done.
    #[default]
    Idle,
    /// Waiting for addresses.
    WaitIps,
    /// Choosing the master.
    SelectMaster,
    /// Waiting for it.
    WaitMaster,
    /// Bringing Ansible there, opening the doors of the others, sending the files.
    Bootstrap,
    /// Running playbooks: built-in, then the steps of the user.
    Running,
    /// All done.
    Done,
}

impl Phase {
    /// Its name in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle | Self::WaitIps => "addresses",
            Self::SelectMaster | Self::WaitMaster => "master",
            Self::Bootstrap => "bootstrap",
            Self::Running => "run",
            Self::Done => "end",
        }
    }
}

/// A machine that was reached. Its password is not kept here but taken from the machine's facts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRecord {
    /// Inventory name.
    pub name: String,
    /// Address that worked.
    pub address: String,
    /// Port that worked.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// Path of Python.
    pub python: Option<String>,
    /// Whether sudo asks for a password.
    pub sudo_asks: bool,
    /// Host key, none of a Windows machine.
    pub key: Option<String>,
    /// The proxy host it was reached through: its name ([`crate::access::Proxy::name`]) and its host key.
    pub proxy: Option<(String, String)>,
    /// Whether it is reached by WinRM.
    pub windows: bool,
    /// Where Ansible runs for it.
    pub control: ControlNode,
}

impl HostRecord {
    /// The machine as the inventory wants it.
    #[must_use]
    pub fn host(&self, vm: u32, password: Option<String>) -> Host {
        Host {
            vm,
            name: self.name.clone(),
            address: self.address.clone(),
            port: self.port,
            user: self.user.clone(),
            python: self.python.clone(),
            proxy: self.proxy.as_ref().map(|(name, _)| name.clone()),
            sudo_password: password.clone().filter(|_| self.sudo_asks),
            windows: self.windows,
            login_password: password.filter(|_| self.windows),
        }
    }
}

/// A run on the master.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenRun {
    /// Its id.
    pub run: String,
    /// What it runs, as the log names it.
    #[serde(default)]
    pub task: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Its machines by inventory name.
    pub hosts: BTreeMap<String, u32>,
    /// Where it runs.
    pub control: ControlNode,
    /// How far its journal was read.
    pub position: JournalPosition,
    /// How its machines advance.
    #[serde(default)]
    pub strategy: Strategy,
    /// What carries its tasks.
    #[serde(default, rename = "engine")]
    pub carrier: Carrier,
    /// Failures of machines in the same attempt that are not in this run: those of an attempt that goes on without
    /// mitogen for other machines.
    #[serde(default)]
    pub carried: BTreeMap<u32, VmError>,
    /// What the same process goes on with when no machine failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRun>,
}

/// The run of another item in the process of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NextRun {
    /// Key of the item.
    pub key: ItemKey,
    /// Id of the run.
    pub run: String,
    /// Its playbook in the conf dir.
    pub playbook: String,
}
