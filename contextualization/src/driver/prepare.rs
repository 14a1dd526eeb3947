//! From machines to control nodes with everything on them: the master, or the external hosts of the document in its place.

use super::{
    late::{self, GRACE},
    link::{Life, Link, Master},
    pass::{Growing, Pass, error, lacks_public_ip},
    rules::progress::{ControlRecord, Phase, Progress},
    stop::Stop,
};
use crate::{
    access::{self, Accessed, Target, master},
    contract::{ErrorCode, Report, VmError, VmFacts, VmPower},
    plan::{
        Files,
        control::{ControlNode, control_of},
        inventory,
    },
    ssh::SshSession,
};
use futures::future::try_join_all;
use radl::AnsibleHost;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// The text when no machine can be the master.
const NO_MASTER: &str =
    "Contextualization Error: No correct Master VM found. Check if there a linux VM with Public IP.";

/// A connection to a control node, and the way it was made.
struct Seat<'a> {
    control: ControlNode,
    target: Target,
    link: Arc<Link<'a>>,
    session: SshSession,
}

impl<'a> Pass<'_, 'a> {
    /// The control nodes with Ansible and all files on them, and what the files are.
    pub(super) async fn prepared(&self) -> Result<(Vec<Master<'a>>, Files), Stop> {
        let progress = self.context.recorder.progress().await;
        if progress.phase >= Phase::Running
            && let Some(ready) = self.attach(&progress).await?
        {
            return Ok(ready);
        }
        self.prepare().await
    }

    /// The links to control nodes that were prepared before; none when one of them is no more.
    async fn attach(&self, progress: &Progress) -> Result<Option<(Vec<Master<'a>>, Files)>, Stop> {
        let limit = self.context.patience();
        let lost = |e: VmError| Stop::Dead(format!("the master VM is lost: {}", e.message));
        let vms = self.vms();
        let gone = |node: &ControlNode| matches!(node, ControlNode::Vm(id) if vms.iter().all(|vm| vm.id != *id));
        let Some(first) = progress.controls.first() else { return Ok(None) };
        if progress.controls.iter().any(|record| gone(&record.node) || record.runtime.is_none()) {
            return Ok(None);
        }
        let seats = try_join_all(progress.controls.iter().map(|record| self.reach(&record.node, limit)));
        let seats = seats.await.map_err(lost)?;
        let files = self.files(&first.node, progress)?;
        Ok(Some((Self::masters(seats, progress), files)))
    }

    fn masters(seats: Vec<Seat<'a>>, progress: &Progress) -> Vec<Master<'a>> {
        let ready = seats.into_iter().filter_map(|Seat { control, link, .. }| {
            let runtime = progress.runtime(&control)?.clone();
            Some(Master { control, link, runtime })
        });
        ready.collect()
    }

    async fn prepare(&self) -> Result<(Vec<Master<'a>>, Files), Stop> {
        let (context, recorder) = (self.context, self.context.recorder);
        self.addresses(true).await?;
        let seats = if context.job.radl.ansible_hosts.is_empty() {
            vec![self.master().await?]
        } else {
            self.ansible_hosts().await?
        };
        recorder.record(Vec::new(), |p| p.phase = Phase::Bootstrap).await?;
        let before = recorder.progress().await;
        // What a machine did with others is not taken apart when they are prepared again.
        let may_leave = before.finished.is_empty() && before.done.is_empty();
        let ready = seats.iter().map(|seat| self.ready(seat, &before.late, may_leave));
        tokio::try_join!(try_join_all(ready), self.public_addresses(true))?;

        let lines = ["Creating and copying Ansible playbook files", "Copying YAML, hosts and inventory files."];
        recorder.log_once(lines.map(str::to_owned)).await?;
        let progress = recorder.progress().await;
        let mut files = Files::default();
        for seat in &seats {
            files = self.files(&seat.control, &progress)?;
            // The session may have been closed while nothing was to be said.
            let sent = seat.link.session().await.upload_tar(&context.conf_dir, &files.entries).await;
            sent.map_err(|e| Stop::Redo(format!("cannot copy files to the master: {e}")))?;
        }
        recorder.log_once(files.notes.clone()).await?;
        let masters = Self::masters(seats, &progress);
        let generation = context.job.generation.to_string();
        for master in &masters {
            // Runs of other generations end.
            let ended = master.link.ask(&master.runtime, &["gc", &generation], &serde_json::Value::Null).await;
            ended.map_err(|e| Stop::Redo(format!("the runner does not work: {e}")))?;
        }
        let progress = recorder.progress().await;
        let is_known = |vm: &u32| progress.hosts.contains_key(vm) || progress.results.contains_key(vm);
        let served = |vm: &&VmFacts| masters.iter().any(|master| self.in_charge(&master.control, vm));
        let late: Vec<u32> =
            self.participants().iter().filter(served).map(|vm| vm.id).filter(|vm| !is_known(vm)).collect();
        let line = (!late.is_empty()).then(|| late::announcement(&late, context.patience()));
        let running = |p: &mut Progress| {
            p.phase = Phase::Running;
            // Their doors go on being opened.
            p.said.retain(|mark| late.iter().any(|vm| mark.starts_with(&format!("{vm} "))));
            p.late.extend(late);
        };
        recorder.record(line.into_iter().map(Report::InfrastructureLog).collect(), running).await?;
        Ok((masters, files))
    }

    /// Brings Ansible to a control node while the doors of its machines open. Those that keep the others waiting when it is
    /// there are left out if they `may_leave`; those that are `late` from before are left out in any case.
    async fn ready(&self, seat: &Seat<'a>, late: &BTreeSet<u32>, may_leave: bool) -> Result<(), Stop> {
        let (has_ansible, settled) = (Notify::new(), Growing::default());
        let installed = async {
            self.install(&seat.control, &seat.target, &seat.session).await?;
            has_ansible.notify_one();
            Ok(())
        };
        let mut vms = self.participants();
        vms.retain(|vm| self.in_charge(&seat.control, vm) && !late.contains(&vm.id));
        let mut news = settled.subscribe();
        let patience = async {
            has_ansible.notified().await;
            if !may_leave {
                std::future::pending::<()>().await;
            }
            while tokio::time::timeout(GRACE, news.changed()).await.is_ok() {}
        };
        let doors = async {
            tokio::select! {
                opened = self.doors(&seat.control, seat.session.clone(), vms, &settled) => opened,
                () = patience => Ok(()),
            }
        };
        tokio::try_join!(installed, doors).map(drop)
    }

    /// Chooses the master of the infrastructure, waits for it and prepares it as a machine.
    async fn master(&self) -> Result<Seat<'a>, Stop> {
        let (context, recorder) = (self.context, self.context.recorder);
        let settings = &context.job.settings;
        let select = |p: &mut Progress| p.phase = Phase::SelectMaster;
        recorder.once(vec![Report::InfrastructureLog("Select master VM".to_owned())], select).await?;
        let id = self.choose().await?;
        let control = ControlNode::Vm(id);
        let wait = |p: &mut Progress| {
            p.phase = Phase::WaitMaster;
            p.controls = vec![ControlRecord { node: control.clone(), runtime: None }];
        };
        let lines = ["Wait master VM to boot", "Wait master VM to have the SSH active."];
        let mut reports = vec![Report::Master { vm: id }];
        reports.extend(lines.map(|l| Report::InfrastructureLog(l.to_owned())));
        recorder.once(reports, wait).await?;
        let up = |vms: &[VmFacts]| vms.iter().all(|vm| vm.id != id || vm.power != VmPower::Pending);
        let booted = self.wait(settings.wait_running, up).await;
        let Some(vm) = self.facts(id).filter(|vm| booted && vm.power == VmPower::Running) else {
            let text = "Contextualization Error: Error Waiting the Master VM to boot";
            return Err(Stop::Refused(ErrorCode::NotRunning, text.to_owned()));
        };
        let text = "Contextualization Error: Error Waiting the Master VM to have the SSH active:";
        let proxied = access::Proxy::of(&vm.info) != Ok(None);
        let addressed = |vms: &[VmFacts]| !vms.iter().any(|vm| vm.id == id && !proxied && lacks_public_ip(vm));
        let addressed = self.wait(settings.wait_public_ip, addressed).await;
        let Some(vm) = self.facts(id).filter(|_| addressed) else {
            let text = format!("{text} Timeout waiting the VM to get a public IP.");
            return Err(Stop::Refused(ErrorCode::NoIp, text));
        };
        let ip = inventory::main_ip(&vm).unwrap_or_default();
        let shut = |e: VmError| Stop::Refused(e.code, format!("{text} {} [{}]", access::wait_text(&e, ip), e.message));
        let seat = self.reach(&control, settings.wait_ssh).await.map_err(shut)?;
        let accessed = Accessed::prepare(&seat.target, &seat.session).await.map_err(shut)?;
        self.door_opened(&seat.control, &vm, &seat.target, &accessed).await?;
        Ok(seat)
    }

    /// The machine that becomes the master: one that did not die before, if there is one.
    async fn choose(&self) -> Result<u32, Stop> {
        let radl = &self.context.job.radl;
        let (participants, lost) = (self.participants(), self.context.recorder.progress().await.lost);
        let others: Vec<VmFacts> = participants.iter().filter(|vm| !lost.contains(&vm.id)).cloned().collect();
        let chosen = master::select(&others, radl).or_else(|| master::select(&participants, radl));
        chosen.ok_or_else(|| Stop::Failed(NO_MASTER.to_owned()))
    }

    /// Connects to the external hosts that some machine uses.
    async fn ansible_hosts(&self) -> Result<Vec<Seat<'a>>, Stop> {
        let (job, recorder) = (self.context.job, self.context.recorder);
        let used: Vec<ControlNode> =
            self.participants().iter().filter_map(|vm| control_of(&job.radl, vm, None)).collect();
        let used: Vec<ControlNode> = job
            .radl
            .ansible_hosts
            .iter()
            .map(|host| ControlNode::Host(host.id.clone()))
            .filter(|node| used.contains(node))
            .collect();
        let wait = |p: &mut Progress| {
            p.phase = Phase::WaitMaster;
            p.controls = used.iter().map(|node| ControlRecord { node: node.clone(), runtime: None }).collect();
        };
        let line = |node: &ControlNode| Report::InfrastructureLog(format!("Connecting to the {node}."));
        recorder.once(used.iter().map(line).collect(), wait).await?;
        let seats = used.iter().map(|node| async move {
            let reached = self.reach(node, job.settings.wait_ssh).await;
            let text = |e: VmError| format!("Contextualization Error: the {node} cannot be used: {}", e.message);
            reached.map_err(|e| Stop::Refused(e.code, text(e)))
        });
        let seats = try_join_all(seats).await?;
        let keys = seats.iter().filter_map(|seat| match &seat.control {
            ControlNode::Host(host) if seat.target.host_key.as_deref() != Some(seat.session.host_key()) => {
                let (host, key) = (host.clone(), seat.session.host_key().to_owned());
                Some(Report::AnsibleHostKey { host, key })
            }
            _ => None,
        });
        recorder.record(keys.collect(), |_| {}).await?;
        Ok(seats)
    }

    /// Connects to a control node.
    async fn reach(&self, control: &ControlNode, limit: Duration) -> Result<Seat<'a>, VmError> {
        let job = self.context.job;
        let unknown = || error(ErrorCode::MasterLost, access::PHASE, format!("there is no {control} any more"));
        let target = match control {
            ControlNode::Vm(id) => Target::of(&self.facts(*id).ok_or_else(unknown)?, &job.ansible_key)?,
            ControlNode::Host(id) => {
                let host: &AnsibleHost =
                    job.radl.ansible_hosts.iter().find(|host| host.id == *id).ok_or_else(unknown)?;
                tracing::debug!(
                    host = id,
                    address = access::ansible_host_address(host),
                    "connecting to an external ansible host"
                );
                access::ansible_host(host, job.ansible_host_keys.get(id).cloned())?
            }
        };
        let session = access::reach(self.context.ssh, &target, &self.access(limit)).await?;
        let (check, conf_dir) = (job.settings.check_host_keys, self.context.conf_dir.clone());
        let life = Life { patience: self.context.patience(), ended: Arc::clone(&self.context.dead) };
        let link = Arc::new(Link::new(self.context.ssh, target.clone(), check, session.clone(), conf_dir, life));
        Ok(Seat { control: control.clone(), target, link, session })
    }
}
