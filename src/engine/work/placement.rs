//! Choosing a cloud for every machine of a document (docs/spec/radl.md 16): candidates of each cloud, their scores, groups of
//! machines that must stay together, and the best cloud for each group.

use crate::engine::{
    error::OperationError,
    keeper::handle::Handle,
    services::Services,
    settings::EngineSettings,
    state::{
        accounts::{Accounts, is_in_cloud},
        model::{CloudRef, Infrastructure, Vm, WorkKind},
    },
    transitions::{Event, Placement, PlannedVm},
    work::admission,
};
use connectors::{CloudAccount, Connector, VmUid, account_name};
use radl::{
    Amount, Conflict, Constraint, Deploy, Features, Operator, Radl, RadlError, System, Value,
    placement::{self, Scores},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// An image's name is told up to this many characters.
const TOLD: usize = 200;

/// A cloud of the caller.
struct Cloud {
    account: CloudAccount,
    connector: Arc<dyn Connector>,
}

/// The caller's clouds: those that can be used, and the others by id with the reason.
#[derive(Default)]
struct Clouds {
    usable: Vec<Cloud>,
    unusable: Vec<(String, String)>,
}

/// Candidates of one system: the best of each cloud, and why others have none.
#[derive(Default)]
struct Candidates {
    best: HashMap<String, (System, f64)>,
    why_not: Vec<(String, String)>,
}

impl Candidates {
    /// Why a system has no machine in a cloud: what the cloud said, else the image that was asked for.
    fn missing(&self, requested: &System, cloud_id: &str) -> String {
        let mut text = format!("Error, no concrete system to deploy: {} in cloud: {cloud_id}. ", requested.name);
        let whys: Vec<&str> =
            self.why_not.iter().filter(|(cloud, _)| cloud == cloud_id).map(|(_, why)| why.as_str()).collect();
        if !whys.is_empty() {
            text.push_str(&whys.join("; "));
            return text;
        }
        text.push_str("Check if a correct image is being used");
        if let Some(image) = requested.features.value_json("disk.0.image.url") {
            // The reason is kept with each machine.
            let image = image.as_str().map_or_else(|| image.to_string(), str::to_owned);
            let image: String = image.chars().take(TOLD).collect();
            text.push_str(&format!(" (disk.0.image.url is {image})"));
        }
        text
    }
}

/// Chooses the clouds of a work that was accepted before, and reports.
pub async fn place_work(services: Arc<Services>, handle: Handle, model: Arc<Infrastructure>, work: u64) {
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    let Some(WorkKind::Placing { document, accounts, .. }) = kind else { return };
    // Work that an earlier version accepted has none of its own.
    let kept = model.accounts.as_ref().filter(|_| accounts.is_empty());
    let result = choose(&services, &model, document, kept.unwrap_or(accounts)).await.map_err(|error| error.to_string());
    handle.report(Event::Placed { work, result });
}

/// Plans the machines of a document for an infrastructure. Nothing is changed anywhere.
///
/// # Errors
/// A document that does not fit the stored one, no cloud, no image, clouds that contradict each other.
pub async fn choose(
    services: &Services,
    model: &Infrastructure,
    document: &Radl,
    accounts: &Accounts,
) -> Result<Placement, OperationError> {
    let invalid = |text: String| OperationError::Invalid(text);
    let added = radl::merge::add_resource(&model.radl, document, &model.private_networks)?;
    if added.completed.deploys.iter().all(|deploy| deploy.number <= 0) {
        return Ok(Placement::default());
    }
    admission::admit_added(&services.settings, &added)?;
    let completed = added.completed;
    let Clouds { usable: clouds, unusable } = clouds(services, accounts);
    let wanted: BTreeSet<&str> =
        completed.deploys.iter().filter(|d| d.number > 0).map(|deploy| deploy.system.as_str()).collect();
    let mut candidates: BTreeMap<&str, Candidates> = BTreeMap::new();
    for system in completed.systems.iter().filter(|system| wanted.contains(system.name.as_str())) {
        candidates.insert(&system.name, of_system(services, &clouds, system).await?);
    }
    let order: Vec<String> = clouds.iter().map(|cloud| cloud.account.id.clone()).collect();
    let mut scores = Scores::new();
    for (name, found) in &candidates {
        for (cloud, (_, score)) in &found.best {
            scores.entry(cloud.clone()).or_default().insert((*name).to_owned(), *score);
        }
    }
    let mut chosen = Vec::new();
    for group in placement::deploy_groups(&completed) {
        let cloud = placement::choose_provider(&group, &order, &scores).map_err(|error| {
            let named = |id: &String| group.iter().any(|deploy| deploy.cloud.as_ref() == Some(id));
            let concerned = unusable.iter().filter(|(id, _)| order.is_empty() || named(id));
            let details: Vec<&str> = concerned.map(|(_, why)| why.as_str()).collect();
            let separator = if details.is_empty() { "" } else { ": " };
            invalid(format!("{}{separator}{}", error.explained(), details.join("; ")))
        })?;
        if let Some(cloud) = clouds.iter().find(|candidate| candidate.account.id == *cloud) {
            check_networks(model, &completed, &group, &cloud.account)?;
        }
        chosen.push((group, cloud.to_owned()));
    }
    Ok(plan(&completed, &clouds, &candidates, &chosen))
}

fn clouds(services: &Services, accounts: &Accounts) -> Clouds {
    let mut clouds = Clouds::default();
    for account in accounts.iter().cloned() {
        match services.registry.connector(&account) {
            Ok(connector) => clouds.usable.push(Cloud { account, connector }),
            Err(error) => clouds.unusable.push((account.id, error.message)),
        }
    }
    clouds
}

/// Refuses to make machines on a private network that lies in another account of the cloud: they would not see the others.
fn check_networks(
    model: &Infrastructure,
    completed: &Radl,
    group: &[Deploy],
    account: &CloudAccount,
) -> Result<(), OperationError> {
    let connected = group.iter().filter_map(|deploy| completed.system(&deploy.system)).flat_map(System::interfaces);
    let bound = |network: &str| model.private_networks.get(network).is_some_and(|cloud| *cloud == account.id);
    let Some(network) = connected.map(|interface| interface.connection).find(|network| bound(network)) else {
        return Ok(());
    };
    let name = account_name(account);
    let made_by = |vm: &Arc<Vm>| {
        vm.cloud.account.clone().filter(|made_by| vm.cloud.id == account.id && Some(made_by) != name.as_ref())
    };
    match model.vms.iter().filter(|vm| is_in_cloud(vm)).find_map(made_by) {
        None => Ok(()),
        Some(other) => Err(OperationError::Invalid(format!(
            "The network {network} is in the account '{other}' of the cloud {}: give the credentials of that one.",
            account.id
        ))),
    }
}

async fn of_system(services: &Services, clouds: &[Cloud], system: &System) -> Result<Candidates, OperationError> {
    let base = with_defaults(system, &services.settings);
    let has_image = base.features.has("disk.0.image.url");
    let mut found = Candidates::default();
    // Where no cloud has images, none can be missing: machines that exist already have theirs.
    let has_images = |cloud: &Cloud| cloud.connector.capabilities().images;
    let mut any_image = has_image || !clouds.iter().any(has_images);
    for cloud in clouds {
        let mut base = base.clone();
        if !has_image && has_images(cloud) {
            match first_image(cloud, &base).await {
                Ok(Some(url)) => base.features.set_text("disk.0.image.url", &url),
                Ok(None) => continue,
                Err(why) => {
                    found.why_not.push((cloud.account.id.clone(), why));
                    continue;
                }
            }
            any_image = true;
        }
        match cloud.connector.candidates(&base).await {
            Ok(systems) => {
                any_image |= !systems.is_empty();
                let mut best: Option<(System, f64)> = None;
                for candidate in systems {
                    match concrete(cloud, system, &base, candidate) {
                        Ok(next) if best.as_ref().is_none_or(|best| best.1 < next.1) => best = Some(next),
                        Ok(_) => {}
                        Err(error) => found.why_not.push((cloud.account.id.clone(), error.explained())),
                    }
                }
                if let Some(best) = best {
                    found.best.insert(cloud.account.id.clone(), best);
                }
            }
            Err(error) => found.why_not.push((cloud.account.id.clone(), error.message)),
        }
    }
    if any_image {
        return Ok(found);
    }
    let details = match found.why_not.is_empty() {
        true => String::new(),
        false => {
            let whys: Vec<String> = found.why_not.iter().map(|(cloud, why)| format!("{cloud}: {why}")).collect();
            format!(": {}", whys.join("; "))
        }
    };
    let text = format!("No VMI obtained from Sites to system '{}'{details}", system.name);
    Err(OperationError::Invalid(text))
}

async fn first_image(cloud: &Cloud, system: &System) -> Result<Option<String>, String> {
    let filter = |key: &str, feature: &str| Some((key.to_owned(), system.features.text(feature)?.to_owned()));
    let filters = [filter("distribution", "disk.0.os.flavour"), filter("version", "disk.0.os.version")];
    let images = cloud.connector.images(&filters.into_iter().flatten().collect()).await;
    images.map(|images| images.into_iter().next().map(|image| image.uri)).map_err(|error| error.message)
}

/// The system with the sizes that the user left open.
fn with_defaults(system: &System, settings: &EngineSettings) -> System {
    let mut system = system.clone();
    let in_softs = |features: &Features, name: &str| features.softs().iter().any(|group| group.features.has(name));
    let missing = |features: &Features, name: &str| !features.has(name) && !in_softs(features, name);
    let at_least = |amount: i64, unit: &str| Value::Number {
        lower: Some(Box::new(Constraint {
            operator: Operator::Ge,
            amount: Amount::from(amount),
            unit: (!unit.is_empty()).then(|| unit.to_owned()),
            line: 0,
        })),
        upper: None,
    };
    if missing(&system.features, "cpu.count") {
        system.features.set("cpu.count", at_least(settings.default_cpus, ""));
    }
    if missing(&system.features, "memory.size") {
        let (amount, unit) = &settings.default_memory;
        system.features.set("memory.size", at_least(*amount, unit));
    }
    if missing(&system.features, "cpu.arch") {
        system.features.set_text("cpu.arch", &settings.default_cpu_arch);
    }
    system
}

/// A candidate made concrete: wishes applied, cloud noted, scored.
///
/// # Errors
/// It contradicts what was asked for.
fn concrete(cloud: &Cloud, requested: &System, base: &System, candidate: System) -> Result<(System, f64), RadlError> {
    let merged = base.features.apply(&candidate.features, Conflict::Other)?;
    let mut marks = Features::new();
    marks.set_text("provider.type", &cloud.account.kind);
    let endpoint = &cloud.account.endpoint;
    if !endpoint.server.is_empty() {
        marks.set_text("provider.host", &endpoint.server);
    }
    if let Some(port) = endpoint.port {
        marks.set_number("provider.port", i64::from(port), "");
    }
    let (features, soft) = merged.apply(&marks, Conflict::Other)?.concrete(None)?;
    let score = placement::score(soft, &requested.features, &candidate.features);
    Ok((System { features, ..base.clone() }, score))
}

/// The machines in the order of the deploys, each with the cloud of its group.
fn plan(
    completed: &Radl,
    clouds: &[Cloud],
    candidates: &BTreeMap<&str, Candidates>,
    chosen: &[(Vec<Deploy>, String)],
) -> Placement {
    let mut placement = Placement::default();
    // Where two have one id, the first one counts.
    let clouds: HashMap<&str, Arc<CloudRef>> = clouds
        .iter()
        .rev()
        .map(|cloud| (cloud.account.id.as_str(), Arc::new(CloudRef::from(&cloud.account))))
        .collect();
    // Machines of a system may be spread over groups: each deploy takes the next one of its system.
    let mut places: HashMap<&str, Vec<&str>> = HashMap::new();
    for (group, cloud) in chosen {
        for deploy in group {
            let count = usize::try_from(deploy.number).unwrap_or(0);
            places.entry(&deploy.system).or_default().extend(std::iter::repeat_n(cloud.as_str(), count));
        }
    }
    for queue in places.values_mut() {
        queue.reverse();
    }
    let systems: HashMap<&str, &System> =
        completed.systems.iter().map(|system| (system.name.as_str(), system)).collect();
    let private = completed.networks.iter().filter(|network| !network.is_public());
    let private: HashSet<&str> = private.map(|network| network.id.as_str()).collect();
    for deploy in completed.deploys.iter().filter(|deploy| deploy.number > 0) {
        let Some(&requested) = systems.get(deploy.system.as_str()) else { continue };
        let networks = requested.interfaces().map(|interface| interface.connection);
        let networks: Vec<&str> = networks.filter(|id| private.contains(id)).collect();
        for index in 0..deploy.number {
            let Some(cloud_id) = places.get_mut(deploy.system.as_str()).and_then(Vec::pop) else { continue };
            let Some(cloud) = clouds.get(cloud_id) else { continue };
            let Some(found) = candidates.get(deploy.system.as_str()) else { continue };
            let best = found.best.get(cloud_id);
            let system = best.map_or_else(|| requested.clone(), |(system, _)| system.clone());
            let failure = match best {
                None => Some(found.missing(requested, cloud_id)),
                Some((system, _)) if system.credentials().username.is_none() => {
                    Some(format!("No username for deploy: {}", deploy.system))
                }
                Some(_) => None,
            };
            // Machines on a private network all go to one cloud.
            if index == 0 {
                let bound = networks.iter().map(|id| ((*id).to_owned(), cloud_id.to_owned()));
                placement.private_networks.extend(bound);
            }
            placement.vms.push(PlannedVm {
                uid: VmUid(uuid::Uuid::new_v4().to_string()),
                system,
                requested: requested.clone(),
                cloud: cloud.clone(),
                failure,
            });
        }
    }
    placement
}
