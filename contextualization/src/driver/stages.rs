//! From machines to a master with everything on it, and the small stages around the runs.

use super::{
    DISABLED, Driver, Stop,
    item::{Item, Runs},
    late::Growing,
    progress::{HostRecord, Phase, Progress},
};
use crate::{
    access::{self, AccessSettings, Accessed, Routes, Sudo, Target},
    bootstrap::{self, BootstrapError, Privilege},
    contract::{Effect, ErrorCode, Installed, VmError, VmFacts, VmPower},
    plan::{
        self, Files, Runnable, Sources,
        control::ControlNode,
        decide::{Decision, Lane, is_windows, option},
        inventory::{self, Common},
        view,
    },
    ssh::{SshError, SshSession},
};
use futures::{FutureExt, StreamExt};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Doors that are opened at once.
const DOORS: usize = 50;

/// The stages of one pass.
pub(super) struct Stage<'s, 'a> {
    pub(super) driver: &'s Driver<'a>,
    pub(super) decision: &'s Decision,
}

/// Whether a machine on a public network has no address there.
pub(super) fn lacks_public_ip(vm: &VmFacts) -> bool {
    access::on_public_network(&vm.info) && access::public_ip(&vm.info).is_none()
}

fn phase(step: i64) -> String {
    format!("step {step}")
}

pub(super) fn error(code: ErrorCode, phase: &str, message: impl Into<String>) -> VmError {
    VmError::new(code, phase, message)
}

impl Stage<'_, '_> {
    pub(super) fn vms(&self) -> Arc<Vec<VmFacts>> {
        self.driver.job.vms.borrow().clone()
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
        let mut vms = self.driver.job.vms.clone();
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
        let recorder = self.driver.recorder;
        let job = self.driver.job;
        if self.decision.enabled {
            recorder.log(job.notes.iter().chain(&self.decision.notes).cloned()).await?;
            let off = &self.decision.switched_off;
            let log = |vm: &u32| Effect::VmLog { vm: *vm, text: "Contextualization disabled\n".to_owned() };
            recorder.record(off.iter().map(log).collect(), |p| p.phase = Phase::WaitIps).await?;
            recorder.results(off.iter().map(|vm| (*vm, Ok(())))).await?;
        } else {
            let mut lines: Vec<Effect> = job.notes.iter().cloned().map(Effect::InfrastructureLog).collect();
            lines.push(Effect::InfrastructureText(format!("{DISABLED}\n\n")));
            recorder.record(lines, |p| p.phase = Phase::WaitIps).await?;
        }
        Ok(())
    }

    /// The way of an infrastructure that is switched off: addresses, then done.
    pub(super) async fn disabled(&self) -> Result<(), Stop> {
        self.addresses(false).await?;
        self.public_addresses(false).await?;
        let recorder = self.driver.recorder;
        recorder.results(self.vms().iter().map(|vm| (vm.id, Ok(())))).await?;
        Ok(recorder.record(Vec::new(), |p| p.phase = Phase::Done).await?)
    }

    fn counts(&self, vm: &VmFacts, participants_only: bool) -> bool {
        vm.power != VmPower::Down && (!participants_only || self.decision.participants.contains(&vm.id))
    }

    /// Waits until the machines have an address.
    pub(super) async fn addresses(&self, participants_only: bool) -> Result<(), Stop> {
        let settings = &self.driver.job.settings;
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
        let limit = self.driver.job.settings.wait_public_ip;
        if self.wait(limit, |vms| !vms.iter().any(|vm| lacks(&vm))).await {
            return Ok(());
        }
        Err(Stop::Refused(ErrorCode::NoIp, "Error waiting all the VMs to have all the requested IPs".to_owned()))
    }

