//! From machines to a master with everything on it, and the small stages around the runs.

use super::{
    DISABLED, Driver, Stop,
    item::{Item, Runs},
    link::Link,
    progress::{HostRecord, Phase, Progress},
};
use crate::{
    access::{self, AccessSettings, Accessed, Routes, Sudo, Target, master},
    bootstrap,
    contract::{Effect, ErrorCode, VmError, VmFacts, VmPower},
    plan::{
        self, Files, Sources,
        decide::{Decision, Lane, is_windows, option},
        inventory::{self, Common},
        limits, view,
    },
    ssh::SshSession,
};
use futures::{FutureExt, StreamExt};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The text when no machine can be the master.
const NO_MASTER: &str =
    "Contextualization Error: No correct Master VM found. Check if there a linux VM with Public IP.";
/// Doors that are opened at once.
const DOORS: usize = 50;

/// The stages of one pass.
pub(super) struct Stage<'s, 'a> {
    pub(super) driver: &'s Driver<'a>,
    pub(super) decision: &'s Decision,
}

/// Whether a machine on a public network has no address there.
fn lacks_public_ip(vm: &VmFacts) -> bool {
    access::on_public_network(&vm.info) && access::public_ip(&vm.info).is_none()
}

fn error(code: ErrorCode, phase: &str, message: impl Into<String>) -> VmError {
    VmError { code, phase: phase.to_owned(), message: message.into() }
}

