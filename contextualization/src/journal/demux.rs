//! Events of one run to a log and a result per machine. Pure: the same events give the same effects, once.

use super::{
    answer::{Answer, FilePlace},
    event::{Event, Line, Lines, Stats},
    tail::Tail,
    text::{self, Cleaner},
    verdict::{self, Failure, Place},
};
use crate::{
    contract::{Effect, ErrorCode, VmError},
    plan::builtin::INSTALL,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// State of a run whose journal was too long.
pub(super) const FLOODED: &str = "flooded";
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

/// Where the reading of a run's journal stands; kept with the effects, so that nothing is shown twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Bytes of the journal that were read.
    pub offset: u64,
    /// Last event that had its effect.
    pub last_seq: u64,
    /// Lines that were no events.
    pub garbage: u64,
    /// Log bytes written per machine.
    pub written: BTreeMap<u32, usize>,
    /// Of machines whose logs are too long: what is kept for the end of the run.
    pub kept: BTreeMap<u32, Kept>,
    /// Bytes that were added to the log of the infrastructure.
    pub warned: usize,
    /// Last failure per machine.
    pub failures: BTreeMap<u32, Failure>,
    /// Machines whose counts were seen, and whether these are fine.
    pub stats: BTreeMap<u32, bool>,
    /// Machines that came to the end of the recipe.
    pub done: BTreeSet<u32>,
    /// How the run ended.
    pub end: Option<End>,
}

/// The end of a long log, which is told when the run is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where its lines begin in the journal: they are read again from there after a restart.
    pub from: u64,
    /// Bytes between the beginning of the log and what is kept.
    pub left_out: usize,
}

/// End of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Exit status of Ansible.
    pub rc: i64,
    /// `finished`, `cancelled`, `timeout`, `failed`, `lost`, `rebooted`; `flooded` when its journal was too long.
    pub state: String,
    /// Last lines of its output.
    pub tail: String,
}

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
    /// Whether the line at the cursor had its effects before.
    replaying: bool,
    /// Last event that was read again.
    replayed: u64,
    tails: HashMap<u32, Tail>,
    /// Where it stands.
    pub position: Position,
}

fn say(vm: u32, text: &str, effects: &mut Vec<Effect>) {
    match effects.last_mut() {
        Some(Effect::VmLog { vm: last, text: all }) if *last == vm => *all += text,
        _ => effects.push(Effect::VmLog { vm, text: text.to_owned() }),
    }
}

impl Demux {
    /// A demultiplexer for `run` over `hosts` (inventory name to machine), going on at `position`.
    #[must_use]
    pub fn new(run: &str, hosts: HashMap<String, u32>, cleaner: Cleaner, log_max: usize, position: Position) -> Self {
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
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Effect> {
        let mut effects = Vec::new();
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
                        self.event(&event, &mut effects);
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
            self.tell_tails(&mut effects);
        }
        effects
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
    fn write(&mut self, vm: u32, text: &str, effects: &mut Vec<Effect>) {
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
            return say(vm, text, effects);
        }
        let kept = self.position.kept.entry(vm).or_insert_with(|| {
            say(vm, LONG, effects);
            Kept::default()
        });
        let tail = self.tails.entry(vm).or_default();
        kept.left_out += tail.push(self.cursor, text, limit);
        kept.from = tail.begins().unwrap_or(self.cursor);
    }

    /// Adds a line to the log of the infrastructure, which has room for so many.
    fn warn(&mut self, line: String, effects: &mut Vec<Effect>) {
        let had_room = self.position.warned < WARNINGS;
        self.position.warned += line.len();
        if self.position.warned < WARNINGS {
            effects.push(Effect::InfrastructureLog(line));
        } else if had_room {
            let line = "WARNING: further lines of this run are left out: they are in the logs of the machines.";
            effects.push(Effect::InfrastructureLog(line.to_owned()));
        }
    }

    /// The ends of long logs, once.
    fn tell_tails(&mut self, effects: &mut Vec<Effect>) {
        for (vm, kept) in std::mem::take(&mut self.position.kept) {
            let tail = self.tails.remove(&vm).unwrap_or_default().text();
            if kept.left_out > 0 {
                say(vm, &format!("... {} bytes are left out ...\n", kept.left_out), effects);
            }
            say(vm, &tail, effects);
        }
    }

