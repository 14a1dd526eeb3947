//! Machines that come late: the others begin without them, and each follows by itself when its door opens. What needs all
//! machines waits for them, and the log says so.

use super::{
    items::Runs,
    link::Master,
    pass::{Growing, Pass},
    rules::{item::Item, parts::Part},
    stop::Stop,
};
use crate::{
    contract::VmFacts,
    plan,
    ssh::{SshError, TarEntry},
};
use futures::{FutureExt, future::try_join_all};
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::Mutex;

/// How long nothing more has to come, once Ansible is there, before the others begin: machines that boot together
/// are configured together.
pub(super) const GRACE: Duration = Duration::from_secs(15);
/// Pause before the doors are tried again over a new connection to the master.
const AGAIN: Duration = Duration::from_secs(1);
/// Files of the conf dir that say which machines there are.
const OF_MACHINES: [&str; 4] = ["hosts", "etc_hosts", "known_hosts", plan::BASIC];
/// Puts them into their places, each at once: Ansible may be reading the former ones.
const RENEW: &str = "mv -f \"$1\"/.im/new/* \"$1\"/";

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

/// Waits until `set` holds all of `wanted`.
async fn until(set: &Growing, wanted: &BTreeSet<u32>) {
    // The sender is ours, so there is always news to come.
    drop(set.subscribe().wait_for(|set| wanted.is_subset(set)).await);
}

impl Late {
    pub(super) fn new(vms: BTreeSet<u32>) -> Self {
        Self { vms, settled: Growing::default(), ready: Growing::default(), writing: Mutex::default() }
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

impl<'a> Pass<'_, 'a> {
    /// Opens the doors of the late machines and prepares each of them as soon as it is there.
    pub(super) async fn follow_late(&self, masters: &[Master<'a>], runs: &Runs<'_>, late: &Late) -> Result<(), Stop> {
        let doors = try_join_all(masters.iter().map(|master| self.late_doors(master, late)));
        let machines = late.vms.iter().map(|vm| self.late_machine(masters, runs, late, *vm).boxed());
        tokio::try_join!(doors, try_join_all(machines)).map(drop)
    }

    async fn late_doors(&self, master: &Master<'a>, late: &Late) -> Result<(), Stop> {
        loop {
            let progress = self.context.recorder.progress().await;
            let is_shut = |vm: &VmFacts| {
                let known = progress.hosts.contains_key(&vm.id) || progress.results.contains_key(&vm.id);
                late.vms.contains(&vm.id) && !known
            };
            let (shut, settled): (Vec<VmFacts>, Vec<VmFacts>) = self.participants().into_iter().partition(is_shut);
            late.settled.send_modify(|all| all.extend(settled.iter().map(|vm| vm.id)));
            let own: Vec<VmFacts> = shut.into_iter().filter(|vm| self.in_charge(&master.control, vm)).collect();
            if own.is_empty() {
                return Ok(());
            }
            let session = master.link.session().await;
            match self.doors(&master.control, session, own, &late.settled).await {
                // The connection to the master broke; its link knows how long that may last.
                Err(Stop::Redo(_)) => tokio::time::sleep(AGAIN).await,
                other => return other,
            }
        }
    }

    /// What a late machine does before it goes through the steps.
    async fn late_machine(&self, masters: &[Master<'a>], runs: &Runs<'_>, late: &Late, vm: u32) -> Result<(), Stop> {
        let own = BTreeSet::from([vm]);
        tokio::select! {
            () = until(&late.settled, &own) => {}
            () = self.gone(vm) => {}
        }
        let progress = self.context.recorder.progress().await;
        let reached = progress.hosts.get(&vm).filter(|_| !progress.results.contains_key(&vm));
        if let Some(host) = reached {
            self.renew(masters, late).await?;
            runs.run(&Item::built_in(&self.context.job.radl, host.windows, vec![vm], Some(vm))).await?;
            self.settle(0, &own).await?;
        }
        late.ready.send_modify(|all| all.extend([vm]));
        Ok(())
    }

    /// Tells the masters which machines there are now.
    async fn renew(&self, masters: &[Master<'a>], late: &Late) -> Result<(), Stop> {
        let _writing = late.writing.lock().await;
        let progress = self.context.recorder.progress().await;
        for master in masters {
            let of_machines = |entry: &TarEntry| OF_MACHINES.contains(&entry.path.as_str());
            let entries: Vec<TarEntry> =
                self.files(&master.control, &progress)?.entries.into_iter().filter(of_machines).collect();
            let conf_dir = self.context.conf_dir.as_str();
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
        Ok(self.context.recorder.log_once([line]).await?)
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
        Ok(self.context.recorder.log_once([line]).await?)
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
