//! From method and path to the operation: one table, whose templates also name the routes in the metrics.

use super::query::percent_decoded;
use std::{borrow::Cow, sync::LazyLock};
use warp::http::Method;

/// What a request asks for. Operations that this version does not offer have their names too, so that they are refused
/// in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Describe,
    DescribeForPrograms,
    Version,
    Health,
    Readiness,
    Metrics,
    List,
    Create,
    Import,
    Machines,
    Add,
    Destroy,
    Log,
    Document,
    State,
    Tosca,
    Outputs,
    Export,
    Owners,
    ChangeOwners,
    OtherProperty,
    Events,
    StartAll,
    StopAll,
    Reconfigure,
    OtherAction,
    Machine,
    Alter,
    Remove,
    MachineLog,
    MachineError,
    MachineCommand,
    MachineProperty,
    Start,
    Stop,
    Reboot,
    OtherMachineAction,
    Snapshot,
    CloudImages,
    CloudQuotas,
    OtherCloudProperty,
    Statistics,
    Catalogue,
    StaticFile,
}

impl Operation {
    /// The operation id in the description of the API, the contract's where it has one; none for what is not offered.
    pub(super) fn published_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Describe => "GetDescription",
            Self::DescribeForPrograms => "GetOpenAPI",
            Self::Version => "GetVersion",
            Self::Health => "GetHealth",
            Self::Readiness => "GetReadiness",
            Self::Metrics => "GetMetrics",
            Self::List => "GetInfrastructures",
            Self::Create => "CreateInfrastructure",
            Self::Machines => "GetVMList",
            Self::Add => "AddResources",
            Self::Destroy => "DestroyInfrastructure",
            Self::Log => "GetInfrastructureContmsg",
            Self::Document => "GetInfrastructureRADL",
            Self::State => "GetInfrastructureState",
            Self::Owners => "GetInfrastructureOwners",
            Self::Events => "GetInfrastructureEvents",
            Self::StartAll => "StartInfrastructure",
            Self::StopAll => "StopInfrastructure",
            Self::Reconfigure => "ReconfigureInfrastructure",
            Self::Machine => "GetVMInfo",
            Self::Alter => "AlterVM",
            Self::Remove => "DestroyVM",
            Self::MachineLog => "GetVMContMsg",
            Self::MachineError => "GetVMError",
            Self::MachineProperty => "GetVMProperty",
            Self::Start => "StartVM",
            Self::Stop => "StopVM",
            Self::Reboot => "RebootVM",
            Self::Snapshot => "CreateSnapShot",
            Self::Import => "Importfrastructure",
            Self::Tosca => "GetInfrastructureTOSCA",
            Self::Outputs => "GetInfrastructureOutpus",
            Self::Export => "GetInfrastructureData",
            Self::ChangeOwners => "ChangeInfrastructureAuth",
            Self::CloudImages => "GetCloudImages",
            Self::CloudQuotas => "GetCloudQuotas",
            Self::Statistics => "GetStats",
            Self::OtherProperty
            | Self::OtherAction
            | Self::MachineCommand
            | Self::OtherMachineAction
            | Self::OtherCloudProperty
            | Self::Catalogue
            | Self::StaticFile => return None,
        })
    }
}

/// The methods of the contract; HEAD is served as GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::PUT => Some(Self::Put),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A resource: its path and what its methods do.
pub(super) struct Resource {
    /// The path, parameters in braces.
    pub(super) template: &'static str,
    /// Its methods.
    pub(super) methods: &'static [(Verb, Operation)],
}