    fn event(&mut self, event: &Event, effects: &mut Vec<Effect>) {
        let name = self.cleaner.name(event.name.as_deref().unwrap_or_default());
        match event.e.as_str() {
            "play" => self.play(event, effects),
            "stats" => self.stats(&event.stats, effects),
            "run_end" => {
                let lines: Vec<&str> = event.tail.lines().collect();
                let last = lines.iter().skip(lines.len().saturating_sub(TAIL));
                let tail: Vec<String> = last.map(|line| self.cleaner.name(line)).collect();
                let tail = text::shortened(&tail.join("\n"), TAIL_BYTES).into_owned();
                self.position.end = Some(End { rc: event.rc, state: event.state.clone(), tail });
            }
            kind => {
                let Some(vm) = self.vm(event.host.as_ref()) else { return };
                // The name is one of ours: it was found in the inventory.
                let host = event.host.as_deref().unwrap_or_default();
                let item = event.loop_item.as_deref().map(|i| format!("(item={})", self.cleaner.name(i)));
                let item = item.unwrap_or_default();
                let changed = event.res.get("changed").and_then(Value::as_bool).unwrap_or(false);
                let word = if changed { "changed" } else { "ok" };
                let text = match kind {
                    "done" => {
                        self.position.done.insert(vm);
                        return;
                    }
                    "host_start" => {
                        let title = if event.handler { "RUNNING HANDLER" } else { "TASK" };
                        format!("{}{}", text::banner(&format!("{title} [{name}]")), text::moment(event.ts))
                    }
                    "ok" if event.looped => return,
                    "ok" if event.verbose => format!("{word}: [{host}] => {}\n", self.values(event, true)),
                    "ok" => format!("{word}: [{host}]\n"),
                    "item_ok" if event.verbose => {
                        format!("{word}: [{host}] => {item} => {}\n", self.values(event, true))
                    }
                    "item_ok" => format!("{word}: [{host}] => {item}\n"),
                    "skipped" if event.looped => return,
                    "skipped" => format!("skipping: [{host}]\n"),
                    "item_skipped" => format!("skipping: [{host}] => {item} \n"),
                    "failed" | "unreachable" => {
                        let word = if kind == "failed" { "FAILED" } else { "UNREACHABLE" };
                        let mut text = format!("fatal: [{host}]: {word}! => {}\n", self.values(event, false));
                        if event.looped {
                            text.clear();
                        }
                        if event.ignored {
                            text += "...ignoring\n";
                        } else {
                            self.failure(vm, kind, &name, event);
                        }
                        text
                    }
                    "item_failed" => {
                        if name == INSTALL {
                            let reason = self.message(event);
                            let line = format!("WARNING: VM {vm}: an application was not installed {item}: {reason}");
                            self.warn(line, effects);
                        }
                        self.failure(vm, kind, &name, event);
                        format!("failed: [{host}] {item} => {}\n", self.values(event, false))
                    }
                    "include" => format!("included: {name} for {host}\n"),
                    "retry" => {
                        let left = event.left.unwrap_or_default();
                        format!("FAILED - RETRYING: [{host}]: {name} ({left} retries left).\n")
                    }
                    "warn" => {
                        let text = self.cleaner.name(event.text.as_deref().unwrap_or_default());
                        format!("[WARNING]: {text}\n")
                    }
                    _ => return,
                };
                self.write(vm, &text, effects);
            }
        }
    }

    fn play(&mut self, event: &Event, effects: &mut Vec<Effect>) {
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
            self.write(vm, &title, effects);
        }
    }

    fn stats(&mut self, stats: &BTreeMap<String, Stats>, effects: &mut Vec<Effect>) {
        for (host, s) in stats {
            let Some(vm) = self.hosts.get(host).copied() else { continue };
            self.position.stats.insert(vm, s.failures == 0 && s.unreachable == 0);
            let counts = format!(
                "{host} : ok={} changed={} unreachable={} failed={} skipped={} rescued={} ignored={}\n",
                s.ok, s.changed, s.unreachable, s.failures, s.skipped, s.rescued, s.ignored
            );
            self.write(vm, &format!("{}{counts}", text::banner("PLAY RECAP")), effects);
        }
    }

    fn values(&self, event: &Event, pretty: bool) -> String {
        self.cleaner.json(&text::values(&event.res, pretty))
    }

    fn message(&self, event: &Event) -> String {
        verdict::failure("", &event.res, &self.cleaner).message
    }

    fn failure(&mut self, vm: u32, kind: &str, task: &str, event: &Event) {
        // The summary of a loop says less than its failed item did.
        if event.looped && self.position.failures.get(&vm).is_some_and(|f| f.task == task) {
            return;
        }
        let mut failure = verdict::failure(task, &event.res, &self.cleaner);
        if kind == "unreachable" {
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
            None if self.position.stats.is_empty() => Answer::of_output(&self.position.end.as_ref()?.tail)?.place,
            None => None,
        }
    }

    /// The result of each machine once the run ended; none before. `place` is where the run belongs.
    #[must_use]
    pub fn results(&self, place: &Place) -> Option<BTreeMap<u32, Result<(), VmError>>> {
        let end = self.position.end.as_ref()?;
        let result = |vm: &u32| verdict::result(&self.position, *vm, end, place);
        Some(self.hosts.values().map(|vm| (*vm, result(vm))).collect())
    }
}
