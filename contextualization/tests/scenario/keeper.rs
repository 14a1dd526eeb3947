//! The keeper of an infrastructure as far as credentials go: it applies to the machines what a contextualization tells,
//! and may die before it stores that.

use crate::checkpoints::Memory;
use async_trait::async_trait;
use contextualization::{
    Checkpoint, Checkpoints, CheckpointsClosed, Job, Outcome, Report, VmFacts, run, ssh::SshLimits,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Machines and checkpoints of one infrastructure.
pub struct Keeper {
    pub memory: Memory,
    pub vms: watch::Sender<Arc<Vec<VmFacts>>>,
    /// Machines whose next change of credentials is not stored any more.
    dies_at: Mutex<BTreeSet<u32>>,
    died: Notify,
}

impl Keeper {
    /// A keeper of these machines.
    pub fn new(vms: &[VmFacts]) -> Arc<Self> {
        let vms = watch::channel(Arc::new(vms.to_vec())).0;
        Arc::new(Self { memory: Memory::default(), vms, dies_at: Mutex::default(), died: Notify::new() })
    }

    /// Runs a job to its end.
    pub async fn contextualize(self: &Arc<Self>, job: Job) -> Outcome {
        run(job, Arc::clone(self) as _, SshLimits::new(50, 10), CancellationToken::new()).await
    }

    /// Runs a job until the daemon dies: the credentials of a machine are changed and that is not stored.
    pub async fn die_at(self: &Arc<Self>, vm: u32, job: Job) {
        self.dies_at.lock().unwrap().insert(vm);
        let task = tokio::spawn(run(job, Arc::clone(self) as _, SshLimits::new(50, 10), CancellationToken::new()));
        tokio::select! {
            () = self.died.notified() => {}
            () = self.memory.until("the end", |_| false) => {}
        }
        task.abort();
        let _ = task.await;
    }

    /// A credential of a machine as its document has it now.
    pub fn credential(&self, vm: u32, name: &str) -> Option<String> {
        let vms = self.vms.borrow();
        let vm = vms.iter().find(|facts| facts.id == vm).unwrap();
        vm.info.systems[0].features.text(&format!("disk.0.os.credentials.{name}")).map(str::to_owned)
    }

    /// Asks for new credentials of some machines, as a reconfigure does.
    pub fn ask(&self, vms: &[u32], credentials: &[(&str, &str)]) {
        self.change(vms, |system| {
            for (name, value) in credentials {
                system.features.set_text(&format!("disk.0.os.credentials.new.{name}"), value);
            }
        });
    }

    fn change(&self, vms: &[u32], change: impl Fn(&mut radl::System)) {
        self.vms.send_modify(|all| {
            for vm in Arc::make_mut(all).iter_mut().filter(|vm| vms.contains(&vm.id)) {
                change(&mut Arc::make_mut(&mut vm.info).systems[0]);
            }
        });
    }
}

#[async_trait]
impl Checkpoints for Keeper {
    async fn record(&self, entry: Checkpoint) -> Result<(), CheckpointsClosed> {
        for effect in &entry.reports {
            let Report::CredentialsChanged { vm, installed } = *effect else { continue };
            if self.dies_at.lock().unwrap().remove(&vm) {
                self.died.notify_one();
                std::future::pending::<()>().await;
            }
            self.change(&[vm], |system| system.update_credentials(installed.password, installed.key));
        }
        self.memory.record(entry).await
    }
}
