//! Deleting what cannot be read.

use crate::{
    auth::Caller,
    engine::{error::OperationError, operations::engine::Engine},
    store::{Changes, leases::Acquired},
};

impl Engine {
    /// Deletes an infrastructure that cannot be read. Its machines are not known, so nothing of them is deleted.
    ///
    /// # Errors
    /// Only administrators may; another daemon keeps it; the store.
    pub(super) async fn discard(
        &self,
        caller: &Caller,
        id: &str,
        damage: OperationError,
    ) -> Result<Vec<String>, OperationError> {
        if !caller.admin {
            return Err(damage);
        }
        let token = match &self.services.cluster {
            Some(cluster) => match cluster.acquire(id).await? {
                Acquired::Held(token) => Some(token),
                Acquired::By(_) => return Err(OperationError::Moved),
            },
            None => None,
        };
        let version = self.services.store.version(id).await?.ok_or(OperationError::UnknownInfrastructure)?;
        let lease = self.services.lease(token);
        let gone = Changes { deleted: Some(true), pending: Some(false), lease, ..Changes::default() };
        self.services.store.commit(id, version, gone).await?;
        self.keepers.forget(id);
        self.services.forget_damage(id);
        tracing::warn!(
            inf = id,
            "an administrator deleted this infrastructure, which could not be read: machines of it that are left in clouds \
             carry its id"
        );
        Ok(vec!["the infrastructure could not be read: machines of it that are left in clouds carry its id".to_owned()])
    }
}
