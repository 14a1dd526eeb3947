//! Outputs of the TOSCA document that is stored with an infrastructure (docs/spec/api.md 5.7), evaluated at each call with
//! what is known of its machines.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{engine::Engine, tosca},
        state::render,
    },
};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Attributes whose values are in the logs of machines.
const LOGGED: [&str; 2] = ["ansible_output", "ctxt_log"];

impl Engine {
    /// The outputs by name; none for an infrastructure that was not made from TOSCA.
    ///
    /// # Errors
    /// Those of [`Engine::infrastructure`]; a stored document that is refused; the store.
    pub async fn outputs(&self, caller: &Caller, id: &str) -> Result<Option<Map<String, Value>>, OperationError> {
        let model = self.infrastructure(caller, id).await?;
        let Some(text) = model.extra_info.tosca() else { return Ok(None) };
        let mut logs = HashMap::new();
        if LOGGED.iter().any(|name| text.contains(name)) {
            let stored: HashMap<u32, String> = self.read(self.services.store.vm_logs(id)).await?.into_iter().collect();
            let of = |(number, log): (&u32, &String)| Some((*number, render::vm_log(model.vm(*number)?, log)));
            logs = stored.iter().filter_map(of).collect();
        }
        tosca::outputs(&self.services, caller, model, logs).await
    }
}
