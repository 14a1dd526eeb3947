//! A document as a client sent it, until it is known what it asks of an infrastructure.

use crate::{
    auth::Caller,
    engine::{error::OperationError, operations::tosca, services::Services, state::model::Infrastructure},
};
use radl::Radl;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// A document in its own language. It is read when it arrives, and *resolved* where the infrastructure is kept: what a TOSCA
/// document means depends on what is stored of the infrastructure and on its machines, of which it may ask some to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// RADL, checked by itself.
    Radl(Arc<Radl>),
    /// The text of a TOSCA document.
    Tosca(Arc<str>),
}

impl From<Radl> for Document {
    fn from(radl: Radl) -> Self {
        Self::Radl(Arc::new(radl))
    }
}

/// What a document is for.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// A new infrastructure.
    Creation,
    /// A change of what an infrastructure has and is.
    Update(&'a Arc<Infrastructure>),
    /// Something else about an infrastructure: nothing of a TOSCA document stays.
    Aside,
}

/// What a document asks of an infrastructure.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// The RADL.
    pub radl: Arc<Radl>,
    /// Machines that are to go.
    pub remove: Vec<u32>,
    /// What is stored of a TOSCA document from now on.
    pub stored: Option<Stored>,
    /// What has no effect, in words for whoever wrote it.
    pub warnings: Vec<String>,
}

/// What is stored of a TOSCA document.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its text, merged into the one before.
    pub text: String,
    /// What it was merged into.
    base: Option<Arc<str>>,
    /// The machines that were there then.
    machines: BTreeSet<u32>,
}

impl Stored {
    /// The text of a document that was resolved for an infrastructure.
    pub(super) fn new(text: String, infrastructure: Option<&Infrastructure>) -> Self {
        let base = infrastructure.and_then(|infrastructure| infrastructure.extra_info.tosca()).map(Arc::from);
        Self { text, base, machines: infrastructure.map(machines).unwrap_or_default() }
    }

    /// Whether the infrastructure is still what it was resolved for.
    #[must_use]
    pub fn still_fits(&self, infrastructure: &Infrastructure) -> bool {
        infrastructure.extra_info.tosca() == self.base.as_deref() && machines(infrastructure) == self.machines
    }
}

/// Numbers of the machines that count.
fn machines(infrastructure: &Infrastructure) -> BTreeSet<u32> {
    tosca::counted(infrastructure).map(|vm| vm.number).collect()
}

impl Document {
    /// What it asks for.
    ///
    /// # Errors
    /// A TOSCA document that is refused; too much of the caller at once.
    pub async fn resolve(
        &self,
        services: &Services,
        caller: &Caller,
        purpose: Purpose<'_>,
    ) -> Result<Resolved, OperationError> {
        match self {
            Self::Radl(radl) => Ok(Resolved { radl: radl.clone(), ..Resolved::default() }),
            Self::Tosca(text) => tosca::resolve(services, caller, text.clone(), purpose).await,
        }
    }

    /// What is probably meant otherwise, in words for whoever wrote it. Of a TOSCA document it is known when it is resolved.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Radl(radl) => radl.warnings(),
            Self::Tosca(_) => Vec::new(),
        }
    }
}
