//! The rules under histories by chance: runs that end in every way, lost runners and masters, daemons that die, machines that
//! come late or go.
#![allow(clippy::unwrap_used)]

use super::{
    item::Item,
    key::ItemKey,
    next::{Circumstances, Ended, Step, next},
    parts,
    progress::{HostRecord, Progress},
};
use crate::{
    contract::{ErrorCode, Report, VmError},
    plan::{Files, Runnable, carrier::Carrier, control::ControlNode, decide::Lane, recipe::Strategy},
};
use proptest::{prelude::*, test_runner::TestCaseError};
use radl::Radl;
use std::collections::{BTreeMap, BTreeSet};

type Checked<T> = Result<T, TestCaseError>;

/// Steps of one item that no history needs.
const TOO_MANY: usize = 100;

/// What ends a life of the daemon, or of its master.
enum Interruption {
    /// The daemon dies and another one goes on.
    Restart,
    /// The master is lost.
    MasterLost,
    /// The job ends: it is cancelled, or its time is over.
    End,
}

/// Chance that can be repeated: numbers that were drawn before, then always the same one.
struct Chance {
    drawn: std::vec::IntoIter<u8>,
    then: u8,
}

impl Chance {
    /// A number below `n`; 0 is what goes well.
    fn below(&mut self, n: u8) -> u8 {
        self.drawn.next().unwrap_or(self.then) % n
    }

    /// Something rare, which numbers that were drawn decide alone: a history ends some time.
    fn event(&mut self) -> u8 {
        self.drawn.next().map_or(0, |drawn| drawn % 32)
    }
}

struct History {
    chance: Chance,
    control: ControlNode,
    steps: BTreeMap<i64, Vec<Lane>>,
    files: Files,
    late: BTreeSet<u32>,
    live: BTreeSet<u32>,
    retries: u32,
    salt: u32,
    progress: Progress,
    /// Recipes that ended well, by machine.
    done: BTreeSet<(ItemKey, u32)>,
    /// Runs that began, by item and attempt.
    begun: BTreeMap<(ItemKey, u32), usize>,
    /// Machines whose result was told.
    told: BTreeSet<u32>,
}

fn host(vm: u32, control: &ControlNode) -> HostRecord {
    HostRecord {
        name: format!("10.0.0.{vm}_{vm}"),
        address: format!("10.0.0.{vm}"),
        port: 22,
        user: "root".to_owned(),
        python: Some("/usr/bin/python3".to_owned()),
        sudo_asks: false,
        key: None,
        proxy: None,
        windows: false,
        control: control.clone(),
    }
}

