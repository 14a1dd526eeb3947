//! A document as a client sent it, until it is known what it asks of an infrastructure.

use crate::engine::{error::OperationError, state::model::Infrastructure};
use radl::Radl;
use serde::{Deserialize, Serialize};

/// A document in its own language. It is read when it arrives, and *resolved* where the infrastructure is kept: what a TOSCA
/// document means depends on what is stored of the infrastructure and on its machines, of which it may ask some to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// RADL, checked by itself.
    Radl(Box<Radl>),
    /// The text of a TOSCA document.
    Tosca(String),
}

impl From<Radl> for Document {
    fn from(radl: Radl) -> Self {
        Self::Radl(Box::new(radl))
    }
}

impl Document {
    /// What it asks of an infrastructure, which is empty where one is made from it.
    ///
    /// # Errors
    /// TOSCA, which this version does not understand.
    pub fn resolve(self, _infrastructure: &Infrastructure) -> Result<Radl, OperationError> {
        match self {
            Self::Radl(radl) => Ok(*radl),
            Self::Tosca(_) => {
                Err(OperationError::Invalid("TOSCA is not available in this version, send RADL.".to_owned()))
            }
        }
    }

    /// What is probably meant otherwise, in words for whoever wrote it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Radl(radl) => radl.warnings(),
            Self::Tosca(_) => Vec::new(),
        }
    }
}
