//! What a cloud's folder exports: everything that the registry, and through it the daemon, knows of a type of clouds.

use crate::{CloudAccount, Connector, ConnectorError, ConnectorSettings, Guests};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Makes the connector of a credential line, without its layers and without a remote call.
pub type Connect = fn(&ConnectContext, &CloudAccount) -> Result<Arc<dyn Connector>, ConnectorError>;

/// A type of clouds.
pub struct CloudType {
    /// Its name: `type` of credential lines, `provider.type` of systems.
    pub kind: &'static str,
    /// What its machines are.
    pub guests: Guests,
    /// What tells the accounts of its clouds apart, as [`AccountName`](crate::AccountName) says: where the cloud is and who
    /// uses it, never a secret.
    pub account_name: fn(&CloudAccount) -> String,
    /// Makes its connectors.
    pub connect: Connect,
}

/// What connectors are made with.
pub struct ConnectContext {
    /// What the configuration says.
    pub settings: ConnectorSettings,
    singletons: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl ConnectContext {
    /// Nothing is shared yet.
    #[must_use]
    pub fn new(settings: ConnectorSettings) -> Self {
        Self { settings, singletons: Mutex::default() }
    }

    /// The one value of its type that all connectors of a registry share, such as the simulated cloud; made at its first
    /// use.
    ///
    /// # Errors
    /// What `open` reports; the next caller tries again.
    pub fn singleton<T: Any + Send + Sync>(
        &self,
        open: impl FnOnce(&ConnectorSettings) -> Result<Arc<T>, ConnectorError>,
    ) -> Result<Arc<T>, ConnectorError> {
        let mut singletons = self.singletons.lock().unwrap_or_else(PoisonError::into_inner);
        let known = singletons.get(&TypeId::of::<T>()).map(Arc::clone);
        if let Some(Ok(known)) = known.map(Arc::downcast) {
            return Ok(known);
        }
        let made = open(&self.settings)?;
        singletons.insert(TypeId::of::<T>(), Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        Ok(made)
    }
}