impl History {
    /// A document by chance: up to five machines of two systems, up to three steps, and who comes late.
    fn new(drawn: Vec<u8>, then: u8) -> Self {
        let mut chance = Chance { drawn: drawn.into_iter(), then };
        let live: BTreeSet<u32> = (0..=u32::from(chance.below(5))).collect();
        let late = live.iter().copied().filter(|vm| *vm > 0 && chance.below(3) == 1).collect();
        let (ones, others): (Vec<u32>, Vec<u32>) = live.iter().copied().partition(|_| chance.below(2) == 0);
        let (mut steps, mut files) = (BTreeMap::new(), Files::default());
        for step in 1..=i64::from(chance.below(3)) + 1 {
            let mut lanes = Vec::new();
            for (system, vms) in [("one", &ones), ("other", &others)] {
                let recipes: Vec<String> = (0..=chance.below(2)).map(|n| format!("r{step}.{n}")).collect();
                for recipe in &recipes {
                    let mut runnable = Runnable::built_in(&Radl::default(), recipe);
                    runnable.carrier = [Carrier::Mitogen, Carrier::Plain][usize::from(chance.below(2))];
                    runnable.strategy = [Strategy::Free, Strategy::Linear][usize::from(chance.below(5) / 4)];
                    runnable.looks_at_others = chance.below(5) == 4;
                    files.playbooks.insert((recipe.clone(), system.to_owned()), Ok(Some(runnable)));
                }
                if !vms.is_empty() {
                    lanes.push(Lane { system: system.to_owned(), vms: vms.clone(), recipes });
                }
            }
            steps.insert(step, lanes);
        }
        let retries = u32::from(chance.below(3)) + 1;
        Self {
            chance,
            control: ControlNode::Vm(0),
            steps,
            files,
            late,
            live,
            retries,
            salt: 0,
            progress: Progress::default(),
            done: BTreeSet::new(),
            begun: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// From the first life to the last one.
    fn play(mut self) -> Checked<()> {
        // Interruptions come from numbers that were drawn, so there are no more of them.
        for _ in 0..1000 {
            match self.life()? {
                None => return self.judge(),
                Some(Interruption::End) => return Ok(()),
                Some(Interruption::Restart) => {
                    let stored = serde_json::to_string(&self.progress).unwrap();
                    self.progress = serde_json::from_str(&stored).unwrap();
                }
                Some(Interruption::MasterLost) if self.progress.may_redo() => self.progress.redo(),
                Some(Interruption::MasterLost) => return Ok(()),
            }
        }
        Err(TestCaseError::fail("it does not end"))
    }

    /// What the driver does between two interruptions.
    fn life(&mut self) -> Checked<Option<Interruption>> {
        let mut coming: Vec<u32> = self.late.iter().copied().collect();
        let there: Vec<u32> = self.live.difference(&self.late).copied().collect();
        self.progress.hosts.extend(there.iter().map(|vm| (*vm, host(*vm, &self.control))));
        let mut basic = Item::built_in(&Radl::default(), false, there.clone(), None);
        if self.late.is_empty()
            && let Some((step, lanes)) = self.steps.first_key_value()
        {
            let lane = lanes.iter().find(|lane| lane.vms == there);
            basic.next = lane.map(|lane| Box::new(self.recipe(*step, lane, &lane.recipes[0])));
        }
        if let Some(interruption) = self.run(&basic)? {
            return Ok(Some(interruption));
        }
        for (step, lanes) in self.steps.clone() {
            let mut parts: Vec<parts::Part> =
                lanes.iter().flat_map(|lane| parts::of_lane(lane, &self.late, &self.files)).collect();
            for vm in lanes.iter().flat_map(|lane| &lane.vms) {
                let own = parts.iter().filter(|part| part.lane.vms.contains(vm)).count();
                prop_assert_eq!(own, 1, "machine {} in step {}", vm, step);
            }
            while !parts.is_empty() {
                let may_begin = |part: &parts::Part| part.waits_for.iter().all(|vm| !coming.contains(vm));
                let able: Vec<usize> = (0..parts.len()).filter(|at| may_begin(&parts[*at])).collect();
                if able.is_empty() || !coming.is_empty() && self.chance.below(4) == 3 {
                    let vm = coming.remove(usize::from(self.chance.below(coming.len() as u8)));
                    if let Some(interruption) = self.arrive(vm)? {
                        return Ok(Some(interruption));
                    }
                    continue;
                }
                let part = parts.remove(able[usize::from(self.chance.below(able.len() as u8))]);
                for recipe in &part.lane.recipes {
                    let item = self.recipe(step, &part.lane, recipe);
                    if let Some(interruption) = self.run(&item)? {
                        return Ok(Some(interruption));
                    }
                }
            }
        }
        while let Some(vm) = coming.pop() {
            if let Some(interruption) = self.arrive(vm)? {
                return Ok(Some(interruption));
            }
        }
        Ok(None)
    }

    /// A late machine can be reached, or never will.
    fn arrive(&mut self, vm: u32) -> Checked<Option<Interruption>> {
        let is_known = self.progress.hosts.contains_key(&vm);
        if self.progress.results.contains_key(&vm) || !is_known && !self.live.contains(&vm) {
            return Ok(None);
        }
        if !is_known && self.chance.below(5) == 4 {
            let error = VmError::new(ErrorCode::SshTimeout, "access", "no answer");
            self.tell(vm)?;
            self.progress.results.insert(vm, Some(error));
            return Ok(None);
        }
        self.progress.hosts.insert(vm, host(vm, &self.control));
        self.run(&Item::built_in(&Radl::default(), false, vec![vm], Some(vm)))
    }

    fn recipe(&self, step: i64, lane: &Lane, recipe: &str) -> Item {
        let playbook = self.files.playbooks[&(recipe.to_owned(), lane.system.clone())].as_ref().unwrap();
        let marks = lane.vms.iter().map(|vm| (*vm, format!("{recipe} {vm}"))).collect();
        Item::recipe(step, lane, recipe, playbook.as_ref().unwrap(), marks)
    }

    fn tell(&mut self, vm: u32) -> Checked<()> {
        prop_assert!(self.told.insert(vm), "machine {} has a second result", vm);
        Ok(())
    }

    /// What the shell does with an item.
    fn run(&mut self, item: &Item) -> Checked<Option<Interruption>> {
        let (mut ended, mut time_is_over) = (None, false);
        for _ in 0..TOO_MANY {
            match self.chance.event() {
                1 => return Ok(Some(Interruption::Restart)),
                2 => return Ok(Some(Interruption::MasterLost)),
                3 => return Ok(Some(Interruption::End)),
                4 => time_is_over = true,
                5 => {
                    // The master is never the one that goes.
                    let last = self.live.last().copied().filter(|vm| *vm > 0);
                    last.map(|vm| self.live.remove(&vm));
                }
                _ => {}
            }
            self.salt += 1;
            let now = Circumstances {
                control: &self.control,
                has_mitogen: true,
                live: &self.live,
                generation: 1,
                retries: self.retries,
                time_is_over,
                salt: self.salt,
            };
            let ahead = self.progress.ahead.get(&item.key).cloned();
            let step = next(item, &self.progress, ended.take(), &now);
            step.apply(item, &mut self.progress);
            for report in step.record().map(|record| record.reports.clone()).unwrap_or_default() {
                if let Report::VmResult { vm, .. } = report {
                    self.tell(vm)?;
                }
            }
            let run = match step {
                Step::Nothing => return Ok(None),
                Step::Late => return Ok(Some(Interruption::End)),
                Step::Finish(record) => {
                    self.done.extend(record.done.into_iter().map(|vm| (item.key.clone(), vm)));
                    return Ok(None);
                }
                Step::Listen(run) => run,
                Step::Run { record, run, .. } => {
                    self.done.extend(record.done.into_iter().map(|vm| (item.key.clone(), vm)));
                    prop_assert!(!run.hosts.is_empty(), "a run for nobody");
                    prop_assert!(ahead.is_none_or(|ahead| ahead == run.run), "a run that goes on is begun again");
                    let repeated = run.hosts.values().find(|vm| self.done.contains(&(item.key.clone(), **vm)));
                    prop_assert!(item.key.is_built_in() || repeated.is_none(), "{} again on {:?}", item.key, repeated);
                    let failed = run.hosts.values().find(|vm| self.progress.results.contains_key(vm));
                    prop_assert!(failed.is_none(), "{} on {:?}, which failed", item.key, failed);
                    prop_assert!(run.attempt <= self.retries.max(2), "attempt {} of {}", run.attempt, item.key);
                    let runs = self.begun.entry((item.key.clone(), run.attempt)).or_default();
                    *runs += 1;
                    // The built-in playbook begins again with every master.
                    prop_assert!(*runs <= 3 || item.key.is_built_in(), "attempt {} of {}", run.attempt, item.key);
                    run
                }
            };
            ended = Some(self.outcome(&run.hosts.values().copied().collect(), run.carrier, run.strategy));
        }
        Err(TestCaseError::fail(format!("{} does not end", item.key)))
    }

    /// How a run ends.
    fn outcome(&mut self, vms: &BTreeSet<u32>, carrier: Carrier, strategy: Strategy) -> Ended {
        let failed = |code| Err(VmError::new(code, "step 1", "failed"));
        let all = |code| vms.iter().map(|vm| (*vm, failed(code))).collect();
        match self.chance.below(8) {
            5 => Ended { results: all(ErrorCode::RunnerLost), ..Ended::default() },
            6 if carrier == Carrier::Mitogen => {
                Ended { results: all(ErrorCode::Unreachable), mitogen_failed: vms.clone(), needs_lock_step: false }
            }
            7 if strategy == Strategy::Free => {
                Ended { results: all(ErrorCode::RecipeInvalid), needs_lock_step: true, ..Ended::default() }
            }
            _ => {
                let mut one = |vm: &u32| match self.chance.below(6) {
                    4 => (*vm, failed(ErrorCode::TaskFailed)),
                    5 => (*vm, failed(ErrorCode::RoleInstall)),
                    _ => (*vm, Ok(())),
                };
                Ended { results: vms.iter().map(&mut one).collect(), ..Ended::default() }
            }
        }
    }

    /// At the end every machine that exists has failed, or has all its recipes done, whenever it came.
    fn judge(self) -> Checked<()> {
        prop_assert!(self.progress.open.is_empty());
        for (step, lanes) in &self.steps {
            for part in lanes.iter().flat_map(|lane| parts::of_lane(lane, &self.late, &self.files)) {
                for recipe in &part.lane.recipes {
                    let key = self.recipe(*step, &part.lane, recipe).key;
                    prop_assert!(self.progress.finished.contains(&key), "{}", key);
                    for vm in part.lane.vms.iter().filter(|vm| self.live.contains(vm)) {
                        let is_done = self.done.contains(&(key.clone(), *vm));
                        prop_assert!(is_done || self.progress.results.contains_key(vm), "{} on {}", key, vm);
                    }
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_history_ends_well(drawn in prop::collection::vec(any::<u8>(), 0..400), then: u8) {
        History::new(drawn, then).play()?;
    }
}

/// Progress that a former version stored: the runs under way are gone on with, what is finished is not done again.
#[test]
fn what_a_former_version_stored_is_gone_on_with() {
    let stored: serde_json::Value = serde_json::from_str(include_str!("former_progress.json")).unwrap();
    let progress: Progress = serde_json::from_value(stored.clone()).unwrap();
    let live = BTreeSet::from([0, 1, 2]);
    let now = Circumstances {
        control: &ControlNode::Vm(0),
        has_mitogen: true,
        live: &live,
        generation: 7,
        retries: 3,
        time_is_over: false,
        salt: 1,
    };
    let playbook = Runnable::built_in(&Radl::default(), "p.yml");
    let item = |step, system: &str, vms: &[u32], recipe: &str| {
        let lane = Lane { system: system.to_owned(), vms: vms.to_vec(), recipes: vec![recipe.to_owned()] };
        let marks = vms.iter().map(|vm| (*vm, format!("{vm:032x}"))).collect();
        Item::recipe(step, &lane, recipe, &playbook, marks)
    };
    let basic = Item::built_in(&Radl::default(), false, vec![0, 1], None);
    let late = Item::built_in(&Radl::default(), false, vec![2], Some(2));
    for finished in [basic, late, item(1, "my.web", &[0, 1], "front.1")] {
        assert!(matches!(next(&finished, &progress, None, &now), Step::Nothing), "{}", finished.key);
    }
    let open = item(2, "my.web", &[0, 1], "back");
    let Step::Listen(run) = next(&open, &progress, None, &now) else { panic!("it begins again") };
    assert_eq!((run.run.as_str(), run.attempt, run.carrier), ("7-2.my.web.all.back-2-0badcafe", 2, Carrier::Mitogen));
    assert_eq!((run.position.offset, run.position.failures[&1].code), (4096, ErrorCode::TaskFailed));
    // Machine 0 is done with it: the next attempt is for machine 1 alone.
    assert_eq!(progress.waiting(&open), BTreeSet::from([1]));
    let Step::Run { run, .. } = next(&item(3, "db", &[2], "data"), &progress, None, &now) else {
        panic!("it does not begin")
    };
    assert_eq!(
        (run.run.as_str(), run.attempt),
        ("7-3.db.2.data-1-00c0ffee", 1),
        "the run that went ahead is taken over"
    );
    // What this version stores of it a third one reads.
    let again: Progress = serde_json::from_value(serde_json::to_value(&progress).unwrap()).unwrap();
    assert_eq!(again.finished, progress.finished);
}