    /// Brings Ansible, and the roles and collections of the document, to a control node.
    pub(super) async fn install(&self, node: &ControlNode, target: &Target, session: &SshSession) -> Result<(), Stop> {
        let (driver, recorder) = (self.driver, self.driver.recorder);
        let version = option(&driver.job.radl, bootstrap::VERSION);
        let plain = |v: &&str| v.len() <= 40 && v.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let what = version.filter(plain).map_or(String::new(), |v| format!(" (v. {v})"));
        let place = match node {
            ControlNode::Vm(_) => "master VM".to_owned(),
            ControlNode::Host(_) => node.to_string(),
        };
        let lines = [
            "Performing preliminary steps to configure Ansible.".to_owned(),
            format!("Configure Ansible{what} in the {place}."),
        ];
        recorder.log_once(lines).await?;
        let (settings, privilege) = (&driver.job.settings, Privilege::of(target));
        let (runtime, mut notes) = bootstrap::bootstrap(session, settings, &driver.conf_dir, version, &privilege)
            .await
            .map_err(|e| match e {
                BootstrapError::Ssh(SshError::Disconnected { .. }) => Stop::Redo(e.to_string()),
                e => Stop::Refused(e.code(), format!("Error configuring master node: {node}: {e}")),
            })?;
        notes.push(format!("Ansible successfully configured in the {place}."));
        let effects = notes.into_iter().map(Effect::InfrastructureLog).collect();
        let keep = |p: &mut Progress| {
            for record in p.controls.iter_mut().filter(|record| record.node == *node) {
                record.runtime = Some(runtime.clone());
            }
        };
        recorder.once(effects, keep).await?;
        self.roles(node, &runtime, &privilege, session).await
    }

    pub(super) fn access(&self, limit: Duration) -> AccessSettings {
        AccessSettings::new(limit, self.driver.job.settings.check_host_keys)
    }

    /// Records an open door.
    pub(super) async fn door_opened(
        &self,
        node: &ControlNode,
        vm: &VmFacts,
        target: &Target,
        accessed: &Accessed,
    ) -> Result<(), Stop> {
        let Some(name) = inventory::host_name(vm) else { return Ok(()) };
        let proxy = target.proxy.as_ref().zip(accessed.proxy_host_key.as_ref());
        // Whatever leads to the master concerns the daemon alone.
        let is_control = *node == ControlNode::Vm(vm.id);
        let record = HostRecord {
            name,
            address: accessed.address.host.clone(),
            port: accessed.address.port,
            user: target.user.clone(),
            python: accessed.facts.python().map(|python| python.path.clone()),
            sudo_asks: accessed.facts.sudo == Sudo::Password,
            key: Some(accessed.host_key.clone()),
            proxy: proxy.filter(|_| !is_control).map(|(proxy, key)| (proxy.name(), key.clone())),
            windows: false,
            control: node.clone(),
        };
        let mut effects = Vec::new();
        if vm.host_key.as_ref() != Some(&accessed.host_key) {
            effects.push(Effect::HostKey { vm: vm.id, key: accessed.host_key.clone() });
        }
        let proxy_key = proxy.map(|(proxy, key)| proxy.remember(key));
        if let Some(key) = proxy_key.filter(|key| vm.proxy_host_key.as_ref() != Some(key)) {
            effects.push(Effect::ProxyHostKey { vm: vm.id, key });
        }
        self.record_door(vm.id, record, effects, accessed.installed, &target.notes).await
    }

    /// Records an open door of any kind.
    pub(super) async fn record_door(
        &self,
        vm: u32,
        record: HostRecord,
        mut effects: Vec<Effect>,
        installed: Installed,
        notes: &[String],
    ) -> Result<(), Stop> {
        if installed.any() {
            effects.push(Effect::CredentialsChanged { vm, installed });
        }
        let mut text = format!("Remote access to VM: {} Open!\n", record.address);
        notes.iter().for_each(|note| text.extend([note, "\n"]));
        effects.push(Effect::VmLog { vm, text });
        Ok(self.driver.recorder.once(effects, |p| drop(p.hosts.insert(vm, record))).await?)
    }

    /// Opens the doors of machines of a control node; one that stays shut concerns nobody else. Those that are open, or
    /// stay shut, come to `settled`.
    pub(super) async fn doors(
        &self,
        node: &ControlNode,
        session: SshSession,
        vms: Vec<VmFacts>,
        settled: &Growing,
    ) -> Result<(), Stop> {
        let tunnels = self.tunnels(node, session.clone());
        let routes = &Routes::from(session);
        let mut open = Vec::new();
        for vm in vms {
            let door = async move {
                let id = vm.id;
                self.door(node, vm, routes).await?;
                settled.send_modify(|all| all.extend([id]));
                Ok(())
            };
            open.push(door.boxed());
        }
        let opened = futures::stream::iter(open).buffer_unordered(DOORS).collect::<Vec<Result<(), Stop>>>();
        tokio::select! {
            opened = opened => opened.into_iter().collect(),
            // Without end.
            () = tunnels => Ok(()),
        }
    }