/// All resources. Of two that fit a path the first one counts, so literal names stand before parameters.
#[rustfmt::skip]
pub(super) static RESOURCES: &[Resource] = {
    use Operation as O;
    use Verb::{Delete, Get, Post, Put};
    const fn at(template: &'static str, methods: &'static [(Verb, Operation)]) -> Resource {
        Resource { template, methods }
    }
    &[
        at("/", &[(Get, O::Describe)]),
        at("/openapi.json", &[(Get, O::DescribeForPrograms)]),
        at("/version", &[(Get, O::Version)]),
        at("/healthz", &[(Get, O::Health)]),
        at("/readyz", &[(Get, O::Readiness)]),
        at("/metrics", &[(Get, O::Metrics)]),
        at("/infrastructures", &[(Get, O::List), (Post, O::Create), (Put, O::Import)]),
        at("/infrastructures/{id}", &[(Get, O::Machines), (Post, O::Add), (Delete, O::Destroy)]),
        at("/infrastructures/{id}/state", &[(Get, O::State)]),
        at("/infrastructures/{id}/contmsg", &[(Get, O::Log)]),
        at("/infrastructures/{id}/radl", &[(Get, O::Document)]),
        at("/infrastructures/{id}/tosca", &[(Get, O::Tosca)]),
        at("/infrastructures/{id}/outputs", &[(Get, O::Outputs)]),
        at("/infrastructures/{id}/data", &[(Get, O::Export)]),
        at("/infrastructures/{id}/authorization", &[(Get, O::Owners), (Post, O::ChangeOwners)]),
        at("/infrastructures/{id}/events", &[(Get, O::Events)]),
        at("/infrastructures/{id}/start", &[(Put, O::StartAll)]),
        at("/infrastructures/{id}/stop", &[(Put, O::StopAll)]),
        at("/infrastructures/{id}/reconfigure", &[(Put, O::Reconfigure)]),
        at("/infrastructures/{id}/{name}", &[(Get, O::OtherProperty), (Put, O::OtherAction)]),
        at("/infrastructures/{id}/vms/{vm}", &[(Get, O::Machine), (Put, O::Alter), (Delete, O::Remove)]),
        at("/infrastructures/{id}/vms/{vm}/contmsg", &[(Get, O::MachineLog)]),
        at("/infrastructures/{id}/vms/{vm}/error", &[(Get, O::MachineError)]),
        at("/infrastructures/{id}/vms/{vm}/command", &[(Get, O::MachineCommand)]),
        at("/infrastructures/{id}/vms/{vm}/start", &[(Put, O::Start)]),
        at("/infrastructures/{id}/vms/{vm}/stop", &[(Put, O::Stop)]),
        at("/infrastructures/{id}/vms/{vm}/reboot", &[(Put, O::Reboot)]),
        at("/infrastructures/{id}/vms/{vm}/{name}", &[(Get, O::MachineProperty), (Put, O::OtherMachineAction)]),
        at("/infrastructures/{id}/vms/{vm}/disks/{disk}/snapshot", &[(Put, O::Snapshot)]),
        at("/clouds/{cloud}/images", &[(Get, O::CloudImages)]),
        at("/clouds/{cloud}/quotas", &[(Get, O::CloudQuotas)]),
        at("/clouds/{cloud}/{name}", &[(Get, O::OtherCloudProperty)]),
        at("/stats", &[(Get, O::Statistics)]),
        at("/oai", &[(Get, O::Catalogue), (Post, O::Catalogue)]),
        at("/static/{file}", &[(Get, O::StaticFile)]),
    ]
};

