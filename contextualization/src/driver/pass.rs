//! One pass through the work, from where it stands to the end: what all parts of it share, and waiting for machines.

use super::{
    link::Master,
    recorder::Recorder,
    rules::progress::{Phase, Progress},
    stop::Stop,
};
use crate::{
    access::{self, AccessSettings},
    contract::{ErrorCode, Job, Report, VmError, VmFacts, VmPower},
    plan::{
        self, Files, Sources,
        control::{ControlNode, control_of},
        decide::Decision,
        inventory::{self, Common},
        view,
    },
    ssh::SshLimits,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// The log line of an infrastructure whose contextualization is switched off.
pub const DISABLED: &str = "Contextualization disabled by the RADL/TOSCA template.";

/// What a contextualization works with, from its first pass to its last one.
pub(super) struct Context<'a> {
    pub(super) job: &'a Job,
    pub(super) recorder: &'a Recorder,
    pub(super) ssh: &'a SshLimits,
    pub(super) conf_dir: String,
    /// None until they are prepared, or found again.
    pub(super) masters: watch::Sender<Vec<Master<'a>>>,
    /// Told when a master has been silent for too long.
    pub(super) dead: Arc<Notify>,
}

impl Context<'_> {
    /// How long the master may be silent before another one is chosen: as long as machines are waited for.
    pub(super) fn patience(&self) -> Duration {
        self.job.settings.wait_ssh * 2
    }
}

/// A pass.
pub(super) struct Pass<'p, 'a> {
    pub(super) context: &'p Context<'a>,
    /// Who is to do what.
    pub(super) decision: Decision,
}

/// A set of machines that only grows.
pub(super) type Growing = watch::Sender<BTreeSet<u32>>;

/// Whether a machine on a public network has no address there.
pub(super) fn lacks_public_ip(vm: &VmFacts) -> bool {
    access::on_public_network(&vm.info) && access::public_ip(&vm.info).is_none()
}

/// An error outside of a playbook.
pub(super) fn error(code: ErrorCode, phase: &str, message: impl Into<String>) -> VmError {
    VmError::new(code, phase, message)
}

impl Pass<'_, '_> {
    pub(super) fn vms(&self) -> Arc<Vec<VmFacts>> {
        self.context.job.vms.borrow().clone()
    }

    pub(super) fn facts(&self, id: u32) -> Option<VmFacts> {
        self.vms().iter().find(|vm| vm.id == id).cloned()
    }

    pub(super) fn participants(&self) -> Vec<VmFacts> {
        let taking_part = |vm: &&VmFacts| self.decision.participants.contains(&vm.id);
        self.vms().iter().filter(taking_part).cloned().collect()
    }

    /// Waits at most `limit` until `ready` holds for the machines; false when it never did.
    pub(super) async fn wait(&self, limit: Duration, ready: impl Fn(&[VmFacts]) -> bool) -> bool {
        let mut vms = self.context.job.vms.clone();
        let until = Instant::now() + limit;
        loop {
            let met = ready(&vms.borrow_and_update());
            if met {
                return true;
            }
            match tokio::time::timeout_at(until, vms.changed()).await {
                Ok(Ok(())) => {}
                // No news will ever come, or time is over.
                Ok(Err(_)) | Err(_) => return false,
            }
        }
    }

    /// What the user should know beforehand; machines that are switched off have their result at once.
    pub(super) async fn announce(&self) -> Result<(), Stop> {
        let recorder = self.context.recorder;
        let job = self.context.job;
        if self.decision.enabled {
            recorder.log(job.notes.iter().chain(&self.decision.notes).cloned()).await?;
            let off = &self.decision.switched_off;
            let log = |vm: &u32| Report::VmLog { vm: *vm, text: "Contextualization disabled\n".to_owned() };
            recorder.record(off.iter().map(log).collect(), |p| p.phase = Phase::WaitIps).await?;
            recorder.results(off.iter().map(|vm| (*vm, Ok(())))).await?;
        } else {
            let mut lines: Vec<Report> = job.notes.iter().cloned().map(Report::InfrastructureLog).collect();
            lines.push(Report::InfrastructureText(format!("{DISABLED}\n\n")));
            recorder.record(lines, |p| p.phase = Phase::WaitIps).await?;
        }
        Ok(())
    }

    /// The way of an infrastructure that is switched off: addresses, then done.
    pub(super) async fn disabled(&self) -> Result<(), Stop> {
        self.addresses(false).await?;
        self.public_addresses(false).await?;
        let recorder = self.context.recorder;
        recorder.results(self.vms().iter().map(|vm| (vm.id, Ok(())))).await?;
        Ok(recorder.record(Vec::new(), |p| p.phase = Phase::Done).await?)
    }

