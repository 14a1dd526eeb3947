//! The work: built-in playbooks, then the user's steps, each when the one before is done.

use super::{
    items::Runs,
    late::Late,
    link::Master,
    pass::{Pass, error},
    rules::{
        item::{Item, failed, phase},
        parts::{self, Part},
        progress::Phase,
    },
    secrets,
    stop::Stop,
};
use crate::{
    contract::{ErrorCode, Report, VmError},
    digest::digest,
    plan::{Files, Runnable, decide::Lane, recipe::RecipeError},
};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Semaphore;

/// Lanes of a step that run at once.
const LANES: usize = 4;

impl<'a> Pass<'_, 'a> {
    /// The runs of all machines, those included that come late.
    pub(super) async fn work(&self, masters: &[Master<'a>], files: &Files) -> Result<(), Stop> {
        let (job, recorder) = (self.context.job, self.context.recorder);
        let progress = recorder.progress().await;
        let (conf_dir, cleaner) = (self.context.conf_dir.as_str(), secrets::cleaner(job));
        let runs = Runs { job, recorder, masters, conf_dir, cleaner };
        let late = Late::new(progress.late.intersection(&self.decision.participants).copied().collect());
        let steps = async {
            self.begin(&runs, files, &late).await?;
            self.steps(&runs, files, &late).await
        };
        tokio::try_join!(steps, self.follow_late(masters, &runs, &late))?;
        self.finish().await
    }

    /// The built-in playbooks over the machines that are there.
    async fn begin(&self, runs: &Runs<'_>, files: &Files, late: &Late) -> Result<(), Stop> {
        let (radl, progress) = (&self.context.job.radl, self.context.recorder.progress().await);
        let there = progress.hosts.iter().filter(|(vm, _)| !late.vms.contains(vm));
        let (windows, linux): (Vec<_>, Vec<_>) = there.partition(|(_, host)| host.windows);
        let [linux, windows] = [linux, windows].map(|hosts| hosts.into_iter().map(|(vm, _)| *vm).collect::<Vec<u32>>());
        let there = linux.iter().chain(&windows).copied().collect();
        let (mut basic, windows) =
            (Item::built_in(radl, false, linux, None), Item::built_in(radl, true, windows, None));
        if let ([_], true) = (runs.masters, late.vms.is_empty()) {
            basic.next = self.first(files, &basic.vms).await.map(Box::new);
        }
        let (basic, windows) = tokio::join!(runs.run(&basic), runs.run(&windows));
        basic.and(windows)?;
        self.settle(0, &there).await
    }

    /// The user's steps: each begins when the one before is done, late machines included.
    async fn steps(&self, runs: &Runs<'_>, files: &Files, late: &Late) -> Result<(), Stop> {
        let lanes_at_once = &Semaphore::new(LANES);
        let steps: Vec<(&i64, &Vec<Lane>)> = self.decision.steps.iter().collect();
        for (done, (step, lanes)) in steps.iter().enumerate() {
            let run = |part: Part| async move {
                late.ready(&part.waits_for).await;
                // Nobody closes the semaphore.
                let _lane = lanes_at_once.acquire().await;
                self.lane(runs, files, **step, &part.lane).await?;
                self.settle(done + 1, &part.lane.vms.iter().copied().collect()).await
            };
            let parts = lanes.iter().flat_map(|lane| parts::of_lane(lane, &late.vms, files));
            let (now, later): (Vec<Part>, Vec<Part>) = parts.partition(|part| part.waits_for.is_empty());
            for part in &later {
                self.tell_part_waits(**step, part, late).await?;
            }
            let next = steps.get(done + 1).map(|(next, _)| **next);
            let missing: BTreeSet<u32> = later.iter().flat_map(|part| part.waits_for.iter().copied()).collect();
            let now = async {
                together(join_all(now.into_iter().map(run)).await)?;
                self.tell_step_waits(**step, next, late, &missing).await
            };
            let later = async {
                let mut later: FuturesUnordered<_> = later.into_iter().map(run).collect();
                while let Some(done) = later.next().await {
                    done?;
                }
                Ok(())
            };
            tokio::try_join!(now, later)?;
            let is_late = |e: &VmError| e.code == ErrorCode::Timeout;
            if self.context.recorder.progress().await.results.values().flatten().any(is_late) {
                return Err(Stop::Late);
            }
        }
        Ok(())
    }

    /// Runs the recipes of a lane one after the other.
    async fn lane(&self, runs: &Runs<'_>, files: &Files, step: i64, lane: &Lane) -> Result<(), Stop> {
        let recorder = self.context.recorder;
        for recipe in &lane.recipes {
            match files.playbooks.get(&(recipe.clone(), lane.system.clone())) {
                Some(Ok(Some(playbook))) => runs.run(&self.item(files, step, lane, recipe, playbook).await).await?,
                Some(Err(fault)) => {
                    let code = match fault {
                        RecipeError::Vault(_) => ErrorCode::Vault,
                        _ => ErrorCode::RecipeInvalid,
                    };
                    let e = error(code, &phase(step), fault.to_string());
                    let known = recorder.progress().await.results;
                    let vms = || lane.vms.iter().filter(|vm| !known.contains_key(vm));
                    let text = failed(&format!("{recipe}_{}", lane.system), 1, 1, &e);
                    let log = |vm: &u32| Report::VmLog { vm: *vm, text: text.clone() };
                    recorder.record(vms().map(log).collect(), |_| {}).await?;
                    recorder.results(vms().map(|vm| (*vm, Err(e.clone())))).await?;
                }
                Some(Ok(None)) | None => {}
            }
        }
        Ok(())
    }

    /// The item of a recipe of a lane.
    async fn item(&self, files: &Files, step: i64, lane: &Lane, recipe: &str, playbook: &Runnable) -> Item {
        let marks = self.marks(files, playbook, &lane.vms).await;
        Item::recipe(step, lane, recipe, playbook, marks)
    }

    /// The first recipe of the first step, if it is one for all of these machines.
    async fn first(&self, files: &Files, vms: &[u32]) -> Option<Item> {
        let (step, lanes) = self.decision.steps.iter().next()?;
        let all: BTreeSet<_> = vms.iter().collect();
        let lane = lanes.iter().find(|lane| lane.vms.iter().collect::<BTreeSet<_>>() == all)?;
        let recipe = lane.recipes.first()?;
        match files.playbooks.get(&(recipe.clone(), lane.system.clone())) {
            Some(Ok(Some(playbook))) => Some(self.item(files, *step, lane, recipe, playbook).await),
            _ => None,
        }
    }

    /// What a playbook is done with for each machine: its text, and what the inventory says of the machine.
    async fn marks(&self, files: &Files, playbook: &Runnable, vms: &[u32]) -> BTreeMap<u32, String> {
        let hosts = self.context.recorder.progress().await.hosts;
        // The playbook of an encrypted recipe is made on the master: its text is the recipe's.
        let path = playbook.vault.as_ref().and_then(|vault| vault.recipe.as_ref()).unwrap_or(&playbook.playbook);
        let text = files.entries.iter().find(|entry| entry.path == *path).map(|entry| entry.content.as_slice());
        let facts = self.vms();
        let mark = |vm: &u32| {
            let host = hosts.get(vm)?;
            let host = format!("{} {} {} {}", host.name, host.address, host.port, host.user);
            let info = facts.iter().find(|facts| facts.id == *vm)?.info.to_text();
            let [text, host, info] = [text.unwrap_or_default(), host.as_bytes(), info.as_bytes()];
            let [text_length, host_length, info_length] = [text, host, info].map(|part| part.len().to_be_bytes());
            Some((*vm, digest(&[&text_length, text, &host_length, host, &info_length, info], 16)))
        };
        vms.iter().filter_map(mark).collect()
    }

    /// The summary line.
    async fn finish(&self) -> Result<(), Stop> {
        let recorder = self.context.recorder;
        let (results, live) = (recorder.progress().await.results, recorder.live());
        let bad: Vec<String> = results
            .iter()
            .filter(|(vm, error)| live.contains(vm) && error.is_some())
            .map(|(vm, _)| vm.to_string())
            .collect();
        let ok = results.iter().filter(|(vm, error)| live.contains(vm) && error.is_none()).count();
        let ids = if bad.is_empty() { String::new() } else { format!(" (ids: {})", bad.join(", ")) };
        let line = format!("Contextualization finished: {ok} configured, {} failed{ids}", bad.len());
        Ok(recorder.record(vec![Report::InfrastructureLog(line)], |p| p.phase = Phase::Done).await?)
    }
}

/// One result of several: that time is over counts after everything else.
fn together(results: Vec<Result<(), Stop>>) -> Result<(), Stop> {
    let (late, others): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| matches!(result, Err(Stop::Late)));
    others.into_iter().chain(late).collect()
}
