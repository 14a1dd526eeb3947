//! What a request costs before anything of it is done: documents are multiplied by machines, and nobody may ask for more than
//! the daemon can carry.

use crate::engine::{error::OperationError, settings::EngineSettings, state::model::Infrastructure};
use radl::{Radl, System, merge::Added};
use std::collections::HashMap;

/// A network or group of wishes takes so many bytes in each machine's document, however short it is.
const SENTENCE: u64 = 1024;

/// Refuses a document whose deploys, added to an infrastructure, are too many machines or too much text.
///
/// # Errors
/// Which option says so; a document that does not fit the stored one.
pub fn admit(settings: &EngineSettings, model: &Infrastructure, document: &Radl) -> Result<(), OperationError> {
    let added = radl::merge::add_resource(&model.radl, document, &model.private_networks);
    admit_added(settings, &added?)
}

/// Admits a document that was merged with the stored one.
///
/// # Errors
/// More machines or a greater size than one request may ask for.
pub fn admit_added(settings: &EngineSettings, added: &Added) -> Result<(), OperationError> {
    let Added { completed, stored } = added;
    let machines = machines(completed);
    if machines > settings.max_vms_per_request {
        let limit = settings.max_vms_per_request;
        return Err(OperationError::Invalid(format!(
            "{machines} machines are asked for; one request may ask for {limit} (MAX_VMS_PER_REQUEST)."
        )));
    }
    // The document of a machine has all networks of its infrastructure.
    let networks = Radl { networks: stored.networks.clone(), ..Radl::default() };
    let of_all = text_size(&networks) + SENTENCE * networks.networks.len() as u64;
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    let mut bytes = 0_u64;
    for deploy in completed.deploys.iter().filter(|deploy| deploy.number > 0) {
        let Some(system) = completed.system(&deploy.system) else { continue };
        let size = *sizes.entry(&deploy.system).or_insert_with(|| of_all + size_of(completed, system));
        bytes = bytes.saturating_add(size.saturating_mul(deploy.number.unsigned_abs()));
    }
    bounded(settings, bytes, "documents of its machines")
}

/// Refuses texts that a request writes into so many machines.
///
/// # Errors
/// The option that says so.
pub fn admit_texts(settings: &EngineSettings, texts: u64, machines: usize) -> Result<(), OperationError> {
    bounded(settings, texts.saturating_mul(machines as u64), "credentials of its machines")
}

fn bounded(settings: &EngineSettings, bytes: u64, what: &str) -> Result<(), OperationError> {
    let limit = settings.max_deployed_size;
    if bytes <= limit {
        return Ok(());
    }
    Err(OperationError::Invalid(format!(
        "The {what} are {bytes} bytes together; one request may make {limit} (MAX_DEPLOYED_SIZE). Ask for fewer machines at \
         a time, or make the document shorter."
    )))
}

fn machines(completed: &Radl) -> u64 {
    completed.deploys.iter().fold(0, |sum, deploy| sum.saturating_add(u64::try_from(deploy.number).unwrap_or(0)))
}

/// What a machine's document has of its system, and what its cloud is given for the first boot.
fn size_of(completed: &Radl, system: &System) -> u64 {
    let recipe = completed.cloud_init(&system.name).and_then(|configure| configure.recipe.as_ref());
    text_size(&Radl { systems: vec![system.clone()], ..Radl::default() })
        + SENTENCE * system.features.softs().len() as u64
        + recipe.map_or(0, |recipe| recipe.len() as u64)
}

fn text_size(document: &Radl) -> u64 {
    document.to_text().len() as u64
}
