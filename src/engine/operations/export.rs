//! Infrastructures as documents that another service can take in (docs/spec/api.md 5.6).

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        exchange::export,
        operations::engine::Engine,
        state::{model::Infrastructure, rights::Right},
    },
};
use std::{collections::HashMap, sync::Arc};

/// Longer documents are made by the command line alone, bytes.
const LARGEST: usize = 64 << 20;

impl Engine {
    /// The infrastructure as the document that the reference exports, with everything its owner may see, secrets of machines
    /// among it; owners are named without their passwords, which are not kept.
    ///
    /// # Errors
    /// Not the caller's; too large; the store.
    pub async fn export(&self, caller: &Caller, id: &str) -> Result<String, OperationError> {
        let (_, model) = self.keepers.view(caller, id, Right::Use).await?;
        exportable(&model)?;
        let write = self.exporting(model).await?;
        self.apart(caller.user(), write).await?
    }

    /// What writes the document of an infrastructure.
    ///
    /// # Errors
    /// The store.
    pub(super) async fn exporting(
        &self,
        model: Arc<Infrastructure>,
    ) -> Result<impl FnOnce() -> Result<String, OperationError> + Send + use<>, OperationError> {
        let header = self.read(self.services.store.log(&model.id, None)).await?;
        let logs: HashMap<u32, String> = self.read(self.services.store.vm_logs(&model.id)).await?.into_iter().collect();
        let clock = self.services.clock();
        Ok(move || {
            let record = export::record(&model, header, &logs, clock)?;
            serde_json::to_string(&record).map_err(|error| OperationError::Invalid(error.to_string()))
        })
    }
}

/// Refuses what would be too long a document.
///
/// # Errors
/// How long it may be.
pub(super) fn exportable(model: &Infrastructure) -> Result<(), OperationError> {
    if export::size(model) <= LARGEST {
        return Ok(());
    }
    Err(OperationError::Invalid(format!(
        "The document of this infrastructure has more than {LARGEST} bytes, and no request could bring it back; `imd \
         export-db` exports it."
    )))
}
