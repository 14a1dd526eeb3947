//! One run on a control node: started unless it was, listened to until its end, and how it ended in words.

use super::{
    items::Runs,
    link::Master,
    rules::{
        item::Item,
        next::Ended,
        progress::{OpenRun, Progress},
    },
    stop::Stop,
};
use crate::{
    contract::{ErrorCode, Report, VmError},
    galaxy,
    journal::{
        answer::{self, FilePlace},
        demux::Demux,
    },
    plan::{recipe, recipe_name},
    ssh::SshError,
};
use std::time::Duration;
use tokio::{io::AsyncReadExt, time::Instant};

/// Effects are recorded at least this often while events come.
const BATCH: Duration = Duration::from_millis(200);
/// Times in a row that a journal may end without anything new before the runner is not trusted any more.
const SILENT: u32 = 5;

impl Runs<'_> {
    /// Starts the run unless it was started, and listens to it until its end.
    pub(super) async fn listen(&self, master: &Master<'_>, item: &Item, run: &OpenRun) -> Result<Ended, Stop> {
        if run.position.offset == 0 {
            self.start(master, item, run).await?;
        }
        let hosts = run.hosts.clone().into_iter().collect();
        let log_max = self.job.settings.log_max;
        let mut demux = Demux::new(&run.run, hosts, self.cleaner.clone(), log_max, run.position.clone());
        let mut silent = 0;
        while demux.position.end.is_none() {
            let before = demux.position.offset;
            match self.follow(master, item, &mut demux).await {
                Ok(()) | Err(Stop::Broken) => {}
                Err(stop) => return Err(stop),
            }
            // A tail that ends without the end of the run: the connection broke, or the runner is not what we think.
            silent = if demux.position.offset > before { 0 } else { silent + 1 };
            if demux.position.end.is_none() {
                if silent > SILENT {
                    return Err(Stop::Redo("the runner on the master does not answer".to_owned()));
                }
                tokio::time::sleep(Duration::from_millis(200 * (1 << silent.min(SILENT)))).await;
            }
        }
        if demux.is_flooded() || demux.position.end.as_ref().is_some_and(|end| end.state == "lost") {
            master.sweep(&run.run).await?;
        }
        Ok(self.ended(item, &demux).await)
    }

    /// How a run ended whose journal came to its end, with what only the daemon knows.
    async fn ended(&self, item: &Item, demux: &Demux) -> Ended {
        let mut results = demux.results(&item.subject()).unwrap_or_default();
        let faults = self.recorder.progress().await.not_installed;
        for (vm, error) in results.iter_mut().filter_map(|(vm, result)| Some((*vm, result.as_mut().err()?))) {
            self.explain(item, error);
            if let Some(cause) = galaxy::cause(&error.message, &faults) {
                (error.code, error.message) = (ErrorCode::RoleInstall, cause.clone());
            } else if let Some(place) = demux.place_named(vm) {
                self.show(item, error, &place);
            }
        }
        Ended { results, mitogen_failed: demux.mitogen_failed(), needs_lock_step: demux.needs_lock_step() }
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
        let mut reports: Vec<Report> = Vec::new();
        let mut since = Instant::now();
        loop {
            let read = tokio::time::timeout_at(since + BATCH, stream.read(&mut buffer));
            let read = if reports.is_empty() { Ok(stream.read(&mut buffer).await) } else { read.await };
            let mut ended = false;
            match read {
                Ok(Ok(n)) if n > 0 => {
                    if reports.is_empty() {
                        since = Instant::now();
                    }
                    reports.extend(demux.feed(&buffer[..n]));
                }
                Ok(_) => ended = true,
                Err(_) => {}
            }
            let over = demux.position.end.is_some();
            if ended || over || since.elapsed() >= BATCH {
                let (reports, position) = (std::mem::take(&mut reports), demux.position.clone());
                let note = |p: &mut Progress| {
                    if let Some(open) = p.open.get_mut(&item.key) {
                        open.position = position;
                    }
                };
                self.recorder.record(reports, note).await?;
            }
            if ended || over {
                return Ok(());
            }
        }
    }
}
