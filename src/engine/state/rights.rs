//! What a caller may do to an infrastructure (docs/spec/api.md 1.10).

use crate::{
    auth::Caller,
    engine::{error::OperationError, state::model::Infrastructure},
};
use std::sync::Arc;

/// Which callers may do something to an infrastructure; administrators may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Its owners, and who shows its token, as its recipes do.
    Use,
    /// Its owners: the token is not enough.
    Own,
    /// Its owners, and the machine of this number.
    Connect(u32),
}

impl Right {
    /// Whether the caller has it.
    #[must_use]
    pub fn is_granted(self, caller: &Caller, infrastructure: &Infrastructure) -> bool {
        let id = &infrastructure.id;
        caller.may_access(&infrastructure.owners)
            || match self {
                Self::Use => caller.is_infrastructure(id),
                Self::Own => false,
                Self::Connect(vm) => caller.is_machine(id, vm),
            }
    }

    /// The infrastructure, for a caller who has it.
    ///
    /// # Errors
    /// Not the caller's; deleted.
    pub fn admit(self, caller: &Caller, model: Arc<Infrastructure>) -> Result<Arc<Infrastructure>, OperationError> {
        if !self.is_granted(caller, &model) {
            return Err(OperationError::NotOwner);
        }
        if model.deleted { Err(OperationError::DeletedInfrastructure) } else { Ok(model) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::{Identity, Principal};

    #[test]
    fn who_may_do_what() {
        let who = |name: &str| Identity { username: name.to_owned(), key: format!("key-{name}"), token: false };
        let model = Arc::new(Infrastructure::new("7f".to_owned(), 0, vec![who("u")]));
        let machine = |infrastructure: &str, vm| Principal::Machine { infrastructure: infrastructure.to_owned(), vm };
        for (principal, expected) in [
            (Principal::User(who("u")), [true, true, true]),
            (Principal::Administrator(who("root")), [true, true, true]),
            (Principal::User(who("v")), [false, false, false]),
            (Principal::Infrastructure("7f".to_owned()), [true, false, false]),
            (Principal::Infrastructure("8a".to_owned()), [false, false, false]),
            (machine("7f", 3), [false, false, true]),
            (machine("7f", 4), [false, false, false]),
            (machine("8a", 3), [false, false, false]),
        ] {
            let caller = Caller { credentials: Arc::default(), principals: vec![principal], expires: None };
            let granted = [Right::Use, Right::Own, Right::Connect(3)].map(|right| right.is_granted(&caller, &model));
            assert_eq!(granted, expected, "{:?}", caller.principals);
            let gone = Arc::new(Infrastructure { deleted: true, ..Infrastructure::clone(&model) });
            let refused = if expected[0] { OperationError::DeletedInfrastructure } else { OperationError::NotOwner };
            assert_eq!(Right::Use.admit(&caller, gone).unwrap_err(), refused, "{:?}", caller.principals);
        }
    }
}
