//! One item: a playbook over some machines, with its attempts, each a run on the master.

use super::{
    Stop,
    control::Master,
    engine,
    progress::{NextRun, OpenRun, Progress},
    recorder::Recorder,
};
use crate::{
    access::Proxy,
    contract::{Details, Effect, ErrorCode, Job, VmError, VmFacts},
    galaxy,
    journal::{
        answer::{self, FilePlace},
        demux::{Demux, Position},
        text::Cleaner,
        verdict::Place,
    },
    plan::{
        Runnable,
        control::ControlNode,
        engine::{Engine, PLUGINS},
        inventory, names,
        recipe::{self, Strategy},
        recipe_name,
    },
    ssh::SshError,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{io::AsyncReadExt, time::Instant};

/// Effects are recorded at least this often while events come.
const BATCH: Duration = Duration::from_millis(200);

/// A playbook to run.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name in the progress.
    pub key: String,
    /// Its name in the log.
    pub task: String,
    /// Where errors happened.
    pub phase: String,
    /// The user's step, none for the built-in playbook.
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
    fn place(&self) -> Place {
        Place { phase: self.phase.clone(), step: self.step, recipe: Some(self.task.clone()) }
    }

    /// The lines of the log about an attempt that failed.
    pub(super) fn failed(task: &str, number: u32, of: u32, error: &VmError) -> String {
        let cause = if number >= of { error.final_cause() } else { error.cause() };
        format!("ERROR executing task {task}: ({number}/{of})\n{cause}")
    }
}

/// How a run ended.
pub(super) struct Ended {
    /// The result of each machine.
    pub results: BTreeMap<u32, Result<(), VmError>>,
    /// Machines whose failure, if they failed, would be mitogen's own.
    pub mitogen_failed: BTreeSet<u32>,
    /// Whether the recipe has to run in lock step, which nobody saw beforehand.
    needs_lock_step: bool,
}

/// What all runs of a contextualization share.
pub struct Runs<'a> {
    /// The job.
    pub job: &'a Job,
    /// The journal.
    pub recorder: &'a Recorder,
    /// Where they run.
    pub masters: &'a [Master<'a>],
    /// The conf dir.
    pub conf_dir: &'a str,
    /// Masks secrets.
    pub cleaner: Cleaner,
}

fn log(vm: u32, text: impl Into<String>) -> Effect {
    Effect::VmLog { vm, text: text.into() }
}

/// The password of a machine as its facts have it.
fn password(vms: &[VmFacts], vm: u32) -> Option<String> {
    vms.iter().find(|v| v.id == vm)?.info.systems.first()?.credentials().password
}

/// Ends what a lost supervisor left behind, or one that nobody listens to any more.
async fn sweep(master: &Master<'_>, run: &str) -> Result<(), Stop> {
    let swept = master.link.ask(&master.runtime, &["cancel", run], &serde_json::Value::Null).await;
    swept.map_err(|e| Stop::Redo(format!("the runner on the master does not answer: {e}")))
}

