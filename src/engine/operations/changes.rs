//! All changes by the names that daemons call them to each other. What one passes on is made here as if it had come in here.

use crate::{
    auth::Caller,
    engine::{
        error::OperationError,
        operations::{
            add::Add, alter::Alter, change::Change, change_owners::ChangeOwners, destroy::Destroy, engine::Engine,
            give_away::GiveAway, power::Power, reconfigure::Reconfigure, refresh::Refresh, remove::Remove,
            snapshot::SnapshotDisk, tunnel::OpenTunnel,
        },
    },
};
use futures::future::BoxFuture;
use serde_json::{Value, value::RawValue};

/// All changes. A new one is a line here.
const CHANGES: [Named; 11] = [
    Named::of::<Add>(),
    Named::of::<Alter>(),
    Named::of::<ChangeOwners>(),
    Named::of::<Destroy>(),
    Named::of::<GiveAway>(),
    Named::of::<OpenTunnel>(),
    Named::of::<Power>(),
    Named::of::<Reconfigure>(),
    Named::of::<Refresh>(),
    Named::of::<Remove>(),
    Named::of::<SnapshotDisk>(),
];

/// A change that is known by its name.
struct Named {
    name: &'static str,
    make: for<'a> fn(&'a Engine, &'a Caller, &'a str, &'a RawValue) -> BoxFuture<'a, Answer>,
}

/// What goes back: the answer as JSON.
type Answer = Result<Value, OperationError>;

impl Named {
    const fn of<C: Change>() -> Self {
        Self { name: C::NAME, make: made::<C> }
    }
}

/// Boxed, since few requests come this way.
fn made<'a, C: Change>(
    engine: &'a Engine,
    caller: &'a Caller,
    id: &'a str,
    parameters: &'a RawValue,
) -> BoxFuture<'a, Answer> {
    Box::pin(async move {
        let change: C = serde_json::from_str(parameters.get()).map_err(|_| unknown(C::NAME))?;
        let answer = engine.make(caller, id, change).await?;
        serde_json::to_value(answer).map_err(|error| OperationError::Unavailable(error.to_string()))
    })
}

fn unknown(name: &str) -> OperationError {
    OperationError::OtherVersion(name.to_owned())
}

impl Engine {
    /// Makes the change of this name with parameters in JSON.
    ///
    /// # Errors
    /// A change that this version does not know, or not with these parameters; those of the change.
    pub(super) async fn make_named(&self, caller: &Caller, id: &str, name: &str, parameters: &RawValue) -> Answer {
        let known = CHANGES.iter().find(|known| known.name == name).ok_or_else(|| unknown(name))?;
        (known.make)(self, caller, id, parameters).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_told_apart() {
        let names: BTreeSet<&str> = CHANGES.iter().map(|change| change.name).collect();
        assert_eq!(names.len(), CHANGES.len());
    }
}
