//! Choosing a cloud for every machine of a document (docs/spec/radl.md 16): candidates of each cloud, their scores, groups of
//! machines that must stay together, and the best cloud for each group.

use super::{
    Inner, admission,
    error::OperationError,
    keeper::Handle,
    model::{CloudRef, Infrastructure, WorkKind},
    settings::EngineSettings,
    transitions::{Event, Placement, PlannedVm},
};
use crate::auth::Credentials;
use connectors::{CloudAccount, Connector, VmUid};
use radl::{
    Amount, Conflict, Constraint, Deploy, Features, Operator, Radl, System, Value,
    placement::{self, Scores},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
    /// Why a system has no machine in a cloud: what the cloud said, and the image that was asked for.
    fn missing(&self, requested: &System, cloud_id: &str) -> String {
        let mut text = format!(
            "Error, no concrete system to deploy: {} in cloud: {cloud_id}. Check if a correct image is being used",
            requested.name
        );
        if let Some(image) = requested.features.value_json("disk.0.image.url") {
            // The reason is kept with each machine.
            let image = image.as_str().map_or_else(|| image.to_string(), str::to_owned);
            let image: String = image.chars().take(TOLD).collect();
            text.push_str(&format!(" (disk.0.image.url is {image})"));
        }
        for (_, why) in self.why_not.iter().filter(|(cloud, _)| cloud == cloud_id) {
            text.push_str(&format!(": {why}"));
        }
        text
    }
}

/// Chooses the clouds of a work that was accepted before, and reports.
pub async fn place_work(inner: Arc<Inner>, handle: Handle, model: Arc<Infrastructure>, work: u64) {
    let kind = model.work.iter().find(|candidate| candidate.id == work).map(|work| &work.kind);
    let Some(WorkKind::Placing { document, .. }) = kind else { return };
    let credentials = model.credentials.clone().unwrap_or_default();
    let result = choose(&inner, &model, document, &credentials).await.map_err(|error| error.to_string());
    handle.report(Event::Placed { work, result });
}

/// Plans the machines of a document for an infrastructure. Nothing is changed anywhere.
///
/// # Errors
/// A document that does not fit the stored one, no cloud, no image, clouds that contradict each other.
pub async fn choose(
    inner: &Inner,
    model: &Infrastructure,
    document: &Radl,
    credentials: &Credentials,
) -> Result<Placement, OperationError> {
    let invalid = |text: String| OperationError::Invalid(text);
    let added = radl::merge::add_resource(&model.radl, document, &model.private_networks)
        .map_err(|error| invalid(error.to_string()))?;
    if added.completed.deploys.iter().all(|deploy| deploy.number <= 0) {
        return Ok(Placement::default());
    }
    admission::admit_added(&inner.settings, &added)?;
    let completed = added.completed;
    let Clouds { usable: clouds, unusable } = clouds(inner, credentials)?;
    let wanted: BTreeSet<&str> =
        completed.deploys.iter().filter(|d| d.number > 0).map(|deploy| deploy.system.as_str()).collect();
    let mut candidates: BTreeMap<&str, Candidates> = BTreeMap::new();
    for name in wanted {
        if let Some(system) = completed.system(name) {
            candidates.insert(name, of_system(inner, &clouds, system).await?);
        }
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
            invalid(format!("{error}{separator}{}", details.join("; ")))
        })?;
        chosen.push((group, cloud.to_owned()));
    }
    Ok(plan(&completed, &clouds, &candidates, &chosen))
}

fn clouds(inner: &Inner, credentials: &Credentials) -> Result<Clouds, OperationError> {
    let accounts = credentials.clouds().map_err(|error| OperationError::Invalid(error.to_string()))?;
    let mut clouds = Clouds::default();
    for account in accounts {
        match inner.registry.connector(&account) {
            Ok(connector) => clouds.usable.push(Cloud { account, connector }),
            Err(error) => clouds.unusable.push((account.id, error.message)),
        }
    }
    Ok(clouds)
}

async fn of_system(inner: &Inner, clouds: &[Cloud], system: &System) -> Result<Candidates, OperationError> {
    let base = with_defaults(system, &inner.settings);
    let has_image = base.features.has("disk.0.image.url");
    let mut found = Candidates::default();
    let mut any_image = has_image || clouds.is_empty();
    for cloud in clouds {
        let mut base = base.clone();
        // A cloud that has no images may still have machines: those that exist already.
        if !has_image && cloud.connector.capabilities().images {
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
                let scored = systems.into_iter().filter_map(|candidate| concrete(cloud, system, &base, candidate));
                let better = |best: Option<(System, f64)>, next: (System, f64)| match best {
                    Some(best) if best.1 >= next.1 => Some(best),
                    _ => Some(next),
                };
                if let Some(best) = scored.fold(None, better) {
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
fn concrete(cloud: &Cloud, requested: &System, base: &System, candidate: System) -> Option<(System, f64)> {
    let merged = base.features.apply(&candidate.features, Conflict::Other).ok()?;
    let mut marks = Features::new();
    marks.set_text("provider.type", &cloud.account.kind);
    let endpoint = &cloud.account.endpoint;
    if !endpoint.server.is_empty() {
        marks.set_text("provider.host", &endpoint.server);
    }
    if let Some(port) = endpoint.port {
        marks.set_number("provider.port", i64::from(port), "");
    }
    let (features, soft) = merged.apply(&marks, Conflict::Other).ok()?.concrete(None).ok()?;
    let score = placement::score(soft, &requested.features, &candidate.features);
    Some((System { features, ..base.clone() }, score))
}

/// The machines in the order of the deploys, each with the cloud of its group.
fn plan(
    completed: &Radl,
    clouds: &[Cloud],
    candidates: &BTreeMap<&str, Candidates>,
    chosen: &[(Vec<Deploy>, String)],
) -> Placement {
    let mut placement = Placement::default();
    let clouds: Vec<_> =
        clouds.iter().map(|cloud| (&cloud.account.id, Arc::new(CloudRef::from(&cloud.account)))).collect();
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
    for deploy in &completed.deploys {
        for _ in 0..deploy.number.max(0) {
            let Some(cloud_id) = places.get_mut(deploy.system.as_str()).and_then(Vec::pop) else { continue };
            let Some((_, cloud)) = clouds.iter().find(|(id, _)| *id == cloud_id) else { continue };
            let Some(requested) = completed.system(&deploy.system) else { continue };
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
            let networks = requested.interfaces().map(|interface| interface.connection.to_owned());
            let private = |id: &String| completed.network(id).is_some_and(|network| !network.is_public());
            placement.private_networks.extend(networks.filter(private).map(|id| (id, cloud_id.to_owned())));
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