    /// Records a door that stays shut, with a line for the log of the infrastructure.
    pub(super) async fn door_shut(&self, vm: &VmFacts, e: VmError, line: Option<String>) -> Result<(), Stop> {
        let recorder = self.driver.recorder;
        let text = format!("Error Waiting access to VM: {}\n{}", vm.id, e.final_cause());
        let mut effects: Vec<_> = line.into_iter().map(Effect::InfrastructureLog).collect();
        effects.push(Effect::VmLog { vm: vm.id, text });
        recorder.once(effects, |_| {}).await?;
        Ok(recorder.results([(vm.id, Err(e))]).await?)
    }

    /// Resolves when the machine was deleted.
    pub(super) async fn gone(&self, vm: u32) {
        let mut vms = self.driver.job.vms.clone();
        if vms.wait_for(|all| all.iter().all(|other| other.id != vm)).await.is_err() {
            // No news will ever come.
            std::future::pending::<()>().await;
        }
    }

    async fn door(&self, node: &ControlNode, vm: VmFacts, routes: &Routes) -> Result<(), Stop> {
        let (driver, recorder, id) = (self.driver, self.driver.recorder, vm.id);
        let limit = driver.job.settings.wait_running;
        let up = |vms: &[VmFacts]| vms.iter().all(|vm| vm.id != id || vm.power != VmPower::Pending);
        if !self.wait(limit, up).await {
            let text = format!("the machine was not running within {} s", limit.as_secs());
            return self.door_shut(&vm, error(ErrorCode::NotRunning, "access", text), None).await;
        }
        // None: deleted meanwhile.
        let Some(vm) = &self.facts(id) else { return Ok(()) };
        if vm.power == VmPower::Down {
            let line =
                format!("WARNING: The VM ID: {id} is not running, do not include in the contextualization agent.");
            return self
                .door_shut(vm, error(ErrorCode::NotRunning, "access", "the machine is not running"), Some(line))
                .await;
        }
        if is_windows(vm) {
            return self.windows_door(node, vm, routes.master()).await;
        }
        let text = format!("Waiting SSH access to VM: {}\n", inventory::main_ip(vm).unwrap_or_default());
        recorder.once(vec![Effect::VmLog { vm: vm.id, text }], |_| {}).await?;
        let mut target = match Target::of(vm, &driver.job.ansible_key) {
            Ok(target) => target,
            Err(e) => return self.door_shut(vm, e, None).await,
        };
        if let ControlNode::Host(_) = node {
            // Reverse tunnels lead to the master of the infrastructure, not to a host that others use, too.
            target.addresses.retain(|place| place.host != "127.0.0.1");
        }
        // As long as agents of the reference tried: twice as long as the daemon waits for the master.
        let settings = self.access(driver.job.settings.wait_ssh * 2);
        let mut opened = std::pin::pin!(access::access_all(routes, std::slice::from_ref(&target), &settings));
        tokio::select! {
            opened = opened.next() => match opened.map(|(_, accessed)| accessed) {
                Some(Ok(accessed)) => self.door_opened(node, vm, &target, &accessed).await,
                Some(Err(e)) if e.code == ErrorCode::MasterLost => Err(Stop::Redo(e.message)),
                Some(Err(e)) => self.door_shut(vm, e, None).await,
                None => Ok(()),
            },
            () = self.gone(vm.id) => Ok(()),
        }
    }

