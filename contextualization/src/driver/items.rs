//! Items: what the rules decide about each is recorded, waited for and listened to here.

use super::{
    link::Master,
    recorder::Recorder,
    rules::{
        item::Item,
        next::{Circumstances, Step, next},
    },
    stop::Stop,
};
use crate::{contract::Job, journal::text::Cleaner};
use tokio::time::Instant;

/// What all runs of a pass share.
pub struct Runs<'a> {
    /// The job.
    pub job: &'a Job,
    /// What is recorded.
    pub recorder: &'a Recorder,
    /// Where they run.
    pub masters: &'a [Master<'a>],
    /// The conf dir.
    pub conf_dir: &'a str,
    /// Masks secrets.
    pub cleaner: Cleaner,
}

impl Runs<'_> {
    /// Runs the item to its end, on each master for the machines it is in charge of, going on with runs that are under
    /// way. Machines that fail get their result.
    pub(super) async fn run(&self, item: &Item) -> Result<(), Stop> {
        if let [master] = self.masters {
            return self.run_on(master, item).await;
        }
        let hosts = self.recorder.progress().await.hosts;
        let runs = self.masters.iter().map(|master| {
            let own = |vm: &&u32| hosts.get(vm).is_some_and(|host| host.control == master.control);
            let vms = item.vms.iter().filter(own).copied().collect();
            let share = Item { key: item.key.share(&master.control), vms, ..item.clone() };
            async move { self.run_on(master, &share).await }
        });
        futures::future::join_all(runs).await.into_iter().collect()
    }

    async fn run_on(&self, master: &Master<'_>, item: &Item) -> Result<(), Stop> {
        let mut ended = None;
        loop {
            let step = self.next(master, item, ended.take()).await?;
            let (run, pause) = match step {
                Step::Nothing | Step::Finish(_) => return Ok(()),
                Step::Late => return Err(Stop::Late),
                Step::Listen(run) => (run, None),
                Step::Run { run, pause, .. } => (run, Some(pause)),
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            ended = Some(self.listen(master, item, &run).await?);
        }
    }

    /// What the rules say of the item, recorded.
    async fn next(
        &self,
        master: &Master<'_>,
        item: &Item,
        ended: Option<super::rules::next::Ended>,
    ) -> Result<Step, Stop> {
        let circumstances = Circumstances {
            control: &master.control,
            has_mitogen: master.runtime.mitogen,
            live: &self.recorder.live(),
            generation: self.job.generation,
            retries: self.job.settings.playbook_retries,
            time_is_over: self.is_late(),
            salt: rand::random(),
        };
        let step = next(item, &self.recorder.progress().await, ended, &circumstances);
        if let Some(record) = step.record() {
            if let Some(why) = &record.mitogen_fault {
                tracing::warn!(item = %item.key, why, "mitogen failed, Ansible goes on without it");
            }
            if let Some(run) = &record.end_run {
                master.sweep(run).await?;
            }
            self.recorder.record(record.reports.clone(), |progress| step.apply(item, progress)).await?;
        }
        Ok(step)
    }

    /// Whether the time of the whole contextualization is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.job.deadline
    }
}
