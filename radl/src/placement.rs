//! Which machines have to go to the same provider, and which provider that is.

use crate::applications::{applications, namesake, satisfies};
use crate::error::RadlError;
use crate::features::Features;
use crate::merge;
use crate::model::{Deploy, Radl, System};
use crate::units::Amount;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a provider without candidate for a system counts.
const NO_CANDIDATE: f64 = -1e9;

/// The deploys, grouped by what has to go to the same provider: first every machine of a system without private network
/// on its own, then the deploys joined (directly or in chains) by private networks. The groups are made one by one: a
/// document may ask for any number of machines.
pub fn deploy_groups(radl: &Radl) -> impl Iterator<Item = Vec<Deploy>> + use<'_> {
    let private: HashSet<&str> =
        radl.networks.iter().filter(|network| !network.is_public()).map(|network| network.id.as_str()).collect();
    let networks: HashMap<&str, Vec<&str>> = radl
        .systems
        .iter()
        .map(|system| {
            let connections = system.interfaces().map(|interface| interface.connection);
            (system.name.as_str(), connections.filter(|id| private.contains(id)).collect())
        })
        .collect();
    let networks_of = |deploy: &Deploy| networks.get(deploy.system.as_str()).map_or(&[][..], Vec::as_slice);
    let mut joined = Joined::default();
    for deploy in &radl.deploys {
        let ids = networks_of(deploy);
        for pair in ids.windows(2) {
            joined.join(pair[0], pair[1]);
        }
    }
    let mut single = Vec::new();
    let mut together: Vec<Vec<Deploy>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for deploy in &radl.deploys {
        let Some(network) = networks_of(deploy).first() else {
            single.push(deploy);
            continue;
        };
        let place = *places.entry(joined.root(network)).or_insert_with(|| {
            together.push(Vec::new());
            together.len() - 1
        });
        together[place].push(deploy.clone());
    }
    let one_machine = |deploy: &Deploy| vec![Deploy { number: 1, ..deploy.clone() }];
    let each = single.into_iter().flat_map(move |deploy| (0..deploy.number).map(move |_| one_machine(deploy)));
    each.chain(together)
}

/// Sets of networks that share machines (union-find).
#[derive(Default)]
struct Joined<'a>(HashMap<&'a str, &'a str>);

impl<'a> Joined<'a> {
    fn root(&mut self, id: &'a str) -> &'a str {
        let mut root = id;
        while let Some(parent) = self.0.get(root) {
            root = parent;
        }
        // Shorten the way for the next look-up.
        let mut at = id;
        while at != root {
            at = self.0.insert(at, root).unwrap_or(root);
        }
        root
    }

    fn join(&mut self, a: &'a str, b: &'a str) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.0.insert(b, a);
        }
    }
}

/// What candidates for a system are made from: its features without the applications of the boot disk, plus each of the
/// `defaults` that neither they nor a soft group name. What a provider answers is applied to it without soft groups, lest
/// their weights count twice.
#[must_use]
pub fn base(system: &System, defaults: &Features) -> Features {
    let mut base = system.features.clone();
    base.remove("disk.0.applications");
    for (name, value) in defaults.iter() {
        if !base.has(name) && !base.softs().iter().any(|group| group.features.has(name)) {
            base.set(name, value.clone());
        }
    }
    base
}

/// Score of each system at each provider, by cloud id and system name; absent without candidate.
pub type Scores = BTreeMap<String, BTreeMap<String, f64>>;

/// The provider for a group: the one its deploys name, else the best of `order` (the cloud ids of the credentials, in
/// their order, which decides ties). The value of a provider is the sum of number of machines x score.
///
/// # Errors
/// The deploys name two providers or an unknown one, or there is none to choose from.
pub fn choose_provider<'a>(group: &[Deploy], order: &'a [String], scores: &Scores) -> Result<&'a str, RadlError> {
    let mut named: Option<&str> = None;
    for cloud in group.iter().filter_map(|deploy| deploy.cloud.as_deref()) {
        if named.is_some_and(|other| other != cloud) {
            return Err(two_providers(group));
        }
        named = Some(cloud);
    }
    if let Some(cloud) = named {
        let known = order.iter().find(|id| *id == cloud);
        return known
            .map(String::as_str)
            .ok_or_else(|| RadlError::plain(format!("No auth data for cloud with ID: {cloud}")));
    }
    let value = |provider: &String| -> f64 {
        // A deploy of no machines has no candidates anywhere, so it favours no provider.
        let launched = group.iter().filter(|deploy| deploy.number > 0);
        launched
            .map(|deploy| {
                let score = scores.get(provider).and_then(|systems| systems.get(&deploy.system));
                deploy.number as f64 * score.copied().unwrap_or(NO_CANDIDATE)
            })
            .sum()
    };
    let mut best: Option<(&String, f64)> = None;
    for provider in order {
        let value = value(provider);
        if best.is_none_or(|(_, known)| value > known) {
            best = Some((provider, value));
        }
    }
    best.map(|(provider, _)| provider.as_str()).ok_or_else(|| RadlError::plain("No cloud provider available"))
}

fn two_providers(group: &[Deploy]) -> RadlError {
    let named = group.iter().filter(|deploy| !merge::is_helper(&deploy.system));
    let systems: Vec<&str> = named.map(|deploy| deploy.system.as_str()).collect();
    let error = RadlError::plain(format!(
        "Two deployments that have to be launched in the same cloud provider are asked to be deployed in different cloud \
         providers: {}",
        systems.join(", ")
    ));
    let bound = group.iter().find(|deploy| merge::is_helper(&deploy.system)).and_then(|deploy| deploy.cloud.as_ref());
    match bound {
        Some(cloud) => error.because(format!("a private network that they are on is in {cloud} already")),
        None => error.because("private networks join them"),
    }
}

/// Score of a candidate: 10000 per unit of soft weight fulfilled, 100 per requested application that one of the image
/// satisfies, and -1 per application of the image that has a version.
#[must_use]
pub fn score(soft: Amount, requested: &Features, image: &Features) -> f64 {
    let mut score = soft.as_f64() * 10_000.0;
    for have in applications(image) {
        if namesake(requested, have).is_some_and(|want| satisfies(have, want)) {
            score += 100.0;
        }
        if have.has("version") {
            score -= 1.0;
        }
    }
    score
}
