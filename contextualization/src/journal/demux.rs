//! Events of one run to a log and a result per machine. Pure: the same events give the same reports, once.

use super::{
    answer::{AnsibleAnswer, FilePlace},
    event::{Event, Line, Lines, Stats},
    position::{End, FLOODED, JournalPosition, Kept},
    tail::Tail,
    text::{self, Cleaner},
    verdict::{self, RunSubject},
};
use crate::{
    contract::{ErrorCode, Report, VmError},
    plan::builtin::INSTALL,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Exit status of Ansible after an exception that it did not expect.
const UNEXPECTED: i64 = 250;
/// Lines of Ansible's own output that are kept: as many as the runner sends.
const TAIL: usize = 60;
/// Bytes of them, more than the runner sends: machines without a failure of their own keep them all.
const TAIL_BYTES: usize = 32 << 10;
/// Bytes of a journal that are read: so many, and more for each machine. Whoever writes more than that has no recipe in mind.
const JOURNAL: (u64, u64) = (64 << 20, 8 << 20);
/// Bytes that a run may add to the log of the infrastructure.
const WARNINGS: usize = 64 << 10;
/// The mark where a log is interrupted.
const LONG: &str = "... the log of this run is too long: its end follows when the run is over ...\n";
/// What the free strategy says of an action that it cannot run.
const LOCK_STEP: &str = "bypasses the host loop";

/// The demultiplexer of a run.
#[derive(Debug)]
pub struct Demux {
    run: String,
    hosts: HashMap<String, u32>,
    cleaner: Cleaner,
    log_max: usize,
    lines: Lines,
    /// Where the next line begins, before `position.offset` while lines are read again.
    cursor: u64,
    /// Whether the line at the cursor had its reports before.
    replaying: bool,
    /// Last event that was read again.
    replayed: u64,
    tails: HashMap<u32, Tail>,
    /// Where it stands.
    pub position: JournalPosition,
}

fn say(vm: u32, text: &str, reports: &mut Vec<Report>) {
    match reports.last_mut() {
        Some(Report::VmLog { vm: last, text: all }) if *last == vm => *all += text,
        _ => reports.push(Report::VmLog { vm, text: text.to_owned() }),
    }
}

impl Demux {
    /// A demultiplexer for `run` over `hosts` (inventory name to machine), going on at `position`.
    #[must_use]
    pub fn new(
        run: &str,
        hosts: HashMap<String, u32>,
        cleaner: Cleaner,
        log_max: usize,
        position: JournalPosition,
    ) -> Self {
        let mut demux = Self {
            run: run.to_owned(),
            hosts,
            cleaner,
            log_max,
            lines: Lines::default(),
            cursor: 0,
            replaying: false,
            replayed: 0,
            tails: HashMap::new(),
            position,
        };
        demux.begin();
        demux
    }

    /// Where in the journal the reading begins, or begins again after the stream broke: at the offset of the position, or
    /// before it when the ends of long logs are not in memory.
    pub fn begin(&mut self) -> u64 {
        self.lines = Lines::default();
        let known =
            self.cursor >= self.position.offset && self.position.kept.keys().all(|vm| self.tails.contains_key(vm));
        if !known {
            self.tails.clear();
            self.replayed = 0;
        }
        let from = self.position.kept.values().map(|kept| kept.from).min().filter(|_| !known);
        self.cursor = from.unwrap_or(self.position.offset);
        self.cursor
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Takes the next bytes of the journal.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Report> {
        let mut reports = Vec::new();
        for Line { bytes, event } in self.lines.push(bytes) {
            self.replaying = self.cursor < self.position.offset;
            if self.replaying {
                if let Some(event) = event.filter(|event| event.run == self.run && event.seq > self.replayed) {
                    self.replayed = event.seq;
                    self.event(&event, &mut Vec::new());
                }
                self.cursor += bytes;
                // Pieces of a line that is too long need not be the same again.
                self.position.offset = self.position.offset.max(self.cursor);
                continue;
            }
            self.position.offset += bytes;
            match event {
                Some(event) if event.e == "lost" && self.position.end.is_none() => {
                    let state = if event.state == "rebooted" { "rebooted" } else { "lost" };
                    self.position.end = Some(End { rc: 255, state: state.to_owned(), tail: String::new() });
                }
                Some(event) if event.run == self.run && event.seq > 0 => {
                    if event.seq > self.position.last_seq && self.position.end.is_none() {
                        self.position.last_seq = event.seq;
                        self.event(&event, &mut reports);
                    }
                }
                _ => self.position.garbage += u64::from(bytes > 1),
            }
            self.cursor = self.position.offset;
        }
        if self.position.end.is_none() && self.position.offset > self.longest() {
            self.position.end = Some(End { rc: 255, state: FLOODED.to_owned(), tail: String::new() });
        }
        if self.position.end.is_some() {
            self.tell_tails(&mut reports);
        }
        reports
    }

    /// Bytes of the journal that are read.
    fn longest(&self) -> u64 {
        JOURNAL.0 + JOURNAL.1 * self.hosts.len() as u64
    }

    /// Whether the run wrote more than anybody reads, so that it has to be ended.
    #[must_use]
    pub fn is_flooded(&self) -> bool {
        self.position.end.as_ref().is_some_and(|end| end.state == FLOODED)
    }

    fn vm(&self, host: Option<&String>) -> Option<u32> {
        self.hosts.get(host?).copied()
    }

    /// Writes a text to the log of a machine; beyond nine tenths of what a log may be it waits for the end of the run.
    fn write(&mut self, vm: u32, text: &str, reports: &mut Vec<Report>) {
        let limit = self.log_max / 10;
        let text = &*text::shortened(text, limit);
        if self.replaying {
            let kept = self.position.kept.get(&vm).is_some_and(|kept| kept.from <= self.cursor);
            if kept {
                self.tails.entry(vm).or_default().push(self.cursor, text, limit);
            }
            return;
        }
        let written = self.position.written.entry(vm).or_default();
        if !self.position.kept.contains_key(&vm) && *written + text.len() <= self.log_max - limit {
            *written += text.len();
            return say(vm, text, reports);
        }
        let kept = self.position.kept.entry(vm).or_insert_with(|| {
            say(vm, LONG, reports);
            Kept::default()
        });
        let tail = self.tails.entry(vm).or_default();
        kept.left_out += tail.push(self.cursor, text, limit);
        kept.from = tail.begins().unwrap_or(self.cursor);
    }

    /// Adds a line to the log of the infrastructure, which has room for so many.
    fn warn(&mut self, line: String, reports: &mut Vec<Report>) {
        let had_room = self.position.warned < WARNINGS;
        self.position.warned += line.len();
        if self.position.warned < WARNINGS {
            reports.push(Report::InfrastructureLog(line));
        } else if had_room {
            let line = "WARNING: further lines of this run are left out: they are in the logs of the machines.";
            reports.push(Report::InfrastructureLog(line.to_owned()));
        }
    }

    /// The ends of long logs, once.
    fn tell_tails(&mut self, reports: &mut Vec<Report>) {
        for (vm, kept) in std::mem::take(&mut self.position.kept) {
            let tail = self.tails.remove(&vm).unwrap_or_default().text();
            if kept.left_out > 0 {
                say(vm, &format!("... {} bytes are left out ...\n", kept.left_out), reports);
            }
            say(vm, &tail, reports);
        }
    }

    fn event(&mut self, event: &Event, reports: &mut Vec<Report>) {
        let name = self.cleaner.name(event.name.as_deref().unwrap_or_default());
        match event.e.as_str() {
            "play" => self.play(event, reports),
            "stats" => self.stats(&event.stats, reports),
            "run_end" => {
                let lines: Vec<&str> = event.tail.lines().collect();
                let last = lines.iter().skip(lines.len().saturating_sub(TAIL));
                let tail: Vec<String> = last.map(|line| self.cleaner.name(line)).collect();
                let tail = text::shortened(&tail.join("\n"), TAIL_BYTES).into_owned();
                self.position.end = Some(End { rc: event.rc, state: event.state.clone(), tail });
            }
            _ => {
                let Some(vm) = self.vm(event.host.as_ref()) else { return };
                self.note(vm, &name, event, reports);
                if let Some(text) = self.text(&name, event) {
                    self.write(vm, &text, reports);
                }
            }
        }
    }

    /// Keeps what an event says of the result of a machine.
    fn note(&mut self, vm: u32, name: &str, event: &Event, reports: &mut Vec<Report>) {
        match event.e.as_str() {
            "done" => drop(self.position.done.insert(vm)),
            "failed" | "unreachable" if !event.ignored => self.failure(vm, name, event),
            "item_failed" => {
                if name == INSTALL {
                    let (item, reason) = (self.loop_item(event), self.message(event));
                    let line = format!("WARNING: VM {vm}: an application was not installed {item}: {reason}");
                    self.warn(line, reports);
                }
                self.failure(vm, name, event);
            }
            _ => {}
        }
    }

    /// The text of an event of one machine in its log, in the look of Ansible; none of one that is not shown.
    fn text(&self, name: &str, event: &Event) -> Option<String> {
        // The name is one of ours: it was found in the inventory.
        let host = event.host.as_deref().unwrap_or_default();
        let item = self.loop_item(event);
        let changed = event.res.get("changed").and_then(Value::as_bool).unwrap_or(false);
        let word = if changed { "changed" } else { "ok" };
        let text = match event.e.as_str() {
            "host_start" => {
                let title = if event.handler { "RUNNING HANDLER" } else { "TASK" };
                format!("{}{}", text::banner(&format!("{title} [{name}]")), text::moment(event.ts))
            }
            "ok" | "skipped" if event.looped => return None,
            "ok" if event.verbose => format!("{word}: [{host}] => {}\n", self.values(event, true)),
            "ok" => format!("{word}: [{host}]\n"),
            "item_ok" if event.verbose => format!("{word}: [{host}] => {item} => {}\n", self.values(event, true)),
            "item_ok" => format!("{word}: [{host}] => {item}\n"),
            "skipped" => format!("skipping: [{host}]\n"),
            "item_skipped" => format!("skipping: [{host}] => {item} \n"),
            "failed" | "unreachable" => {
                let word = if event.e == "failed" { "FAILED" } else { "UNREACHABLE" };
                let mut text = String::new();
                if !event.looped {
                    text = format!("fatal: [{host}]: {word}! => {}\n", self.values(event, false));
                }
                if event.ignored {
                    text += "...ignoring\n";
                }
                text
            }
            "item_failed" => format!("failed: [{host}] {item} => {}\n", self.values(event, false)),
            "include" => format!("included: {name} for {host}\n"),
            "retry" => {
                let left = event.left.unwrap_or_default();
                format!("FAILED - RETRYING: [{host}]: {name} ({left} retries left).\n")
            }
            "warn" => format!("[WARNING]: {}\n", self.cleaner.name(event.text.as_deref().unwrap_or_default())),
            _ => return None,
        };
        Some(text)
    }

    fn loop_item(&self, event: &Event) -> String {
        let item = event.loop_item.as_deref();
        item.map(|item| format!("(item={})", self.cleaner.name(item))).unwrap_or_default()
    }

    fn play(&mut self, event: &Event, reports: &mut Vec<Report>) {
        let of_play: Option<BTreeSet<&String>> = event.hosts.as_ref().map(|hosts| hosts.iter().collect());
        let title = text::banner(&format!("PLAY [{}]", self.cleaner.name(event.play.as_deref().unwrap_or_default())));
        let mut vms: Vec<u32> = self
            .hosts
            .iter()
            .filter(|(name, _)| of_play.as_ref().is_none_or(|hosts| hosts.contains(name)))
            .map(|(_, vm)| *vm)
            .filter(|vm| !self.position.failures.contains_key(vm))
            .collect();
        vms.sort_unstable();
        for vm in vms {
            self.write(vm, &title, reports);
        }
    }

    fn stats(&mut self, stats: &BTreeMap<String, Stats>, reports: &mut Vec<Report>) {
        for (host, s) in stats {
            let Some(vm) = self.hosts.get(host).copied() else { continue };
            self.position.stats.insert(vm, s.failures == 0 && s.unreachable == 0);
            let counts = format!(
                "{host} : ok={} changed={} unreachable={} failed={} skipped={} rescued={} ignored={}\n",
                s.ok, s.changed, s.unreachable, s.failures, s.skipped, s.rescued, s.ignored
            );
            self.write(vm, &format!("{}{counts}", text::banner("PLAY RECAP")), reports);
        }
    }

    fn values(&self, event: &Event, pretty: bool) -> String {
        self.cleaner.json(&text::values(&event.res, pretty))
    }

    fn message(&self, event: &Event) -> String {
        verdict::failure("", &event.res, &self.cleaner).message
    }

    fn failure(&mut self, vm: u32, task: &str, event: &Event) {
        // The summary of a loop says less than its failed item did.
        if event.looped && self.position.failures.get(&vm).is_some_and(|f| f.task == task) {
            return;
        }
        let mut failure = verdict::failure(task, &event.res, &self.cleaner);
        if event.e == "unreachable" {
            failure.unreachable();
        }
        failure.mitogen = event.mitogen;
        self.position.failures.insert(vm, failure);
    }

    /// Machines where a run with mitogen failed because of mitogen, if it failed: those that could not be reached with it,
    /// those where it broke a task, and all without a result when it broke the whole run.
    #[must_use]
    pub fn mitogen_failed(&self) -> BTreeSet<u32> {
        let Some(end) = self.position.end.as_ref().filter(|end| end.state == "finished") else {
            return BTreeSet::new();
        };
        // Without counts Ansible came to no end: it was killed, met an exception of its own, or says who is to blame.
        let blames = end.rc > 0 && end.tail.contains("mitogen");
        let broke = self.position.stats.is_empty() && (end.rc < 0 || end.rc == UNEXPECTED || blames);
        let failed = |vm: &u32| match self.position.failures.get(vm) {
            Some(failure) => failure.mitogen || failure.code == ErrorCode::Unreachable,
            None => broke,
        };
        self.hosts.values().copied().filter(failed).collect()
    }

    /// Whether the run ended because the recipe has to go task by task.
    #[must_use]
    pub fn needs_lock_step(&self) -> bool {
        let end = self.position.end.as_ref();
        end.is_some_and(|end| end.state == "finished" && end.rc != 0 && end.tail.contains(LOCK_STEP))
    }

    /// The place that Ansible named when it failed for a machine: in the failed task, else when it gave up altogether.
    #[must_use]
    pub fn place_named(&self, vm: u32) -> Option<FilePlace> {
        match self.position.failures.get(&vm) {
            Some(failure) => failure.place.clone(),
            None if self.position.stats.is_empty() => {
                AnsibleAnswer::of_output(&self.position.end.as_ref()?.tail)?.place
            }
            None => None,
        }
    }

    /// The result of each machine once the run ended; none before. `subject` is what the run was about.
    #[must_use]
    pub fn results(&self, subject: &RunSubject) -> Option<BTreeMap<u32, Result<(), VmError>>> {
        let end = self.position.end.as_ref()?;
        let result = |vm: &u32| verdict::result(&self.position, *vm, end, subject);
        Some(self.hosts.values().map(|vm| (*vm, result(vm))).collect())
    }
}
