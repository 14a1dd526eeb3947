//! From the credential items that name new owners of an infrastructure to identities (docs/spec/api.md 6.4).

use crate::{
    auth::{Authenticator, Identity, Item},
    engine::OperationError,
};

/// The identities of the items.
///
/// # Errors
/// Items that are no valid credentials.
pub async fn identities(authenticator: &Authenticator, items: Vec<Item>) -> Result<Vec<Identity>, OperationError> {
    authenticator
        .new_owners(items)
        .await
        .map_err(|error| OperationError::Invalid(format!("Invalid new infrastructure data provided: {error}")))
}