impl Resource {
    /// The value of an `Allow` header.
    pub(super) fn allow(&self) -> String {
        let mut names: Vec<&str> = self.methods.iter().map(|(verb, _)| verb.name()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        names.sort_unstable();
        names.join(", ")
    }

    /// The operation of a method.
    pub(super) fn operation(&self, verb: Verb) -> Option<Operation> {
        self.methods.iter().find(|(own, _)| *own == verb).map(|(_, operation)| *operation)
    }
}

/// Segments of a path that can be matched: the longest template has this many.
const MOST_SEGMENTS: usize = 7;

/// Most parameters a template has.
const MOST_PARAMETERS: usize = 3;

/// The decoded parameters of a path, in order.
pub(super) type Parameters = [String; MOST_PARAMETERS];

static PATTERNS: LazyLock<Vec<Vec<&'static str>>> =
    LazyLock::new(|| RESOURCES.iter().map(|resource| resource.template.split('/').skip(1).collect()).collect());

/// The resource of a path, its place in [`RESOURCES`], and the parameters. Empty segments inside are skipped, since
/// machines booted by older daemons call paths with a double slash; an empty one at the end is not.
pub(super) fn find(path: &str) -> Option<(usize, Parameters)> {
    let mut segments: [Cow<'_, str>; MOST_SEGMENTS] = Default::default();
    let mut count = 0;
    let (inside, end) = path.rsplit_once('/').filter(|_| path.starts_with('/'))?;
    for segment in inside.split('/').filter(|segment| !segment.is_empty()).chain([end]) {
        *segments.get_mut(count)? =
            if segment.contains('%') { percent_decoded(segment).into() } else { Cow::Borrowed(segment) };
        count += 1;
    }
    let segments = &segments[..count];
    let fits = |pattern: &Vec<&str>| {
        pattern.len() == count
            && pattern.iter().zip(segments).all(|(wanted, segment)| {
                if wanted.starts_with('{') { !segment.is_empty() } else { *wanted == segment.as_ref() }
            })
    };
    let place = PATTERNS.iter().position(fits)?;
    let mut parameters = Parameters::default();
    let given = PATTERNS[place].iter().zip(segments).filter(|(wanted, _)| wanted.starts_with('{'));
    for (parameter, (_, segment)) in parameters.iter_mut().zip(given) {
        *parameter = segment.as_ref().to_owned();
    }
    Some((place, parameters))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn route(verb: Verb, path: &str) -> Option<(Operation, Vec<String>)> {
        let (place, parameters) = find(path)?;
        let given = parameters.into_iter().filter(|parameter| !parameter.is_empty()).collect();
        Some((RESOURCES[place].operation(verb)?, given))
    }

    #[test]
    fn paths_lead_to_operations() {
        let cases = [
            (Verb::Get, "/", Some((Operation::Describe, vec![]))),
            (Verb::Get, "/version", Some((Operation::Version, vec![]))),
            (Verb::Get, "/version/", None),
            (Verb::Get, "//infrastructures//i/vms//0", Some((Operation::Machine, vec!["i", "0"]))),
            (Verb::Get, "/infrastructures/i/", None),
            (Verb::Get, "/infrastructures/i/state", Some((Operation::State, vec!["i"]))),
            (Verb::Get, "/infrastructures/i/vms", Some((Operation::OtherProperty, vec!["i", "vms"]))),
            (Verb::Put, "/infrastructures/i/foo", Some((Operation::OtherAction, vec!["i", "foo"]))),
            (Verb::Get, "/infrastructures/i/vms/%200%20", Some((Operation::Machine, vec!["i", " 0 "]))),
            (Verb::Get, "/infrastructures/i/vms/0/a%2fb", Some((Operation::MachineProperty, vec!["i", "0", "a/b"]))),
            (Verb::Put, "/infrastructures/i/vms/0/disks/1/snapshot", Some((Operation::Snapshot, vec!["i", "0", "1"]))),
            (Verb::Post, "/infrastructures/i/vms/0", None),
            (Verb::Get, "/infrastructures/i/vms/0/a/b/c/d", None),
            (Verb::Get, "*", None),
            (Verb::Get, "", None),
        ];
        for (verb, path, expected) in cases {
            let expected = expected.map(|(o, p): (_, Vec<&str>)| (o, p.into_iter().map(str::to_owned).collect()));
            assert_eq!(route(verb, path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_matched_or_refused(path in "[/%a-z0-9.é]{0,40}", free in any::<String>()) {
            for path in [path, free] {
                if let Some((place, parameters)) = find(&path) {
                    let wanted = RESOURCES[place].template.matches('{').count();
                    prop_assert_eq!(parameters.iter().filter(|parameter| !parameter.is_empty()).count(), wanted);
                }
            }
        }
    }

    #[test]
    fn no_resource_hides_another() {
        for (place, resource) in RESOURCES.iter().enumerate() {
            let path = resource.template.replace(['{', '}'], "x");
            assert_eq!(find(&path).map(|(found, _)| found), Some(place), "{path}");
        }
        let place = find("/infrastructures").unwrap().0;
        assert_eq!(RESOURCES[place].allow(), "GET, HEAD, OPTIONS, POST, PUT");
    }
}