impl Runs<'_> {
    /// Attempts that an item gets: a fault of the machinery is worth a second one even when recipes get one only.
    fn most(&self, infrastructure: bool) -> u32 {
        self.job.settings.playbook_retries.max(1 + u32::from(infrastructure))
    }

    /// Ends an item whose every attempt took the master with it.
    async fn give_up(&self, item: &Item, vms: BTreeSet<u32>, attempts: u32) -> Result<(), Stop> {
        let error = VmError {
            details: Some(Box::new(Details { step: item.step, recipe: Some(item.task.clone()), ..Details::default() })),
            ..VmError::new(ErrorCode::MasterLost, &item.phase, "the master was lost in every attempt")
        };
        let error = error.in_attempt(attempts, attempts);
        let results = |vm: &u32| Effect::VmResult { vm: *vm, result: Err(error.clone()) };
        let finish = |p: &mut Progress| {
            p.attempts.remove(&item.key);
            p.finished.insert(item.key.clone());
            p.results.extend(vms.iter().map(|vm| (*vm, Some(error.clone()))));
        };
        let text = Item::failed(&item.task, attempts, attempts, &error);
        let effects = vms.iter().map(|vm| log(*vm, text.clone())).chain(vms.iter().map(results)).collect();
        Ok(self.recorder.record(effects, finish).await?)
    }

    /// Runs the item to its end, on each master for the machines it is in charge of, going on with runs that are under
    /// way. Machines that fail get their result.
    pub async fn run(&self, item: &Item) -> Result<(), Stop> {
        if let [master] = self.masters {
            return self.run_on(master, item).await;
        }
        let hosts = self.recorder.progress().await.hosts;
        let runs = self.masters.iter().map(|master| {
            let own = |vm: &&u32| hosts.get(vm).is_some_and(|host| host.control == master.control);
            let vms = item.vms.iter().filter(own).copied().collect();
            let part = Item { key: format!("{}@{}", item.key, master.control), vms, ..item.clone() };
            async move { self.run_on(master, &part).await }
        });
        futures::future::join_all(runs).await.into_iter().collect()
    }

    async fn run_on(&self, master: &Master<'_>, item: &Item) -> Result<(), Stop> {
        let progress = self.recorder.progress().await;
        if progress.finished.contains(&item.key) {
            return Ok(());
        }
        let mut open = match progress.open.get(&item.key) {
            Some(open) => open.clone(),
            None => {
                let vms = progress.waiting(item);
                if self.is_late() {
                    return Err(Stop::Late);
                }
                let former = progress.attempts.get(&item.key).copied().unwrap_or_default();
                if former >= self.most(true) && !vms.is_empty() {
                    return self.give_up(item, vms, former).await;
                }
                let mut open = self.open(master, item, &vms, (former + 1, item.playbook.strategy), &progress);
                let ahead = progress.ahead.get(&item.key);
                if open.hosts.is_empty() {
                    if let Some(run) = ahead {
                        sweep(master, run).await?;
                    }
                    self.recorder
                        .record(Vec::new(), |p| {
                            p.ahead.remove(&item.key);
                            p.finished.insert(item.key.clone());
                        })
                        .await?;
                    return Ok(());
                }
                match ahead {
                    Some(run) => open.run.clone_from(run),
                    None => open.next = self.next(master, item, &open, &progress),
                }
                let text = format!("Launch task: {}\n", item.task);
                let effects = open.hosts.values().map(|vm| log(*vm, text.clone())).collect();
                self.begin(item, &open, effects, |_| {}).await?;
                open
            }
        };
        loop {
            let ended = self.attempt(master, item, &mut open).await?;
            let mut next = open.next.take();
            if ended.results.values().any(Result::is_err)
                && let Some(next) = next.take()
            {
                sweep(master, &next.run).await?;
            }
            if ended.needs_lock_step && open.strategy == Strategy::Free {
                let text = "This recipe needs its machines to go task by task: it starts again that way.\n";
                let effects = open.hosts.values().map(|vm| log(*vm, text)).collect();
                let vms = open.hosts.values().copied().collect();
                let how = (open.attempt, Strategy::Linear);
                let carried = std::mem::take(&mut open.carried);
                open = self.open(master, item, &vms, how, &self.recorder.progress().await);
                open.carried = carried;
                self.recorder.record(effects, |p| drop(p.open.insert(item.key.clone(), open.clone()))).await?;
                continue;
            }
            if let Some(plain) = self.without_mitogen(master, item, &open, &ended).await? {
                open = plain;
                continue;
            }
            let results = engine::with_carried(ended, &open);
            let failed = || results.iter().filter_map(|(vm, result)| Some((*vm, result.as_ref().err()?)));
            let most = self.most(failed().all(|(_, e)| e.code.is_infrastructure()));
            let most = most.max(if failed().next().is_none() { 1 } else { open.attempt });
            // What cannot end otherwise is not tried again.
            let of = |e: &VmError| if e.may_change() { most } else { open.attempt };
            let may_go_on = open.attempt < most && !self.is_late();
            let failures = failed().map(|(vm, e)| (vm, e.clone().in_attempt(open.attempt, of(e))));
            let (again, last): (BTreeMap<u32, VmError>, BTreeMap<u32, VmError>) =
                failures.partition(|(_, e)| may_go_on && e.may_change());
            let mut effects = Vec::new();
            for (vm, result) in &results {
                let text = match result {
                    Ok(()) => format!("Task {} finished successfully\n", item.task),
                    Err(e) => Item::failed(&item.task, open.attempt, of(e), e),
                };
                effects.push(log(*vm, text));
            }
            effects.extend(last.iter().map(|(vm, e)| Effect::VmResult { vm: *vm, result: Err(e.clone()) }));
            let done: Vec<u32> = results.iter().filter(|(_, result)| result.is_ok()).map(|(vm, _)| *vm).collect();
            let marks = |p: &mut Progress| {
                let marks = done.iter().filter_map(|vm| Some((*vm, item.marks.get(vm)?.clone())));
                p.done.entry(item.key.clone()).or_default().extend(marks);
            };
            let decided = |p: &mut Progress| p.results.extend(last.into_iter().map(|(vm, e)| (vm, Some(e))));
            if again.is_empty() {
                let finish = |p: &mut Progress| {
                    p.open.remove(&item.key);
                    p.attempts.remove(&item.key);
                    p.done.remove(&item.key);
                    p.finished.insert(item.key.clone());
                    p.ahead.extend(next.map(|next| (next.key, next.run)));
                    decided(p);
                };
                self.recorder.record(effects, finish).await?;
                return Ok(());
            }
            let wait = Duration::from_secs(u64::from(open.attempt.pow(2)) * 5);
            let seconds = wait.as_secs();
            effects.extend(
                again.keys().map(|vm| log(*vm, format!("Sleeping {seconds} secs.\nLaunch task: {}\n", item.task))),
            );
            let vms = again.into_keys().collect();
            let how = (open.attempt + 1, open.strategy);
            open = self.open(master, item, &vms, how, &self.recorder.progress().await);
            self.recorder.record(Vec::new(), marks).await?;
            self.begin(item, &open, effects, decided).await?;
            tokio::time::sleep(wait).await;
        }
    }

    /// Records that an attempt begins, with what the former one decided.
    async fn begin(
        &self,
        item: &Item,
        open: &OpenRun,
        effects: Vec<Effect>,
        decided: impl FnOnce(&mut Progress),
    ) -> Result<(), Stop> {
        let begin = |p: &mut Progress| {
            decided(p);
            p.attempts.insert(item.key.clone(), open.attempt);
            p.ahead.remove(&item.key);
            p.open.insert(item.key.clone(), open.clone());
        };
        Ok(self.recorder.record(effects, begin).await?)
    }

    /// Whether the time of the whole contextualization is over.
    fn is_late(&self) -> bool {
        Instant::now() >= self.job.deadline
    }

    pub(super) fn open(
        &self,
        master: &Master<'_>,
        item: &Item,
        vms: &BTreeSet<u32>,
        (attempt, strategy): (u32, Strategy),
        progress: &Progress,
    ) -> OpenRun {
        let live = self.recorder.live();
        let hosts = progress.hosts.iter().filter(|(vm, _)| vms.contains(vm) && live.contains(vm));
        let hosts: BTreeMap<String, u32> = hosts.map(|(vm, host)| (host.name.clone(), *vm)).collect();
        let run = self.run_id(item, attempt);
        let engine = engine::of(master, item, hosts.values().filter_map(|vm| progress.hosts.get(vm)), progress);
        OpenRun {
            run,
            task: item.task.clone(),
            attempt,
            hosts,
            control: master.control.clone(),
            position: Position::default(),
            strategy,
            engine,
            carried: BTreeMap::new(),
            next: None,
        }
    }

    fn run_id(&self, item: &Item, attempt: u32) -> String {
        let key: String = names::safe(&item.key).chars().take(60).collect();
        format!("{}-{key}-{attempt}-{:08x}", self.job.generation, rand::random::<u32>())
    }

    /// The next item's run, if it can go on in the process of this one: over the same machines in the same way. The
    /// connections and interpreters of the one serve the other, which is half of the time of a short recipe.
    fn next(&self, master: &Master<'_>, item: &Item, open: &OpenRun, progress: &Progress) -> Option<NextRun> {
        let next = item.next.as_deref()?;
        let (this, that) = (&item.playbook, &next.playbook);
        let fits = this.vault.is_none()
            && that.vault.is_none()
            && that.strategy == open.strategy
            && engine::of(master, next, open.hosts.values().filter_map(|vm| progress.hosts.get(vm)), progress)
                == open.engine
            && !progress.finished.contains(&next.key)
            && !progress.attempts.contains_key(&next.key)
            && progress.waiting(next).iter().eq(open.hosts.values().collect::<BTreeSet<_>>());
        let run = || NextRun { key: next.key.clone(), run: self.run_id(next, 1), playbook: that.playbook.clone() };
        fits.then(run)
    }

    /// One run: started unless it was, followed to its end.
    async fn attempt(&self, master: &Master<'_>, item: &Item, open: &mut OpenRun) -> Result<Ended, Stop> {
        if open.position.offset == 0 {
            self.start(master, item, open).await?;
        }
        let hosts = open.hosts.clone().into_iter().collect();
        let log_max = self.job.settings.log_max;
        let mut demux = Demux::new(&open.run, hosts, self.cleaner.clone(), log_max, open.position.clone());
        let mut silent = 0;
        loop {
            if let Some(mut results) = demux.results(&item.place()) {
                if demux.is_flooded() || demux.position.end.as_ref().is_some_and(|end| end.state == "lost") {
                    sweep(master, &open.run).await?;
                }
                let live = self.recorder.live();
                results.retain(|vm, _| live.contains(vm));
                let faults = self.recorder.progress().await.not_installed;
                for (vm, error) in results.iter_mut().filter_map(|(vm, result)| Some((*vm, result.as_mut().err()?))) {
                    self.explain(item, error);
                    if let Some(cause) = galaxy::cause(&error.message, &faults) {
                        (error.code, error.message) = (ErrorCode::RoleInstall, cause.clone());
                    } else if let Some(place) = demux.place_named(vm) {
                        self.show(item, error, &place);
                    }
                }
                let (mitogen_failed, needs_lock_step) = (demux.mitogen_failed(), demux.needs_lock_step());
                return Ok(Ended { results, mitogen_failed, needs_lock_step });
            }
            let before = demux.position.offset;
            match self.follow(master, item, &mut demux).await {
                Ok(()) | Err(Stop::Broken) => {}
                Err(stop) => return Err(stop),
            }
            // A tail that ends without the end of the run: the connection broke, or the runner is not what we think.
            silent = if demux.position.offset > before { 0 } else { silent + 1 };
            if silent > 5 {
                return Err(Stop::Redo("the runner on the master does not answer".to_owned()));
            }
            if demux.position.end.is_none() {
                tokio::time::sleep(Duration::from_millis(200 * (1 << silent.min(5)))).await;
            }
        }
    }

    /// Says in an error what only the daemon knows.
    fn explain(&self, item: &Item, error: &mut VmError) {
        // Whoever ends the runs when time is over may be faster than the master's own clock.
        if error.code == ErrorCode::Cancelled && self.is_late() {
            (error.code, error.message) = (ErrorCode::Timeout, "time is over".to_owned());
        }
        if error.code == ErrorCode::Vault {
            let name = &item.playbook.configure;
            error.message =
                format!("configure {name}: the vault.password of the system does not open it ({})", error.message);
        }
    }

    /// Adds to an error the lines that show the place which Ansible named.
    fn show(&self, item: &Item, error: &mut VmError, place: &FilePlace) {
        let (radl, own) = (&self.job.radl, &item.playbook);
        let Some(recipe) = radl.configure(&own.configure).and_then(|configure| configure.recipe.as_deref()) else {
            return;
        };
        // There is none of a recipe that is encrypted as a whole.
        let playbook = recipe::merge(&own.configure, recipe, own.header).ok().flatten().unwrap_or_default();
        let others: Vec<(String, &str)> = radl
            .configures
            .iter()
            .filter_map(|configure| Some((recipe_name(&configure.name), configure.recipe.as_deref()?)))
            .collect();
        let playbook = (own.playbook.as_str(), playbook.text.as_str());
        let texts = answer::Texts { conf_dir: self.conf_dir, recipe, playbook, others: &others };
        error.details.get_or_insert_default().excerpt = answer::excerpt(place, &texts, &self.cleaner);
    }

    /// Password that sudo asks for where Ansible runs.
    fn local_password(&self, control: &ControlNode, progress: &Progress, vms: &[VmFacts]) -> Option<String> {
        match control {
            ControlNode::Vm(vm) => progress.hosts.get(vm)?.host(*vm, password(vms, *vm)).sudo_password,
            ControlNode::Host(id) => {
                let host = self.job.radl.ansible_hosts.iter().find(|host| host.id == *id)?;
                host.features.text("credentials.password").map(str::to_owned)
            }
        }
    }

    async fn start(&self, master: &Master<'_>, item: &Item, open: &OpenRun) -> Result<(), Stop> {
        let progress = self.recorder.progress().await;
        let vms = self.job.vms.borrow().clone();
        let hosts: Vec<_> =
            open.hosts.values().filter_map(|vm| Some(progress.hosts.get(vm)?.host(*vm, password(&vms, *vm)))).collect();
        let secrets = inventory::secrets(&hosts).map_err(|e| Stop::Failed(e.to_string()))?;
        let local = self.local_password(&master.control, &progress, &vms);
        let local = local.map(|password| inventory::local_secrets(&password)).transpose();
        let local = local.map_err(|e| Stop::Failed(e.to_string()))?;
        let vault = item.playbook.vault.as_ref().map(|vault| {
            json!({
                "password": vault.password,
                "recipe": vault.recipe,
                "keep_hosts": item.playbook.header.keep_hosts,
                "become_root": item.playbook.header.become_root,
                "end": crate::plan::recipe::DONE,
            })
        });
        let im_host: Vec<&str> = open.hosts.keys().map(String::as_str).collect();
        let left = self.job.deadline.saturating_duration_since(Instant::now());
        let deadline = (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut command = master.runtime.playbook.clone();
        command.extend(["-i".to_owned(), format!("{}/hosts", self.conf_dir)]);
        let mut env = BTreeMap::from([("ANSIBLE_CONFIG", format!("{}/ansible.cfg", self.conf_dir))]);
        if let Some(path) = &master.runtime.python_path {
            env.insert("PYTHONPATH", path.clone());
        }
        let mut vars = json!({ "IM_HOST": im_host.join(",") });
        env.insert("ANSIBLE_STRATEGY", open.engine.plugin(open.strategy));
        if open.engine == Engine::Mitogen {
            env.insert("ANSIBLE_STRATEGY_PLUGINS", format!("{}/{PLUGINS}", self.conf_dir));
            // It counts the start of interpreters, too, of all machines at once.
            env.insert("ANSIBLE_TIMEOUT", "60".to_owned());
            // What it sends is compressed already.
            vars["mitogen_ssh_compression"] = false.into();
        }
        let peer = |host: &inventory::Host| json!([host.address, host.port, host.user, host.sudo_password]);
        let peers: Vec<Value> = hosts.iter().map(peer).collect();
        let plan = json!({
            "run": open.run,
            "command": command,
            "playbook": item.playbook.playbook,
            "next": open.next,
            "env": env,
            "forks": self.job.settings.forks.min(hosts.len() as u32).max(1),
            "vars": vars,
            "secrets": secrets,
            "proxies": self.proxies(&vms, &progress),
            "local_secrets": local,
            "vault": vault,
            "deadline": deadline,
            "peers": peers,
        });
        match master.link.ask(&master.runtime, &["start"], &plan).await {
            Ok(_) => Ok(()),
            Err(e) => Err(Stop::Redo(format!("cannot start Ansible on the master: {e}"))),
        }
    }

    /// The proxy hosts that any machine may be reached through: a recipe may turn to machines that are not its own.
    fn proxies(&self, vms: &[VmFacts], progress: &Progress) -> BTreeMap<String, Value> {
        let mut proxies = BTreeMap::new();
        for (vm, record) in &progress.hosts {
            let Some((name, host_key)) = &record.proxy else { continue };
            let Some(Ok(Some(proxy))) = vms.iter().find(|v| v.id == *vm).map(|v| Proxy::of(&v.info)) else { continue };
            if proxy.name() == *name && !proxies.contains_key(name) {
                let key = Some(host_key).filter(|_| self.job.settings.check_host_keys);
                proxies.insert(name.clone(), proxy.for_runner(key.map(String::as_str)));
            }
        }
        proxies
    }

    /// Reads the journal until the run or the stream ends.
    async fn follow(&self, master: &Master<'_>, item: &Item, demux: &mut Demux) -> Result<(), Stop> {
        let run = demux.run().to_owned();
        let tail = master.link.tail(&master.runtime, &run, demux.begin()).await;
        let mut stream = match tail {
            Ok(stream) => stream,
            Err(SshError::Disconnected { .. }) => return Err(Stop::Broken),
            Err(e) => return Err(Stop::Redo(format!("cannot follow Ansible on the master: {e}"))),
        };
        let mut buffer = vec![0; 64 << 10];
        let mut effects: Vec<Effect> = Vec::new();
        let mut since = Instant::now();
        loop {
            let read = tokio::time::timeout_at(since + BATCH, stream.read(&mut buffer));
            let read = if effects.is_empty() { Ok(stream.read(&mut buffer).await) } else { read.await };
            let mut ended = false;
            match read {
                Ok(Ok(n)) if n > 0 => {
                    if effects.is_empty() {
                        since = Instant::now();
                    }
                    effects.extend(demux.feed(&buffer[..n]));
                }
                Ok(_) => ended = true,
                Err(_) => {}
            }
            let over = demux.position.end.is_some();
            if ended || over || since.elapsed() >= BATCH {
                let (effects, position) = (std::mem::take(&mut effects), demux.position.clone());
                let note = |p: &mut Progress| {
                    if let Some(open) = p.open.get_mut(&item.key) {
                        open.position = position;
                    }
                };
                self.recorder.record(effects, note).await?;
            }
            if ended || over {
                return Ok(());
            }
        }
    }
}
