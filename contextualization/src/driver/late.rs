//! Machines that come late: the others begin without them, and each follows by itself when its door opens. What needs all
//! machines waits for them, and the log says so.

use super::{Driver, Stop, control::Master, item::Runs, stages::Stage};
use crate::{
    contract::VmFacts,
    plan::{self, Files, decide::Lane, recipe::Strategy},
    ssh::{SshError, TarEntry},
};
use futures::{FutureExt, future::try_join_all};
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::{Mutex, watch};

/// How long nothing more has to come, once Ansible is there, before the others begin: machines that boot together
/// are configured together.
pub(super) const GRACE: Duration = Duration::from_secs(15);
/// Pause before the doors are tried again over a new connection to the master.
const AGAIN: Duration = Duration::from_secs(1);
/// Files of the conf dir that say which machines there are.
const OF_MACHINES: [&str; 4] = ["hosts", "etc_hosts", "known_hosts", plan::BASIC];
/// Puts them into their places, each at once: Ansible may be reading the former ones.
const RENEW: &str = "mv -f \"$1\"/.im/new/* \"$1\"/";

/// A set of machines that only grows.
pub(super) type Growing = watch::Sender<BTreeSet<u32>>;

/// What is known of the late machines while the work goes on.
pub(super) struct Late {
    /// All of them.
    pub(super) vms: BTreeSet<u32>,
    /// Those whose doors are open, or stay shut.
    settled: Growing,
    /// Those that may begin with the steps, or never will.
    ready: Growing,
    /// Held while the files of the machines are written.
    writing: Mutex<()>,
}

/// A lane, or the part of it that some of its machines go through by themselves.
pub(super) struct Part {
    /// The lane with these machines alone.
    pub(super) lane: Lane,
    /// Late machines that it waits for.
    pub(super) waits_for: BTreeSet<u32>,
    /// Why it waits for them, when it is not their own part.
    pub(super) why: Option<&'static str>,
}

/// Waits until `set` holds all of `wanted`.
async fn until(set: &Growing, wanted: &BTreeSet<u32>) {
    // The sender is ours, so there is always news to come.
    drop(set.subscribe().wait_for(|set| wanted.is_subset(set)).await);
}

impl Late {
    pub(super) fn new(vms: BTreeSet<u32>) -> Self {
        Self { vms, settled: Growing::default(), ready: Growing::default(), writing: Mutex::default() }
    }

    /// The parts of a lane: one for the machines that are there, one for each late one, or one for all that waits.
    pub(super) fn parts(&self, lane: &Lane, files: &Files) -> Vec<Part> {
        let runnables = || {
            let playbook = |recipe: &String| files.playbooks.get(&(recipe.clone(), lane.system.clone()));
            lane.recipes.iter().filter_map(playbook).filter_map(|playbook| playbook.as_ref().ok()?.as_ref())
        };
        let all: BTreeSet<u32> = lane.vms.iter().copied().collect();
        let own: BTreeSet<u32> = self.vms.intersection(&all).copied().collect();
        let (waits_for, why) = if runnables().any(|runnable| runnable.looks_at_others) {
            (self.vms.clone(), "looks at other machines")
        } else if runnables().any(|runnable| runnable.strategy == Strategy::Linear) {
            (own.clone(), "runs in lock step")
        } else {
            (BTreeSet::new(), "")
        };
        if !waits_for.is_empty() || own.is_empty() {
            let why = (!waits_for.is_empty()).then_some(why);
            return vec![Part { lane: lane.clone(), waits_for, why }];
        }
        let part = |vms: Vec<u32>, waits_for| Part { lane: Lane { vms, ..lane.clone() }, waits_for, why: None };
        let there: Vec<u32> = all.difference(&own).copied().collect();
        let there = (!there.is_empty()).then(|| part(there, BTreeSet::new()));
        there.into_iter().chain(own.into_iter().map(|vm| part(vec![vm], BTreeSet::from([vm])))).collect()
    }

    /// Waits until these late machines may begin with the steps, or never will.
    pub(super) async fn ready(&self, vms: &BTreeSet<u32>) {
        until(&self.ready, vms).await;
    }

    /// Those of `vms` that are not ready.
    pub(super) fn missing(&self, vms: &BTreeSet<u32>) -> Vec<u32> {
        vms.difference(&self.ready.borrow()).copied().collect()
    }
}