    /// The files of a control node.
    pub(super) fn files(&self, node: &ControlNode, progress: &Progress) -> Result<Files, Stop> {
        let (job, vms) = (self.driver.job, self.vms());
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
            decision: self.decision,
            common: &common,
            host_keys: &host_keys,
            key: &job.ansible_key,
            conf_dir: &self.driver.conf_dir,
            generation: job.generation,
            settings: &job.settings,
            lock_step_roles: &progress.lock_step_roles,
            alone_roles: &progress.alone_roles,
        };
        plan::files(&sources).map_err(|e| Stop::Failed(format!("Error generating playbooks: {e}")))
    }

    /// What a playbook is done with for each machine: its text, and what the inventory says of the machine.
    async fn marks(&self, files: &Files, playbook: &Runnable, vms: &[u32]) -> BTreeMap<u32, String> {
        let hosts = self.driver.recorder.progress().await.hosts;
        // The playbook of an encrypted recipe is made on the master: its text is the recipe's.
        let path = playbook.vault.as_ref().and_then(|vault| vault.recipe.as_ref()).unwrap_or(&playbook.playbook);
        let text = files.entries.iter().find(|entry| entry.path == *path).map(|entry| entry.content.as_slice());
        let facts = self.vms();
        let mark = |vm: &u32| {
            let host = hosts.get(vm)?;
            let host = format!("{} {} {} {}", host.name, host.address, host.port, host.user);
            let info = facts.iter().find(|facts| facts.id == *vm)?.info.to_text();
            let mut hash = openssl::sha::Sha256::new();
            for part in [text.unwrap_or_default(), host.as_bytes(), info.as_bytes()] {
                hash.update(&part.len().to_be_bytes());
                hash.update(part);
            }
            Some((*vm, hash.finish()[..16].iter().map(|byte| format!("{byte:02x}")).collect()))
        };
        vms.iter().filter_map(mark).collect()
    }

    /// The run of a recipe of a lane.
    async fn item(&self, files: &Files, step: i64, lane: &Lane, recipe: &str, playbook: &Runnable) -> Item {
        let one = if lane.vms.len() == 1 { lane.vms[0].to_string() } else { "all".to_owned() };
        Item {
            key: format!("{step}.{}.{one}.{recipe}", lane.system),
            task: format!("{recipe}_{}", lane.system),
            phase: phase(step),
            step: Some(step),
            playbook: playbook.clone(),
            vms: lane.vms.clone(),
            marks: self.marks(files, playbook, &lane.vms).await,
            next: None,
        }
    }

    /// The first recipe of the first step, if it is one for all of these machines.
    pub(super) async fn first(&self, files: &Files, vms: &[u32]) -> Option<Item> {
        let (step, lanes) = self.decision.steps.iter().next()?;
        let all: BTreeSet<_> = vms.iter().collect();
        let lane = lanes.iter().find(|lane| lane.vms.iter().collect::<BTreeSet<_>>() == all)?;
        let recipe = lane.recipes.first()?;
        match files.playbooks.get(&(recipe.clone(), lane.system.clone())) {
            Some(Ok(Some(playbook))) => Some(self.item(files, *step, lane, recipe, playbook).await),
            _ => None,
        }
    }

    /// Runs the recipes of a lane one after the other.
    pub(super) async fn lane(&self, runs: &Runs<'_>, files: &Files, step: i64, lane: &Lane) -> Result<(), Stop> {
        let recorder = self.driver.recorder;
        for recipe in &lane.recipes {
            match files.playbooks.get(&(recipe.clone(), lane.system.clone())) {
                Some(Ok(Some(playbook))) => runs.run(&self.item(files, step, lane, recipe, playbook).await).await?,
                Some(Err(fault)) => {
                    let code = match fault {
                        plan::recipe::RecipeError::Vault(_) => ErrorCode::Vault,
                        _ => ErrorCode::RecipeInvalid,
                    };
                    let e = error(code, &phase(step), fault.to_string());
                    let known = recorder.progress().await.results;
                    let vms = || lane.vms.iter().filter(|vm| !known.contains_key(vm));
                    let text = Item::failed(&format!("{recipe}_{}", lane.system), 1, 1, &e);
                    let log = |vm: &u32| Effect::VmLog { vm: *vm, text: text.clone() };
                    recorder.record(vms().map(log).collect(), |_| {}).await?;
                    recorder.results(vms().map(|vm| (*vm, Err(e.clone())))).await?;
                }
                Some(Ok(None)) | None => {}
            }
        }
        Ok(())
    }

    /// The summary line.
    pub(super) async fn finish(&self) -> Result<(), Stop> {
        let recorder = self.driver.recorder;
        let (results, live) = (recorder.progress().await.results, recorder.live());
        let bad: Vec<String> = results
            .iter()
            .filter(|(vm, error)| live.contains(vm) && error.is_some())
            .map(|(vm, _)| vm.to_string())
            .collect();
        let ok = results.iter().filter(|(vm, error)| live.contains(vm) && error.is_none()).count();
        let ids = if bad.is_empty() { String::new() } else { format!(" (ids: {})", bad.join(", ")) };
        let line = format!("Contextualization finished: {ok} configured, {} failed{ids}", bad.len());
        Ok(recorder.record(vec![Effect::InfrastructureLog(line)], |p| p.phase = Phase::Done).await?)
    }
}