    fn counts(&self, vm: &VmFacts, participants_only: bool) -> bool {
        vm.power != VmPower::Down && (!participants_only || self.decision.participants.contains(&vm.id))
    }

    /// Waits until the machines have an address.
    pub(super) async fn addresses(&self, participants_only: bool) -> Result<(), Stop> {
        let settings = &self.context.job.settings;
        let limit = settings.wait_running;
        let lacks = |vm: &&VmFacts| self.counts(vm, participants_only) && inventory::main_ip(vm).is_none();
        let nothing = |vm: &&VmFacts| lacks(vm) && !access::has_ipv6(&vm.info);
        if self.wait(limit, |vms| !vms.iter().any(|vm| nothing(&vm))).await {
            // Where IPv6 came first IPv4 may follow; without it the machine, not the infrastructure, fails.
            self.wait(settings.wait_public_ip, |vms| !vms.iter().any(|vm| lacks(&vm))).await;
            return Ok(());
        }
        let ids: Vec<String> = self.vms().iter().filter(nothing).map(|vm| vm.id.to_string()).collect();
        let text = format!("Error waiting for an IP of VM {}: none within {} s.", ids.join(", "), limit.as_secs());
        Err(Stop::Refused(ErrorCode::NoIp, text))
    }

    /// Waits until the machines on a public network have their public address.
    pub(super) async fn public_addresses(&self, participants_only: bool) -> Result<(), Stop> {
        // One with an IPv6 address alone is told so when its door is to be opened.
        let lacks = |vm: &&VmFacts| {
            let ipv6_alone = inventory::main_ip(vm).is_none() && access::has_ipv6(&vm.info);
            self.counts(vm, participants_only) && lacks_public_ip(vm) && !ipv6_alone
        };
        let limit = self.context.job.settings.wait_public_ip;
        if self.wait(limit, |vms| !vms.iter().any(|vm| lacks(&vm))).await {
            return Ok(());
        }
        Err(Stop::Refused(ErrorCode::NoIp, "Error waiting all the VMs to have all the requested IPs".to_owned()))
    }

    pub(super) fn access(&self, limit: Duration) -> AccessSettings {
        AccessSettings::new(limit, self.context.job.settings.check_host_keys)
    }

    /// Resolves when the machine was deleted.
    pub(super) async fn gone(&self, vm: u32) {
        let mut vms = self.context.job.vms.clone();
        if vms.wait_for(|all| all.iter().all(|other| other.id != vm)).await.is_err() {
            // No news will ever come.
            std::future::pending::<()>().await;
        }
    }

    /// The files of a control node.
    pub(super) fn files(&self, node: &ControlNode, progress: &Progress) -> Result<Files, Stop> {
        let (job, vms) = (self.context.job, self.vms());
        let hosts: Vec<_> = progress.hosts.iter().map(|(vm, record)| record.host(*vm, None)).collect();
        let host_keys: BTreeMap<u32, String> =
            progress.hosts.iter().filter_map(|(vm, record)| Some((*vm, record.key.clone()?))).collect();
        let common = Common {
            infrastructure: job.infrastructure.clone(),
            auth: job.exposed_auth.clone(),
            radl: view::infrastructure_radl(&job.radl, job.settings.expose_secrets),
        };
        let sources = Sources {
            radl: &job.radl,
            vms: &vms,
            hosts: &hosts,
            control: node,
            decision: &self.decision,
            common: &common,
            host_keys: &host_keys,
            key: &job.ansible_key,
            conf_dir: &self.context.conf_dir,
            generation: job.generation,
            settings: &job.settings,
            lock_step_roles: &progress.lock_step_roles,
            alone_roles: &progress.alone_roles,
        };
        plan::files(&sources).map_err(|e| Stop::Failed(format!("Error generating playbooks: {e}")))
    }

    /// Whether the control node is to open the door of this machine.
    pub(super) fn in_charge(&self, control: &ControlNode, vm: &VmFacts) -> bool {
        match control {
            ControlNode::Vm(id) => vm.id != *id,
            ControlNode::Host(_) => control_of(&self.context.job.radl, vm, None).as_ref() == Some(control),
        }
    }

    /// Those of the machines that have no work after the first `done` steps are configured.
    pub(super) async fn settle(&self, done: usize, vms: &BTreeSet<u32>) -> Result<(), Stop> {
        let busy: BTreeSet<u32> =
            self.decision.steps.values().skip(done).flatten().flat_map(|lane| lane.vms.iter().copied()).collect();
        let progress = self.context.recorder.progress().await;
        let finished = progress.hosts.keys().filter(|vm| vms.contains(vm) && !busy.contains(vm));
        Ok(self.context.recorder.results(finished.map(|vm| (*vm, Ok(())))).await?)
    }
}