impl<'a> Driver<'a> {
    /// Opens the doors of the late machines and prepares each of them as soon as it is there.
    pub(super) async fn follow(
        &self,
        stage: &Stage<'_, 'a>,
        (masters, runs): (&[Master<'a>], &Runs<'_>),
        late: &Late,
    ) -> Result<(), Stop> {
        let doors = try_join_all(masters.iter().map(|master| self.late_doors(stage, master, late)));
        let machines = late.vms.iter().map(|vm| self.late_machine(stage, (masters, runs), late, *vm).boxed());
        tokio::try_join!(doors, try_join_all(machines)).map(drop)
    }

    async fn late_doors(&self, stage: &Stage<'_, 'a>, master: &Master<'a>, late: &Late) -> Result<(), Stop> {
        loop {
            let progress = self.recorder.progress().await;
            let is_shut = |vm: &VmFacts| {
                let known = progress.hosts.contains_key(&vm.id) || progress.results.contains_key(&vm.id);
                late.vms.contains(&vm.id) && !known
            };
            let (shut, settled): (Vec<VmFacts>, Vec<VmFacts>) = stage.participants().into_iter().partition(is_shut);
            late.settled.send_modify(|all| all.extend(settled.iter().map(|vm| vm.id)));
            let own: Vec<VmFacts> = shut.into_iter().filter(|vm| stage.in_charge(&master.control, vm)).collect();
            if own.is_empty() {
                return Ok(());
            }
            let session = master.link.session().await;
            match stage.doors(&master.control, session, own, &late.settled).await {
                // The connection to the master broke; its link knows how long that may last.
                Err(Stop::Redo(_)) => tokio::time::sleep(AGAIN).await,
                other => return other,
            }
        }
    }

    /// What a late machine does before it goes through the steps.
    async fn late_machine(
        &self,
        stage: &Stage<'_, 'a>,
        (masters, runs): (&[Master<'a>], &Runs<'_>),
        late: &Late,
        vm: u32,
    ) -> Result<(), Stop> {
        let own = BTreeSet::from([vm]);
        tokio::select! {
            () = until(&late.settled, &own) => {}
            () = stage.gone(vm) => {}
        }
        let progress = self.recorder.progress().await;
        let reached = progress.hosts.get(&vm).filter(|_| !progress.results.contains_key(&vm));
        if let Some(host) = reached {
            self.renew(stage, masters, late).await?;
            runs.run(&self.built_in(host.windows, vec![vm], Some(vm))).await?;
            self.settle(stage.decision, 0, &own).await?;
        }
        late.ready.send_modify(|all| all.extend([vm]));
        Ok(())
    }

    /// Tells the masters which machines there are now.
    async fn renew(&self, stage: &Stage<'_, 'a>, masters: &[Master<'a>], late: &Late) -> Result<(), Stop> {
        let _writing = late.writing.lock().await;
        let progress = self.recorder.progress().await;
        for master in masters {
            let of_machines = |entry: &TarEntry| OF_MACHINES.contains(&entry.path.as_str());
            let entries: Vec<TarEntry> =
                stage.files(&master.control, &progress)?.entries.into_iter().filter(of_machines).collect();
            let conf_dir = self.conf_dir.as_str();
            loop {
                let session = master.link.session().await;
                let renewed = async {
                    session.upload_tar(&format!("{conf_dir}/.im/new"), &entries).await?;
                    let output = session.exec(&["sh", "-c", RENEW, "renew", conf_dir]).await?;
                    if output.success() { Ok(()) } else { Err(session.failed(&output)) }
                };
                match renewed.await {
                    Ok(()) => break,
                    Err(SshError::Disconnected { .. }) => {}
                    Err(e) => return Err(Stop::Redo(format!("cannot copy files to the master: {e}"))),
                }
            }
        }
        Ok(())
    }

    /// Says once why a part of a step waits for more than its own machine.
    pub(super) async fn tell_part_waits(&self, step: i64, part: &Part, late: &Late) -> Result<(), Stop> {
        let (missing, Some(why)) = (late.missing(&part.waits_for), part.why) else { return Ok(()) };
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("Step {step} of system {}", part.lane.system);
        let line = format!("{what} waits for {}: one of its recipes {why}.", machines(&missing));
        Ok(self.recorder.log_once([line]).await?)
    }

    /// Says once that the step after `step` waits for machines that have that one to do.
    pub(super) async fn tell_step_waits(
        &self,
        step: i64,
        next: Option<i64>,
        late: &Late,
        vms: &BTreeSet<u32>,
    ) -> Result<(), Stop> {
        let (missing, Some(next)) = (late.missing(vms), next) else { return Ok(()) };
        if missing.is_empty() {
            return Ok(());
        }
        let line = format!("Step {next} waits for {}: step {step} is to be done there first.", machines(&missing));
        Ok(self.recorder.log_once([line]).await?)
    }
}

/// The line of the log about machines that are not waited for.
pub(super) fn announcement(vms: &[u32], limit: Duration) -> String {
    let seconds = limit.as_secs();
    format!(
        "{} cannot be reached yet. The others begin; what comes within {seconds} s follows by itself.",
        machines(vms)
    )
}

/// `VM 2`, `VMs 2, 3`
fn machines(vms: &[u32]) -> String {
    let numbers: Vec<String> = vms.iter().map(u32::to_string).collect();
    format!("VM{} {}", if vms.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::plan::Runnable;
    use radl::Radl;

    /// What each part has and waits for.
    fn parts(late: &[u32], change: impl Fn(&mut Runnable)) -> Vec<(Vec<u32>, Vec<u32>)> {
        let mut runnable = Runnable::built_in(&Radl::default(), "p.yml");
        change(&mut runnable);
        let mut files = Files::default();
        files.playbooks.insert(("work".to_owned(), "worker".to_owned()), Ok(Some(runnable)));
        let lane = Lane { system: "worker".to_owned(), vms: vec![1, 2, 3], recipes: vec!["work".to_owned()] };
        let parts = Late::new(late.iter().copied().collect()).parts(&lane, &files);
        parts.into_iter().map(|part| (part.lane.vms, part.waits_for.into_iter().collect())).collect()
    }

    #[test]
    fn late_machines_go_by_themselves_unless_all_are_needed() {
        let (free, linear) = (|_: &mut Runnable| {}, |r: &mut Runnable| r.strategy = Strategy::Linear);
        let looks = |r: &mut Runnable| r.looks_at_others = true;
        assert_eq!(parts(&[], free), [(vec![1, 2, 3], vec![])]);
        assert_eq!(parts(&[2, 9], free), [(vec![1, 3], vec![]), (vec![2], vec![2])]);
        assert_eq!(parts(&[1, 2, 3], free).len(), 3);
        assert_eq!(parts(&[2, 9], linear), [(vec![1, 2, 3], vec![2])]);
        assert_eq!(parts(&[9], linear), [(vec![1, 2, 3], vec![])]);
        assert_eq!(parts(&[9], looks), [(vec![1, 2, 3], vec![9])]);
    }
}