impl<'a> Stage<'_, 'a> {
    fn vms(&self) -> Arc<Vec<VmFacts>> {
        self.driver.job.vms.borrow().clone()
    }

    fn facts(&self, id: u32) -> Option<VmFacts> {
        self.vms().iter().find(|vm| vm.id == id).cloned()
    }

    fn participants(&self) -> Vec<VmFacts> {
        let taking_part = |vm: &&VmFacts| self.decision.participants.contains(&vm.id);
        self.vms().iter().filter(taking_part).cloned().collect()
    }

    /// Waits at most `limit` until `ready` holds for the machines; false when it never did.
    async fn wait(&self, limit: Duration, ready: impl Fn(&[VmFacts]) -> bool) -> bool {
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
            if !job.radl.ansible_hosts.is_empty() {
                return Err(Stop::Failed(limits::ANSIBLE_HOSTS.to_owned()));
            }
            let mut notes = self.decision.notes.clone();
            notes.extend(limits::unsupported(&job.radl, &self.vms()));
            recorder.log(notes).await?;
            let off = &self.decision.switched_off;
            let log = |vm: &u32| Effect::VmLog { vm: *vm, text: "Contextualization disabled\n".to_owned() };
            recorder.record(off.iter().map(log).collect(), |p| p.phase = Phase::WaitIps).await?;
            recorder.results(off.iter().map(|vm| (*vm, Ok(())))).await?;
        } else {
            let line = Effect::InfrastructureText(format!("{DISABLED}\n\n"));
            recorder.record(vec![line], |p| p.phase = Phase::WaitIps).await?;
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
    async fn addresses(&self, participants_only: bool) -> Result<(), Stop> {
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
        Err(Stop::Failed(text))
    }

    /// Waits until the machines on a public network have their public address.
    async fn public_addresses(&self, participants_only: bool) -> Result<(), Stop> {
        // One with an IPv6 address alone is told so when its door is to be opened.
        let lacks = |vm: &&VmFacts| {
            let ipv6_alone = inventory::main_ip(vm).is_none() && access::has_ipv6(&vm.info);
            self.counts(vm, participants_only) && lacks_public_ip(vm) && !ipv6_alone
        };
        let limit = self.driver.job.settings.wait_public_ip;
        if self.wait(limit, |vms| !vms.iter().any(|vm| lacks(&vm))).await {
            return Ok(());
        }
        Err(Stop::Failed("Error waiting all the VMs to have all the requested IPs".to_owned()))
    }

    /// A master with Ansible and all files on it, and the link to it.
    pub(super) async fn prepared(&self) -> Result<(Arc<Link<'a>>, Files), Stop> {
        let progress = self.driver.recorder.progress().await;
        if progress.phase >= Phase::Running
            && let Some(ready) = self.attach(&progress).await?
        {
            return Ok(ready);
        }
        self.prepare().await
    }

    /// The link to a master that was prepared before; none when it is among the machines no more.
    async fn attach(&self, progress: &Progress) -> Result<Option<(Arc<Link<'a>>, Files)>, Stop> {
        let vms = self.vms();
        let Some(vm) = vms.iter().find(|vm| Some(vm.id) == progress.master) else { return Ok(None) };
        let driver = self.driver;
        let limit = driver.job.deadline.duration_since(std::time::SystemTime::now()).unwrap_or_default();
        let lost = |e: VmError| Stop::Redo(format!("the master VM is lost: {}", e.message));
        let target = Target::of(vm, &driver.job.ansible_key).map_err(lost)?;
        let session = access::reach(driver.ssh, &target, &self.access(limit)).await.map_err(lost)?;
        let files = self.files(progress)?;
        let link = Link::new(driver.ssh, target, driver.job.settings.check_host_keys, session, driver.conf_dir.clone());
        Ok(Some((Arc::new(link), files)))
    }

    async fn prepare(&self) -> Result<(Arc<Link<'a>>, Files), Stop> {
        let (driver, recorder) = (self.driver, self.driver.recorder);
        let settings = &driver.job.settings;
        self.addresses(true).await?;
        let select = |p: &mut Progress| p.phase = Phase::SelectMaster;
        recorder.record(vec![Effect::InfrastructureLog("Select master VM".to_owned())], select).await?;
        let participants = self.participants();
        let id = master::select(&participants, &driver.job.radl).ok_or_else(|| Stop::Failed(NO_MASTER.to_owned()))?;
        let wait = |p: &mut Progress| (p.phase, p.master) = (Phase::WaitMaster, Some(id));
        let lines = ["Wait master VM to boot", "Wait master VM to have the SSH active."];
        let mut effects = vec![Effect::Master { vm: id }];
        effects.extend(lines.map(|l| Effect::InfrastructureLog(l.to_owned())));
        recorder.record(effects, wait).await?;
        let up = |vms: &[VmFacts]| vms.iter().all(|vm| vm.id != id || vm.power != VmPower::Pending);
        let booted = self.wait(settings.wait_running, up).await;
        let Some(vm) = self.facts(id).filter(|vm| booted && vm.power == VmPower::Running) else {
            return Err(Stop::Failed("Contextualization Error: Error Waiting the Master VM to boot".to_owned()));
        };
        let text = "Contextualization Error: Error Waiting the Master VM to have the SSH active:";
        let proxied = access::Proxy::of(&vm.info) != Ok(None);
        let addressed = |vms: &[VmFacts]| !vms.iter().any(|vm| vm.id == id && !proxied && lacks_public_ip(vm));
        let addressed = self.wait(settings.wait_public_ip, addressed).await;
        let Some(vm) = self.facts(id).filter(|_| addressed) else {
            return Err(Stop::Failed(format!("{text} Timeout waiting the VM to get a public IP.")));
        };
        let ip = inventory::main_ip(&vm).unwrap_or_default();
        let shut = |e: VmError| Stop::Failed(format!("{text} {} [{}]", access::wait_text(&e, ip), e.message));
        let target = Target::of(&vm, &driver.job.ansible_key).map_err(shut)?;
        let session = access::reach(driver.ssh, &target, &self.access(settings.wait_ssh)).await.map_err(shut)?;
        let accessed = Accessed::prepare(&target, &session).await.map_err(shut)?;
        self.door_opened(&vm, &target, &accessed).await?;
        recorder.record(Vec::new(), |p| p.phase = Phase::Bootstrap).await?;

        let link = Link::new(driver.ssh, target, settings.check_host_keys, session.clone(), driver.conf_dir.clone());
        let link = Arc::new(link);
        tokio::try_join!(self.install(id, &session), self.public_addresses(true), self.doors(id, session.clone()))?;
        drop(session);
        let lines = ["Creating and copying Ansible playbook files", "Copying YAML, hosts and inventory files."];
        recorder.log(lines.map(str::to_owned)).await?;
        let progress = recorder.progress().await;
        let files = self.files(&progress)?;
        let session = link.session().await;
        session
            .upload_tar(&driver.conf_dir, &files.entries)
            .await
            .map_err(|e| Stop::Redo(format!("cannot copy files to the master: {e}")))?;
        recorder.log(files.notes.clone()).await?;
        if let Some(runtime) = &progress.runtime {
            let generation = driver.job.generation.to_string();
            // Runs of other generations end.
            link.ask(runtime, &["gc", &generation], &serde_json::Value::Null)
                .await
                .map_err(|e| Stop::Redo(format!("the runner does not work: {e}")))?;
        }
        recorder.record(Vec::new(), |p| p.phase = Phase::Running).await?;
        Ok((link, files))
    }

    async fn install(&self, master: u32, session: &SshSession) -> Result<(), Stop> {
        let (driver, recorder) = (self.driver, self.driver.recorder);
        let version = option(&driver.job.radl, "ansible_version");
        let what = version.map_or(String::new(), |v| format!(" (v. {v})"));
        let lines = [
            "Performing preliminary steps to configure Ansible.".to_owned(),
            format!("Configure Ansible{what} in the master VM."),
        ];
        recorder.log(lines).await?;
        let settings = &driver.job.settings;
        let (runtime, mut notes) = bootstrap::bootstrap(session, settings, &driver.conf_dir, version)
            .await
            .map_err(|e| Stop::Failed(format!("Error configuring master node: VM {master}: {e}")))?;
        notes.push("Ansible successfully configured in the master VM.".to_owned());
        let effects = notes.into_iter().map(Effect::InfrastructureLog).collect();
        Ok(recorder.record(effects, |p| p.runtime = Some(runtime)).await?)
    }

    fn access(&self, limit: Duration) -> AccessSettings {
        AccessSettings::new(limit, self.driver.job.settings.check_host_keys)
    }

    /// Records an open door.
    async fn door_opened(&self, vm: &VmFacts, target: &Target, accessed: &Accessed) -> Result<(), Stop> {
        let Some(name) = inventory::host_name(vm) else { return Ok(()) };
        let proxy = target.proxy.as_ref().zip(accessed.proxy_host_key.as_ref());
        // Whatever leads to the master concerns the daemon alone.
        let is_master = self.driver.recorder.progress().await.master == Some(vm.id);
        let record = HostRecord {
            name,
            address: accessed.address.host.clone(),
            port: accessed.address.port,
            user: target.user.clone(),
            python: accessed.facts.python().map(|python| python.path.clone()),
            sudo_asks: accessed.facts.sudo == Sudo::Password,
            key: accessed.host_key.clone(),
            proxy: proxy.filter(|_| !is_master).map(|(proxy, key)| (proxy.name(), key.clone())),
        };
        let mut effects = Vec::new();
        if vm.host_key.as_ref() != Some(&record.key) {
            effects.push(Effect::HostKey { vm: vm.id, key: record.key.clone() });
        }
        let proxy_key = proxy.map(|(proxy, key)| proxy.remember(key));
        if let Some(key) = proxy_key.filter(|key| vm.proxy_host_key.as_ref() != Some(key)) {
            effects.push(Effect::ProxyHostKey { vm: vm.id, key });
        }
        if accessed.credentials_changed {
            effects.push(Effect::CredentialsChanged { vm: vm.id });
        }
        let ip = &record.address;
        effects.push(Effect::VmLog { vm: vm.id, text: format!("Remote access to VM: {ip} Open!\n") });
        Ok(self.driver.recorder.record(effects, |p| drop(p.hosts.insert(vm.id, record))).await?)
    }

    /// Opens the doors of all machines but the master; one that stays shut concerns nobody else.
    async fn doors(&self, master: u32, session: SshSession) -> Result<(), Stop> {
        let routes = &Routes::from(session);
        let mut open = Vec::new();
        for vm in self.participants().into_iter().filter(|vm| vm.id != master) {
            open.push(async move { self.door(vm, routes).await }.boxed());
        }
        let opened: Vec<Result<(), Stop>> = futures::stream::iter(open).buffer_unordered(DOORS).collect().await;
        opened.into_iter().collect()
    }

    async fn door(&self, vm: VmFacts, routes: &Routes) -> Result<(), Stop> {
        let (driver, recorder, id) = (self.driver, self.driver.recorder, vm.id);
        let refuse = |e: VmError, line: Option<String>| async move {
            let text = format!("Error Waiting access to VM: {id}\nCause: [{}] {}\n", e.code, e.message);
            let mut effects: Vec<_> = line.into_iter().map(Effect::InfrastructureLog).collect();
            effects.push(Effect::VmLog { vm: id, text });
            recorder.record(effects, |_| {}).await?;
            Ok::<(), Stop>(recorder.results([(id, Err(e))]).await?)
        };
        let limit = driver.job.settings.wait_running;
        let up = |vms: &[VmFacts]| vms.iter().all(|vm| vm.id != id || vm.power != VmPower::Pending);
        if !self.wait(limit, up).await {
            let text = format!("the machine was not running within {} s", limit.as_secs());
            return refuse(error(ErrorCode::NotRunning, "access", text), None).await;
        }
        // None: deleted meanwhile.
        let Some(vm) = &self.facts(id) else { return Ok(()) };
        if vm.power == VmPower::Down {
            let line =
                format!("WARNING: The VM ID: {id} is not running, do not include in the contextualization agent.");
            return refuse(error(ErrorCode::NotRunning, "access", "the machine is not running"), Some(line)).await;
        }
        if is_windows(vm) {
            let e = error(ErrorCode::Internal, "access", "Windows machines are not configured yet");
            return refuse(e, None).await;
        }
        let text = format!("Waiting SSH access to VM: {}\n", inventory::main_ip(vm).unwrap_or_default());
        recorder.record(vec![Effect::VmLog { vm: vm.id, text }], |_| {}).await?;
        let target = match Target::of(vm, &driver.job.ansible_key) {
            Ok(target) => target,
            Err(e) => return refuse(e, None).await,
        };
        // As long as agents of the reference tried: twice as long as the daemon waits for the master.
        let settings = self.access(driver.job.settings.wait_ssh * 2);
        let mut vms = driver.job.vms.clone();
        let gone = async {
            // Deleted while waiting; without news it never is.
            if vms.wait_for(|all| all.iter().all(|other| other.id != id)).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let mut opened = std::pin::pin!(access::access_all(routes, std::slice::from_ref(&target), &settings));
        tokio::select! {
            opened = opened.next() => match opened.map(|(_, accessed)| accessed) {
                Some(Ok(accessed)) => self.door_opened(vm, &target, &accessed).await,
                Some(Err(e)) if e.code == ErrorCode::MasterLost => Err(Stop::Redo(e.message)),
                Some(Err(e)) => refuse(e, None).await,
                None => Ok(()),
            },
            () = gone => Ok(()),
        }
    }

    fn files(&self, progress: &Progress) -> Result<Files, Stop> {
        let (job, vms) = (self.driver.job, self.vms());
        let hosts: Vec<_> = progress.hosts.iter().map(|(vm, record)| record.host(*vm, None)).collect();
        let host_keys: BTreeMap<u32, String> = progress.hosts.iter().map(|(vm, r)| (*vm, r.key.clone())).collect();
        let common = Common {
            infrastructure: job.infrastructure.clone(),
            auth: job.exposed_auth.clone(),
            radl: view::infrastructure_radl(&job.radl, job.settings.expose_secrets),
        };
        let sources = Sources {
            radl: &job.radl,
            vms: &vms,
            hosts: &hosts,
            master: progress.master.unwrap_or_default(),
            decision: self.decision,
            common: &common,
            host_keys: &host_keys,
            key: &job.ansible_key,
            conf_dir: &self.driver.conf_dir,
            generation: job.generation,
            settings: &job.settings,
        };
        plan::files(&sources).map_err(|e| Stop::Failed(format!("Error generating playbooks: {e}")))
    }

    /// Runs the recipes of a lane one after the other.
    pub(super) async fn lane(&self, runs: &Runs<'_>, files: &Files, step: i64, lane: &Lane) -> Result<(), Stop> {
        let recorder = self.driver.recorder;
        for recipe in &lane.recipes {
            let phase = format!("step {step}");
            let one = if lane.vms.len() == 1 { lane.vms[0].to_string() } else { "all".to_owned() };
            let key = format!("{step}.{}.{one}.{recipe}", lane.system);
            match files.playbooks.get(&(recipe.clone(), lane.system.clone())) {
                Some(Ok(Some(playbook))) => {
                    let task = format!("{recipe}_{}", lane.system);
                    let (playbook, vms) = (playbook.clone(), lane.vms.clone());
                    runs.run(&Item { key, task, phase, playbook, vms }).await?;
                }
                Some(Err(fault)) => {
                    let code = match fault {
                        plan::recipe::RecipeError::Vault(_) => ErrorCode::Vault,
                        _ => ErrorCode::RecipeInvalid,
                    };
                    let e = error(code, &phase, fault.to_string());
                    let known = recorder.progress().await.results;
                    let vms = || lane.vms.iter().filter(|vm| !known.contains_key(vm));
                    let log = |vm: &u32| Effect::VmLog { vm: *vm, text: format!("ERROR: {fault}\n") };
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
