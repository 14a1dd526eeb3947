//! Documents onto documents: what AddResource and Reconfigure make of the stored one.

use crate::error::{RadlError, Sentence};
use crate::model::{AnsibleHost, Configure, Contextualize, Deploy, NOT_WHOLE, Network, Radl, System};
use crate::{recipes, yaml};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A sentence with an id that is unique in its class.
trait Identified {
    fn id(&self) -> &str;
}

macro_rules! identified {
    ($($class:ty: $field:ident),*) => {$(
        impl Identified for $class {
            fn id(&self) -> &str {
                &self.$field
            }
        }
    )*};
}
identified!(AnsibleHost: id, Network: id, System: name, Configure: name);

/// Ids taken so far, per class.
#[derive(Default)]
pub(crate) struct TakenIds(HashSet<(&'static str, String)>);

impl TakenIds {
    /// Takes an id.
    ///
    /// # Errors
    /// It is taken already.
    pub fn take(&mut self, class: &'static str, id: &str) -> Result<(), RadlError> {
        if self.0.insert((class, id.to_owned())) {
            return Ok(());
        }
        let error = RadlError::plain("Aspect with the same id was found.").about(id);
        Err(error.because(format!("the document has another {class} of this id")))
    }
}

/// Adds the sentences whose id is new.
fn add_new<T: Identified>(class: &mut Vec<T>, added: Vec<T>) {
    let known: HashSet<String> = class.iter().map(|old| old.id().to_owned()).collect();
    class.extend(added.into_iter().filter(|new| !known.contains(new.id())));
}

/// Appends the sentences, in the place of those with their ids.
fn replace<T: Identified>(class: &mut Vec<T>, added: Vec<T>) {
    let ids: HashSet<&str> = added.iter().map(Identified::id).collect();
    class.retain(|old| !ids.contains(old.id()));
    class.extend(added);
}

/// Merges contextualize sentences in order: the longest time; later items and options on top of earlier ones.
pub(crate) fn contextualize(sentences: impl IntoIterator<Item = Contextualize>) -> Option<Contextualize> {
    let mut sentences = sentences.into_iter();
    let mut merged = sentences.next()?;
    let mut items = Vec::new();
    for added in sentences {
        // A time that is no whole number has to reach the check, whatever the other one is.
        merged.max_time = match merged.max_time.min(added.max_time) {
            ..0 => NOT_WHOLE,
            _ => merged.max_time.max(added.max_time),
        };
        merged.options.extend(added.options);
        items.extend(added.items);
    }
    merged.add_items(items);
    Some(merged)
}

/// Merges the sentences of a new document into the stored ones. That an item took another one's place is worth a word
/// within one document only.
fn sections(stored: Option<Contextualize>, added: Option<Contextualize>) -> Option<Contextualize> {
    let sections = [&added, &stored];
    let mut replaced: HashMap<(String, String), Option<i64>> = HashMap::new();
    for item in sections.into_iter().flatten().flat_map(|section| &section.items) {
        replaced.entry((item.system.clone(), item.configure.clone())).or_insert(item.replaced_step);
    }
    let mut merged = contextualize(stored.into_iter().chain(added))?;
    for item in &mut merged.items {
        let pair = (item.system.clone(), item.configure.clone());
        item.replaced_step = replaced.get(&pair).copied().flatten();
    }
    Some(merged)
}

/// What AddResource makes of a new document.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// The new document with its references filled in and the internal helper systems: what is to be launched.
    pub completed: Radl,
    /// The document to be stored from now on.
    pub stored: Radl,
}

/// Name of the internal systems that tie new machines to the provider of a network they share with old ones.
const HELPER: &str = "F0000__FAKE_SYSTEM__";

/// Checks `added`, fills its references in from `stored` and merges it into it. `private_networks` tells the cloud id of
/// each network that is already bound to a provider.
///
/// # Errors
/// A broken rule in one of the documents or in the result, or an unknown reference; nothing changes then.
pub fn add_resource(
    stored: &Radl,
    added: &Radl,
    private_networks: &BTreeMap<String, String>,
) -> Result<Added, RadlError> {
    let told = |error: RadlError| beside(error, added, stored);
    added.check().map_err(told)?;
    let mut completed = added.clone();
    complete(&mut completed.networks, &stored.networks, "network")?;
    complete(&mut completed.systems, &stored.systems, "system")?;
    complete(&mut completed.configures, &stored.configures, "configure")?;
    let definitions = completed.clone();
    add_helpers(&mut completed, private_networks);
    completed.check_all_but_recipes().map_err(told)?;
    let mut result = stored.clone();
    merge(&mut result, definitions);
    result.check_all_but_recipes().map_err(told)?;
    Ok(Added { completed, stored: result })
}

/// What an error means to who sent `added`: the lines of the sentences of `stored` are none of that document, and what
/// it lacks and `stored` has, it only has to refer to.
fn beside(error: RadlError, added: &Radl, stored: &Radl) -> RadlError {
    let (inside, missing) = error.sentences();
    let is_stored = inside.is_some_and(|sentence| sentence.is_defined_in(stored) && !sentence.is_defined_in(added));
    let hint = missing.filter(|sentence| sentence.is_defined_in(stored)).map(|sentence| match sentence.class {
        "ansible" => format!("write the definition of {sentence} into this document, too"),
        _ => format!("the infrastructure has it: refer to it with '{sentence}' in this document"),
    });
    let error = if is_stored { error.stored() } else { error };
    match hint {
        Some(hint) => error.instead(hint),
        None => error,
    }
}

impl Sentence {
    /// Whether a document has the sentence, with its body.
    fn is_defined_in(&self, radl: &Radl) -> bool {
        let is_it = |id: &str| id == self.id;
        match self.class {
            "network" => radl.networks.iter().any(|network| is_it(&network.id) && !network.reference),
            "system" => radl.systems.iter().any(|system| is_it(&system.name) && !system.reference),
            "configure" => radl.configures.iter().any(|configure| is_it(&configure.name) && !configure.reference),
            "ansible" => radl.ansible_hosts.iter().any(|host| is_it(&host.id)),
            _ => false,
        }
    }
}

/// A sentence that may refer to a stored definition.
trait Referable: Identified + Clone {
    fn is_reference(&self) -> bool;
    fn line(&self) -> u32;
}

macro_rules! referable {
    ($($class:ty),*) => {$(
        impl Referable for $class {
            fn is_reference(&self) -> bool {
                self.reference
            }

            fn line(&self) -> u32 {
                self.line
            }
        }
    )*};
}
referable!(Network, System, Configure);

/// Replaces the references by copies of the stored definitions, at the end of the class.
fn complete<T: Referable>(class: &mut Vec<T>, stored: &[T], name: &str) -> Result<(), RadlError> {
    let definitions: HashMap<&str, &T> =
        stored.iter().filter(|known| !known.is_reference()).map(|known| (known.id(), known)).collect();
    let (references, mut complete): (Vec<T>, Vec<T>) = class.drain(..).partition(Referable::is_reference);
    for reference in references {
        let id = reference.id();
        let unknown = || {
            let text = format!("Unknown reference in RADL to <class 'radl.radl.{name}'> '{id}'");
            let why = format!("the infrastructure has no {name} of this id: define it with a body in parentheses");
            RadlError::plain(text).placed(reference.line(), None).because(why)
        };
        complete.push((*definitions.get(id).ok_or_else(unknown)?).clone());
    }
    *class = complete;
    Ok(())
}

/// Whether a system is one of ours, which nobody is told of.
pub(crate) fn is_helper(system: &str) -> bool {
    system.starts_with(HELPER)
}

fn add_helpers(radl: &mut Radl, private_networks: &BTreeMap<String, String>) {
    let bound = radl.networks.iter().filter_map(|network| private_networks.get_key_value(&network.id));
    for (at, (network, cloud)) in bound.enumerate() {
        let name = format!("{HELPER}{at}");
        let mut system = System { name: name.clone(), ..System::default() };
        system.features.set_text("net_interface.0.connection", network);
        radl.systems.push(system);
        radl.deploys.push(Deploy { system: name, number: 0, cloud: Some(cloud.clone()), line: 0 });
    }
}

/// Merges definitions into the stored ones: networks and ansible hosts are never redefined, systems and configures always,
/// and the deploys of the last request that has any are kept.
fn merge(stored: &mut Radl, added: Radl) {
    if added.description.is_some() {
        stored.description = added.description;
    }
    add_new(&mut stored.networks, added.networks);
    add_new(&mut stored.ansible_hosts, added.ansible_hosts);
    replace(&mut stored.systems, added.systems);
    replace(&mut stored.configures, added.configures);
    stored.contextualize = sections(stored.contextualize.take(), added.contextualize);
    if !added.deploys.is_empty() {
        stored.deploys = added.deploys;
    }
}

/// What Reconfigure makes of the stored document: recipes, contextualize, new credentials and applications of known
/// systems are taken from the new one, and nothing else.
///
/// # Errors
/// A recipe that is not YAML, or a broken rule in the result.
pub fn reconfigure(stored: &Radl, new: &Radl) -> Result<Radl, RadlError> {
    let mut result = stored.clone();
    let new_recipes: Vec<Configure> = new.configures.iter().filter(|configure| !configure.reference).cloned().collect();
    for configure in &new_recipes {
        recipes::check_size(configure)?;
        yaml::check(configure.recipe.as_deref().unwrap_or_default()).map_err(|reason| {
            RadlError::plain(format!("Error parsing YAML: {reason} (configure {})", configure.name))
        })?;
    }
    replace(&mut result.configures, new_recipes);
    result.contextualize = sections(result.contextualize.take(), new.contextualize.clone());
    let changes: HashMap<&str, &System> = new.systems.iter().map(|system| (system.name.as_str(), system)).collect();
    for system in &mut result.systems {
        if let Some(change) = changes.get(system.name.as_str()) {
            for key in ["password", "public_key", "private_key"] {
                let name = format!("disk.0.os.credentials.new.{key}");
                if let Some(value) = change.features.get(&name) {
                    system.features.set(&name, value.clone());
                }
            }
            system.replace_applications(change);
        }
    }
    result.check_all_but_recipes().map_err(|error| beside(error, new, stored))?;
    Ok(result)
}

impl Radl {
    /// The document without the internal helper systems and their deploys.
    #[must_use]
    pub fn without_internal(&self) -> Self {
        let mut shown = self.clone();
        shown.systems.retain(|system| !is_helper(&system.name));
        shown.deploys.retain(|deploy| !is_helper(&deploy.system));
        shown
    }
}
