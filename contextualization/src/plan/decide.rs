//! Deciding: is there anything to do, for which machines, and in which steps (docs/spec/contextualization.md 1.3, 1.4).

use crate::{access::master::switches_off, contract::VmFacts};
use indexmap::IndexMap;
use radl::{Configure, ContextualizeItem, Radl, Tool};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether Ansible runs at all.
    pub enabled: bool,
    /// The machines that take part.
    pub participants: BTreeSet<u32>,
    /// Machines whose system was switched off with `configure SYSTEM ()`.
    pub switched_off: BTreeSet<u32>,
    /// User steps in ascending order, without empty ones.
    pub steps: BTreeMap<i64, Vec<Lane>>,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// Recipes of one system in one step: one after the other, beside the lanes of other systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The system.
    pub system: String,
    /// Its machines.
    pub vms: Vec<u32>,
    /// Names of the configures, in order.
    pub recipes: Vec<String>,
}

/// Name of the system a machine was made from; empty when the facts hold none.
#[must_use]
pub fn system_of(vm: &VmFacts) -> &str {
    vm.info.systems.first().map_or("", |s| &s.name)
}

/// Whether the machine runs Windows.
#[must_use]
pub fn is_windows(vm: &VmFacts) -> bool {
    let os = vm.info.systems.first().and_then(|s| s.features.text("disk.0.os.name"));
    os.is_some_and(|os| os.eq_ignore_ascii_case("windows"))
}

/// Option of the contextualize section that says how hosts of a recipe advance.
pub const STRATEGY: &str = "ctxt_strategy";

fn is_ansible(item: &ContextualizeItem) -> bool {
    item.tool() == Some(Tool::Ansible)
}

/// Warnings on options of the contextualize section.
fn option_notes(radl: &Radl) -> Vec<String> {
    let options = radl.contextualize.iter().flat_map(|section| &section.options);
    let note = |(name, _): (&String, &radl::Value)| {
        let value = option(radl, name);
        match name.as_str() {
            STRATEGY if !matches!(value, Some("auto" | "free" | "linear" | "per_vm" | "mitogen")) => Some(format!(
                "WARNING: option {STRATEGY}: '{}' is none of auto, free, linear, per_vm, mitogen: auto is used.",
                value.unwrap_or("(not a text)")
            )),
            _ => None,
        }
    };
    options.filter_map(note).collect()
}

/// The text of an option of the contextualize section.
#[must_use]
pub fn option<'a>(radl: &'a Radl, name: &str) -> Option<&'a str> {
    match radl.contextualize.as_ref()?.options.get(name)? {
        radl::Value::Text { text, .. } => Some(text),
        _ => None,
    }
}

/// Whether the contextualize section lets Ansible run at all, whatever machines there are.
#[must_use]
pub fn runs_ansible(radl: &Radl) -> bool {
    let Some(section) = &radl.contextualize else { return true };
    if section.items.is_empty() { !section.options.is_empty() } else { section.items.iter().any(is_ansible) }
}

/// Decides; `selected` are the machines whose user steps run (none: all).
#[must_use]
pub fn decide(radl: &Radl, vms: &[VmFacts], selected: Option<&BTreeSet<u32>>) -> Decision {
    let mut decision = Decision::default();
    let configures: HashMap<&str, &Configure> =
        radl.configures.iter().map(|configure| (configure.name.as_str(), configure)).collect();
    for vm in vms {
        let on = !configures.get(system_of(vm)).is_some_and(|configure| switches_off(configure));
        let side = if on { &mut decision.participants } else { &mut decision.switched_off };
        side.insert(vm.id);
    }
    if !runs_ansible(radl) {
        return decision;
    }
    let has_items = radl.contextualize.as_ref().is_some_and(|section| !section.items.is_empty());
    if radl.contextualize.is_some() && !has_items {
        decision.notes.push("The contextualize section has options only: the default items are used.".to_owned());
    }
    decision.enabled = !decision.participants.is_empty();
    if !decision.enabled {
        return decision;
    }
    decision.notes.extend(option_notes(radl));
    let items = if has_items { wanted_items(radl, &mut decision.notes) } else { default_items(vms, &configures) };
    add_lanes(&mut decision, items, (vms, selected), &configures);
    if option(radl, STRATEGY) == Some("per_vm") {
        for lanes in decision.steps.values_mut() {
            let each = |lane: &Lane| {
                let lane = lane.clone();
                lane.vms.clone().into_iter().map(move |vm| Lane { vms: vec![vm], ..lane.clone() })
            };
            *lanes = lanes.iter().flat_map(each).collect();
        }
    }
    decision
}

/// What is to be configured: the step of each pair of a system and a configure, in order.
type Items<'a> = IndexMap<(&'a str, &'a str), i64>;

/// The items of the contextualize section.
fn wanted_items<'a>(radl: &'a Radl, notes: &mut Vec<String>) -> Items<'a> {
    let mut items = Items::new();
    for item in radl.contextualize.iter().flat_map(|section| &section.items).filter(|item| is_ansible(item)) {
        items.insert((&item.system, &item.configure), item.step);
        if item.replaced_step.is_some() {
            let (s, c, n) = (&item.system, &item.configure, item.step);
            notes.push(format!("WARNING: configure {c} of system {s} is given twice: step {n} is used."));
        }
    }
    items
}

/// Without such items: the configure of each system that has the name of the system.
fn default_items<'a>(vms: &'a [VmFacts], configures: &HashMap<&str, &Configure>) -> Items<'a> {
    let has_recipe = |system: &&str| configures.get(system).is_some_and(|configure| configure.recipe.is_some());
    vms.iter().map(system_of).filter(has_recipe).map(|system| ((system, system), 1)).collect()
}

/// Puts the items into the lanes of their systems, for the machines that take part and are selected.
fn add_lanes(
    decision: &mut Decision,
    items: Items<'_>,
    (vms, selected): (&[VmFacts], Option<&BTreeSet<u32>>),
    configures: &HashMap<&str, &Configure>,
) {
    let mut members: HashMap<&str, Vec<u32>> = HashMap::new();
    for vm in vms {
        if decision.participants.contains(&vm.id) && selected.is_none_or(|selected| selected.contains(&vm.id)) {
            members.entry(system_of(vm)).or_default().push(vm.id);
        }
    }
    let mut lane_of: HashMap<(i64, &str), usize> = HashMap::new();
    for ((system, configure), step) in items {
        let Some(members) = members.get(system) else { continue };
        let recipe = configures.get(configure).and_then(|c| c.recipe.as_deref());
        if recipe.is_none_or(|recipe| recipe.trim().is_empty()) {
            decision.notes.push(format!("The configure {configure} is empty: nothing to run for system {system}."));
            continue;
        }
        let lanes = decision.steps.entry(step).or_default();
        let lane = *lane_of.entry((step, system)).or_insert(lanes.len());
        match lanes.get_mut(lane) {
            Some(lane) => lane.recipes.push(configure.to_owned()),
            None => {
                let (system, recipes) = (system.to_owned(), vec![configure.to_owned()]);
                lanes.push(Lane { system, vms: members.clone(), recipes });
            }
        }
    }
}
