//! Logs of infrastructures and machines.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{engine::Engine, infrastructure::existing},
        state::render,
    },
};
use std::collections::HashMap;

impl Engine {
    /// The log: the infrastructure's header, then every machine's unless `header_only` (docs/spec/api.md 5.5).
    ///
    /// # Errors
    /// Those of [`Engine::infrastructure`]; the store.
    pub async fn contextualization_log(
        &self,
        caller: &Caller,
        id: &str,
        header_only: bool,
    ) -> Result<String, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let header = self.read(self.services.store.log(id, None)).await?;
        if header_only {
            return Ok(header);
        }
        let mut stored: HashMap<u32, String> = self.read(self.services.store.vm_logs(id)).await?.into_iter().collect();
        let vms: Vec<(u32, String)> = model
            .live_vms()
            .map(|vm| (vm.number, render::vm_log(vm, &stored.remove(&vm.number).unwrap_or_default())))
            .filter(|(_, log)| !log.is_empty())
            .collect();
        Ok(render::contextualization_log(&header, &vms))
    }

    /// The log of one machine.
    ///
    /// # Errors
    /// Those of [`Engine::vm`]; the store.
    pub async fn vm_log(&self, caller: &Caller, id: &str, number: u32) -> Result<String, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let vm = existing(&model, number)?;
        Ok(render::vm_log(vm, &self.read(self.services.store.log(id, Some(number))).await?))
    }
}
