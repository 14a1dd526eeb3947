//! Choosing a cloud for every machine of a document (docs/spec/radl.md 16): candidates of each cloud, their scores, groups of
//! machines that must stay together, and the best cloud for each group.

use crate::engine::{
    error::OperationError,
    keeper::handle::Handle,
    services::Services,
    settings::EngineSettings,
    state::{
        accounts::{Accounts, is_in_cloud},
        model::{Alternative, CloudRef, Infrastructure, Vm, WorkKind},
    },
    transitions::{Event, Placement, PlannedVm},
    work::admission,
};
use connectors::{Candidate, CloudAccount, Connector, VmUid, account_name};
use radl::{
    Amount, Conflict, Constraint, Deploy, Features, Operator, Radl, RadlError, System, Value,
    placement::{self, Scores},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// So many alternatives are kept for machines that are alike.
const ALTERNATIVES: usize = 8;

/// An image's name is told up to this many characters.
const TOLD: usize = 200;

/// A cloud of the caller.
struct Cloud {
    account: CloudAccount,
    connector: Arc<dyn Connector>,
}

impl Cloud {
    /// The part of it that a candidate is in.
    fn part(&self, scored: &Scored) -> CloudRef {
        CloudRef { location: scored.candidate.location.clone(), ..CloudRef::from(&self.account) }
    }
}

/// The caller's clouds: those that can be used, and the others by id with the reason.
#[derive(Default)]
struct Clouds {
    usable: Vec<Cloud>,
    unusable: Vec<(String, String)>,
}

/// Candidates of one system: those of each cloud, the best first, and why others have none.
#[derive(Default)]
struct Candidates {
    of_cloud: HashMap<String, Vec<Scored>>,
    why_not: Vec<(String, String)>,
}

/// A candidate made concrete, and how well it fits.
struct Scored {
    candidate: Candidate,
    score: f64,
}

impl Candidates {
    /// The best one of a cloud.
    fn best(&self, cloud_id: &str) -> Option<&Scored> {
        self.of_cloud.get(cloud_id)?.first()
    }

    /// What a machine may be made as when there is no room for the best one of its cloud: the others of this cloud, and where
    /// the machine may be `anywhere`, those of the other clouds, in the order of their scores. A machine that is on a
    /// private network stays where the others of its group are.
    fn alternatives(&self, clouds: &[Cloud], cloud_id: &str, anywhere: bool) -> Vec<Alternative> {
        let Some(first) = self.best(cloud_id) else { return Vec::new() };
        let of = |cloud: &Cloud| self.of_cloud.get(&cloud.account.id).map(Vec::as_slice).unwrap_or_default();
        let mut others: Vec<&Cloud> = clouds.iter().filter(|cloud| cloud.account.id != cloud_id).collect();
        others.retain(|cloud| anywhere && !of(cloud).is_empty());
        // Equal ones stay in the order of the accounts.
        others.sort_by(|one, other| of(other)[0].score.total_cmp(&of(one)[0].score));
        let own = clouds.iter().find(|cloud| cloud.account.id == cloud_id);
        let in_reach = |scored: &&Scored| anywhere || scored.candidate.location == first.candidate.location;
        let own =
            own.into_iter().flat_map(|cloud| of(cloud).iter().skip(1).filter(in_reach).map(move |next| (cloud, next)));
        let all = own.chain(others.into_iter().flat_map(|cloud| of(cloud).iter().map(move |next| (cloud, next))));
        let can_log_in = |(_, next): &(&Cloud, &Scored)| next.candidate.system.credentials().username.is_some();
        let alternative = |(cloud, next): (&Cloud, &Scored)| Alternative {
            cloud: Arc::new(cloud.part(next)),
            system: next.candidate.system.clone(),
        };
        all.filter(can_log_in).take(ALTERNATIVES).map(alternative).collect()
    }

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
        for (cloud, candidates) in &found.of_cloud {
            if let Some(best) = candidates.first() {
                scores.entry(cloud.clone()).or_default().insert((*name).to_owned(), best.score);
            }
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
    for account in accounts.clouds().cloned() {
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
            Ok(candidates) => {
                any_image |= !candidates.is_empty();
                let mut fitting = Vec::new();
                for candidate in candidates {
                    match concrete(cloud, system, &base, candidate) {
                        Ok(scored) => fitting.push(scored),
                        Err(error) => found.why_not.push((cloud.account.id.clone(), error.explained())),
                    }
                }
                // Equal ones stay in the cloud's own order. Where two accounts have one id, the later one counts.
                fitting.sort_by(|one: &Scored, other: &Scored| other.score.total_cmp(&one.score));
                if !fitting.is_empty() {
                    found.of_cloud.insert(cloud.account.id.clone(), fitting);
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
fn concrete(cloud: &Cloud, requested: &System, base: &System, candidate: Candidate) -> Result<Scored, RadlError> {
    let Candidate { system: offered, location } = candidate;
    let merged = base.features.apply(&offered.features, Conflict::Other)?;
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
    let score = placement::score(soft, &requested.features, &offered.features);
    Ok(Scored { candidate: Candidate { system: System { features, ..base.clone() }, location }, score })
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
    let by_id: HashMap<&str, &Cloud> = clouds.iter().rev().map(|cloud| (cloud.account.id.as_str(), cloud)).collect();
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
        // What machines of one deploy and cloud have in common.
        let mut common: HashMap<&str, (Arc<CloudRef>, Arc<Vec<Alternative>>)> = HashMap::new();
        for index in 0..deploy.number {
            let Some(cloud_id) = places.get_mut(deploy.system.as_str()).and_then(Vec::pop) else { continue };
            let Some(&cloud) = by_id.get(cloud_id) else { continue };
            let Some(found) = candidates.get(deploy.system.as_str()) else { continue };
            let best = found.best(cloud_id);
            let (cloud, alternatives) = common
                .entry(cloud_id)
                .or_insert_with(|| {
                    let part = best.map_or_else(|| CloudRef::from(&cloud.account), |best| cloud.part(best));
                    let anywhere = networks.is_empty() && deploy.cloud.is_none();
                    (Arc::new(part), Arc::new(found.alternatives(clouds, cloud_id, anywhere)))
                })
                .clone();
            let system = best.map_or_else(|| requested.clone(), |best| best.candidate.system.clone());
            let failure = match best {
                None => Some(found.missing(requested, cloud_id)),
                Some(best) if best.candidate.system.credentials().username.is_none() => {
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
                cloud,
                failure,
                alternatives,
            });
        }
    }
    placement
}
