//! Documents of TOSCA: read and translated on threads apart, with the files that they name and the machines that are there.
//!
//! A document is read with what was fetched so far; when it wants more, that is fetched, and it is read again.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::document::{Purpose, Resolved, Stored},
        services::Services,
        state::{
            accounts::Accounts,
            model::{CloudRef, Infrastructure, Lifecycle, Vm},
        },
    },
};
use rand::{Rng, distr::Alphanumeric};
use std::{collections::HashMap, sync::Arc};
use tosca::{Cloud, Error, Machine, Situation, Sources, Surroundings, Template, yaml};

/// How often a document may want further files. Who gathers them ends earlier.
const MOST_ROUNDS: usize = 64;

impl From<Error> for OperationError {
    fn from(error: Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The machines that count for a document: those that are there, and nobody is deleting.
pub(super) fn counted(infrastructure: &Infrastructure) -> impl Iterator<Item = &Arc<Vm>> {
    infrastructure.live_vms().filter(|vm| !matches!(vm.lifecycle, Lifecycle::Deleting(_)))
}

/// What a document asks for.
///
/// # Errors
/// What is wrong with it, and with the RADL that it becomes; too much of the caller at once.
pub(super) async fn resolve(
    services: &Services,
    caller: &Caller,
    text: Arc<str>,
    purpose: Purpose<'_>,
) -> Result<Resolved, OperationError> {
    let known = match purpose {
        Purpose::Update(infrastructure) => Some(infrastructure.clone()),
        Purpose::Creation | Purpose::Aside => None,
    };
    let is_new = matches!(purpose, Purpose::Creation);
    let is_stored = !matches!(purpose, Purpose::Aside);
    let token = is_new.then(|| own_token(caller)).flatten();
    let repository = is_new.then(|| services.settings.tosca.template_repository.clone()).flatten();
    let read = move |sources: &dyn Sources| {
        let surroundings = Surroundings {
            sources,
            template_repository: repository.as_deref(),
            access_token: token.as_deref(),
            random: &random,
        };
        let template = match known.as_ref().and_then(|infrastructure| infrastructure.extra_info.tosca()) {
            Some(stored) => {
                Template::parse(stored, &surroundings)?.updated(&text, &surroundings).map_err(|(_, error)| error)?
            }
            None => Template::parse(&text, &surroundings)?,
        };
        let machines = known.as_ref().map(|infrastructure| Machines::of(infrastructure.clone()));
        let machines = machines.iter().flat_map(Machines::counted).collect::<Vec<_>>();
        let translation = template.translate(&Situation { machines: &machines, surroundings: &surroundings })?;
        if let Err(refused) = translation.radl.check() {
            return Ok(Err(refused));
        }
        Ok(Ok(Resolved {
            stored: is_stored.then(|| Stored::new(kept(&text, &template), known.as_deref())),
            remove: translation.remove.iter().filter_map(|number| u32::try_from(*number).ok()).collect(),
            warnings: [template.warnings(), &translation.warnings].concat(),
            radl: Arc::new(translation.radl),
        }))
    };
    Ok(with_files(services, caller, read).await??)
}

/// Values of the outputs of the stored document; none for an infrastructure that was not made from TOSCA. `logs` are those
/// of machines, where they are needed.
///
/// # Errors
/// A stored document that is refused, such as an imported one; too much of the caller at once.
pub(super) async fn outputs(
    services: &Services,
    caller: &Caller,
    infrastructure: Arc<Infrastructure>,
    logs: HashMap<u32, String>,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, OperationError> {
    let Some(text) = infrastructure.extra_info.tosca().map(Arc::<str>::from) else { return Ok(None) };
    let accounts = services.shown(caller)?.accounts;
    let machines = Machines { logs, accounts, ..Machines::of(infrastructure) };
    let values = with_files(services, caller, move |sources| {
        let surroundings = Surroundings { sources, template_repository: None, access_token: None, random: &random };
        let template = Template::parse(&text, &surroundings)?;
        Ok(template.outputs(&machines.counted().collect::<Vec<_>>()))
    })
    .await?;
    Ok(Some(values))
}

/// Does `read` on a thread apart until it wants no more files.
async fn with_files<T: Send + 'static>(
    services: &Services,
    caller: &Caller,
    read: impl Fn(&dyn Sources) -> Result<T, Error> + Send + Sync + 'static,
) -> Result<T, OperationError> {
    let read = Arc::new(read);
    let mut files = services.settings.tosca.files.gathering();
    for _ in 0..MOST_ROUNDS {
        let read = read.clone();
        let job = move || {
            let result = read(&*files);
            (files, result)
        };
        let result;
        (files, result) = services.capacity.apart(caller.user(), job).await?;
        match result {
            Err(Error::Wanted(urls)) => files.fetch(urls).await,
            ended => return Ok(ended?),
        }
    }
    Err(OperationError::Invalid("The document leads to too many files. Put more of it into the document.".to_owned()))
}

/// What is stored: the text itself, unless something was put in its place.
fn kept(text: &str, template: &Template) -> String {
    match yaml::parse(text) {
        Ok(document) if document == *template.document() => text.to_owned(),
        _ => template.text(),
    }
}

/// The token of the caller for this service.
fn own_token(caller: &Caller) -> Option<String> {
    let items = caller.credentials.items.iter().filter(|item| item.kind() == "InfrastructureManager");
    items.into_iter().find_map(|item| item.get("token")).map(str::to_owned)
}

fn random(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// What documents know of the machines of an infrastructure.
struct Machines {
    infrastructure: Arc<Infrastructure>,
    /// Where the clouds of its machines are, by their numbers.
    urls: HashMap<u32, String>,
    logs: HashMap<u32, String>,
    accounts: Arc<Accounts>,
}

impl Machines {
    /// Without logs and accounts, which only outputs tell of.
    fn of(infrastructure: Arc<Infrastructure>) -> Self {
        let urls = counted(&infrastructure).filter_map(|vm| Some((vm.number, url(&vm.cloud)?))).collect();
        Self { infrastructure, urls, logs: HashMap::new(), accounts: Arc::default() }
    }

    /// Those that count, in the order of their creation.
    fn counted(&self) -> impl Iterator<Item = Machine<'_>> {
        counted(&self.infrastructure).map(|vm| Machine {
            id: u64::from(vm.number),
            cloud_id: vm.provider_id().map(|id| id.0.as_str()),
            created: vm.created,
            radl: &vm.info,
            log: self.logs.get(&vm.number).map_or("", String::as_str),
            cloud: Some(self.cloud(vm)),
        })
    }

    fn cloud<'a>(&'a self, vm: &'a Vm) -> Cloud<'a> {
        let account = self.accounts.of(&vm.cloud).ok();
        let field = |name| account.and_then(|account| account.field(name));
        Cloud {
            kind: &vm.cloud.kind,
            url: self.urls.get(&vm.number).map(String::as_str),
            username: field("username"),
            password: field("password"),
            token: field("token"),
        }
    }
}

/// Where a cloud is, if it is anywhere.
fn url(cloud: &CloudRef) -> Option<String> {
    let place = &cloud.endpoint;
    let protocol = if place.protocol.is_empty() { "https" } else { &place.protocol };
    let port = place.port.map_or(String::new(), |port| format!(":{port}"));
    (!place.server.is_empty()).then(|| format!("{protocol}://{}{port}{}", place.server, place.path))
}
