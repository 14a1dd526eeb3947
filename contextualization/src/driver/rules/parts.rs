//! Who of a lane begins at once, and who waits for machines that come late. What needs all machines waits for them; every
//! other one goes by itself.

use crate::plan::{Files, decide::Lane, recipe::Strategy};
use std::collections::BTreeSet;

/// A lane, or the part of it that some of its machines go through by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The lane with these machines alone.
    pub lane: Lane,
    /// Late machines that it waits for.
    pub waits_for: BTreeSet<u32>,
    /// Why it waits for them, when it is not their own part.
    pub why: Option<&'static str>,
}

/// The parts of a lane: one for the machines that are there, one for each of the `late` ones, or one for all that waits.
#[must_use]
pub fn of_lane(lane: &Lane, late: &BTreeSet<u32>, files: &Files) -> Vec<Part> {
    let runnables = || {
        let playbook = |recipe: &String| files.playbooks.get(&(recipe.clone(), lane.system.clone()));
        lane.recipes.iter().filter_map(playbook).filter_map(|playbook| playbook.as_ref().ok()?.as_ref())
    };
    let all: BTreeSet<u32> = lane.vms.iter().copied().collect();
    let own: BTreeSet<u32> = late.intersection(&all).copied().collect();
    let (waits_for, why) = if runnables().any(|runnable| runnable.looks_at_others) {
        (late.clone(), "looks at other machines")
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

#[cfg(test)]
mod tests {
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
        let parts = of_lane(&lane, &late.iter().copied().collect(), &files);
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
