//! The HTTP contracts that the daemon serves on its REST port: one line each.

use super::{
    http::{MountError, Sites},
    oai::{Catalogue, Oai},
    rest::{Rest, RestError, RestState},
};
use std::sync::Arc;

/// Why the HTTP contracts cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SitesError {
    /// A site that cannot be where it is.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The REST API.
    #[error(transparent)]
    Rest(#[from] RestError),
}

/// The sites, each at its prefix; `catalogue` is what `/oai` publishes.
///
/// # Errors
/// Options or routes that cannot be used.
pub fn sites(rest: RestState, catalogue: Option<Catalogue>) -> Result<Sites, SitesError> {
    let mut sites = Sites::new(&rest.registry)?;
    let memory = rest.engine.bodies().clone();
    sites.mount("/", Arc::new(Rest::new(rest)?))?;
    sites.mount("/oai", Arc::new(Oai::new(catalogue, memory)))?;
    Ok(sites)
}
