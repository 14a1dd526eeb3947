//! The accounts of clouds, and of what makes records of names, that a request shows, and which of them is asked about a
//! machine: the one that made it. Another account of the same cloud does not see the machine, and would take it for gone.

use crate::{
    auth::{AuthError, Caller, Credentials, Identity, Item},
    engine::state::model::{CloudRef, Lifecycle, Vm},
};
use connectors::{AccountName, CloudAccount, ConnectorError, ErrorClass, account_name};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// Accounts, in the order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Accounts(Vec<CloudAccount>);

/// Rows of earlier versions have whole credentials instead.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Accounts(Vec<CloudAccount>),
    Credentials(Credentials),
}

impl From<Stored> for Accounts {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Accounts(accounts) => Self(accounts),
            Stored::Credentials(credentials) => Self(credentials.clouds().unwrap_or_default()),
        }
    }
}

impl TryFrom<&Credentials> for Accounts {
    type Error = AuthError;

    fn try_from(credentials: &Credentials) -> Result<Self, AuthError> {
        let mut accounts = credentials.clouds()?;
        accounts.extend(credentials.name_services()?);
        Ok(Self(accounts))
    }
}

impl Accounts {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &CloudAccount> {
        self.0.iter()
    }

    /// Those of clouds; the others make records of names.
    pub fn clouds(&self) -> impl Iterator<Item = &CloudAccount> {
        self.iter().filter(|account| connectors::is_cloud(&account.kind))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The account that made what is in this cloud; where that is not known, one that fits by label and place.
    ///
    /// # Errors
    /// [`ErrorClass::Auth`], naming what is missing.
    pub fn of(&self, cloud: &CloudRef) -> Result<&CloudAccount, ConnectorError> {
        let refused = |text: String| ConnectorError::new(ErrorClass::Auth, text);
        let (kind, label) = (&cloud.kind, &cloud.id);
        let of_kind: Vec<&CloudAccount> = self.0.iter().filter(|account| account.kind == *kind).collect();
        let fits = |account: &&&CloudAccount| match &cloud.account {
            Some(name) => account_name(account).as_ref() == Some(name),
            None => account.endpoint == cloud.endpoint,
        };
        let labelled = of_kind.iter().filter(fits).find(|account| account.id == *label);
        match (labelled.or_else(|| of_kind.iter().find(fits)), &cloud.account) {
            (Some(account), _) => Ok(account),
            (None, Some(name)) if !of_kind.is_empty() => Err(refused(format!(
                "No compatible auth data has been specified to {kind}: the account '{name}' of the cloud {label} is missing."
            ))),
            (None, _) => Err(refused(format!("No auth data has been specified to {kind}."))),
        }
    }

    /// Takes in those of a later request. What it says of an account takes the place of what was known of that one, and
    /// of no other.
    pub fn keep(&mut self, shown: &Self) {
        let name = |account: &CloudAccount| account_name(account).map(|name| (account.kind.clone(), name));
        let named: BTreeSet<(String, AccountName)> = shown.0.iter().filter_map(name).collect();
        self.0.retain(|kept| name(kept).is_none_or(|name| !named.contains(&name)));
        self.0.extend(shown.0.iter().filter(|account| name(account).is_some()).cloned());
    }

    /// Why whoever shows these accounts cannot delete what is in these clouds, each reason once.
    #[must_use]
    pub fn missing<'a>(&self, clouds: impl IntoIterator<Item = &'a CloudRef>) -> Vec<String> {
        let whys: BTreeSet<String> =
            clouds.into_iter().filter_map(|cloud| self.of(cloud).err()).map(|error| error.message).collect();
        whys.into_iter().collect()
    }
}

/// What a caller shows with a request: it stays with the work that the request starts.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Accounts of clouds.
    pub accounts: Arc<Accounts>,
    login: Option<Login>,
}

/// Credentials for this daemon that recipes are to see.
#[derive(Debug, Clone)]
struct Login {
    item: Item,
    /// Everything that the caller is.
    owners: BTreeSet<String>,
}

impl Shown {
    /// What this caller shows; `exposed`: recipes see the credentials of their owner.
    ///
    /// # Errors
    /// Lines of clouds that cannot be read.
    pub fn of(caller: &Caller, exposed: bool) -> Result<Self, AuthError> {
        let accounts = Arc::new(Accounts::try_from(&*caller.credentials)?);
        Ok(Self { accounts, login: if exposed { login(caller) } else { None } })
    }

    /// The caller's own credentials, when nobody else owns an infrastructure of these owners: what its recipes see then
    /// reaches nobody but the caller.
    #[must_use]
    pub fn login_for(&self, owners: &[Identity]) -> Option<&Item> {
        let login = self.login.as_ref()?;
        owners.iter().all(|owner| login.owners.contains(&owner.key)).then_some(&login.item)
    }
}

fn login(caller: &Caller) -> Option<Login> {
    let owners = caller.owners();
    let proves = |item: &&Item| {
        let is_of =
            |who: &Identity| item.get("username") == Some(&who.username) || who.token && item.get("token").is_some();
        item.kind() == "InfrastructureManager" && owners.iter().any(is_of)
    };
    let item = caller.credentials.items.iter().find(proves)?.clone();
    Some(Login { item, owners: owners.into_iter().map(|who| who.key).collect() })
}

/// Whether something of the machine is, or may be, in its cloud.
#[must_use]
pub fn is_in_cloud(vm: &Vm) -> bool {
    match &vm.lifecycle {
        Lifecycle::Launching | Lifecycle::Present(_) | Lifecycle::Deleting(_) => true,
        Lifecycle::Failed { leftover, .. } => *leftover,
        Lifecycle::Planned | Lifecycle::Gone => false,
    }
}

/// A machine that came with an import, or of an earlier version, and was not seen yet by an account that may have made it.
#[must_use]
pub fn is_unclaimed(vm: &Vm) -> bool {
    vm.cloud.account.is_none() && matches!(vm.lifecycle, Lifecycle::Present(_))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::{Principal, parse_header};

    fn accounts(lines: &str) -> Accounts {
        Accounts::try_from(&parse_header(lines).unwrap()).unwrap()
    }

    #[test]
    fn the_account_that_made_a_machine_is_asked_whatever_it_is_called() {
        let made = accounts("id = mine; type = Dummy; username = a; host = h");
        let cloud = CloudRef::from(made.iter().next().unwrap());
        let shown = accounts(
            "id = mine; type = Dummy; username = b; host = h\\nid = x; type = Dummy; username = a; host = h; password = p",
        );
        assert_eq!(shown.of(&cloud).unwrap().id, "x");
        let missing = |lines: &str| accounts(lines).of(&cloud).unwrap_err().message;
        assert_eq!(
            missing("id = mine; type = Dummy; username = b; host = h"),
            "No compatible auth data has been specified to Dummy: the account 'a@h' of the cloud mine is missing."
        );
        assert_eq!(missing("type = Local"), "No auth data has been specified to Dummy.");
        // Nobody knows who made what was imported: the place decides.
        let unclaimed = CloudRef { account: None, ..cloud };
        assert_eq!(shown.of(&unclaimed).unwrap().field("username"), Some("b"));
        assert!(accounts("type = Dummy; host = other").of(&unclaimed).is_err());
    }

    #[test]
    fn what_is_kept_of_an_account_changes_by_that_account_alone() {
        let mut kept = accounts("id = one; type = Dummy; username = a; password = old\\nid = two; type = Local");
        kept.keep(&accounts(
            "id = one; type = Dummy; username = b\\nid = z; type = Dummy; username = a; password = new",
        ));
        let lines: Vec<_> = kept.iter().map(|a| (a.id.as_str(), a.field("password"))).collect();
        assert_eq!(lines, [("two", None), ("one", None), ("z", Some("new"))]);
        kept.keep(&Accounts::default());
        assert_eq!(kept.iter().count(), 3);
    }

    #[test]
    fn rows_of_earlier_versions_are_read() {
        let credentials = r#"[{"type":"InfrastructureManager","username":"u"},{"type":"Dummy","username":"a"}]"#;
        let read: Accounts = serde_json::from_str(credentials).unwrap();
        assert_eq!(read, accounts("type = InfrastructureManager; username = u\\ntype = Dummy; username = a"));
        let again: Accounts = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
    }

    #[test]
    fn a_login_is_exposed_to_its_only_owner() {
        let who = |name: &str| Identity { username: name.to_owned(), key: format!("key-{name}"), token: false };
        let caller = |name: &str| Caller {
            credentials: Arc::new(parse_header(&format!("type = InfrastructureManager; username = {name}")).unwrap()),
            principals: vec![if name == "root" { Principal::Administrator } else { Principal::User }(who(name))],
            expires: None,
        };
        let login = |name: &str, owners: &[&str], exposed: bool| {
            let owners: Vec<Identity> = owners.iter().map(|name| who(name)).collect();
            let shown = Shown::of(&caller(name), exposed).unwrap();
            shown.login_for(&owners).and_then(|item| item.get("username").map(str::to_owned))
        };
        assert_eq!(login("a", &["a"], true).as_deref(), Some("a"));
        assert_eq!(login("a", &["a"], false), None);
        assert_eq!(login("root", &["a"], true), None, "an administrator is somebody else");
        assert_eq!(login("a", &["a", "b"], true), None, "the recipes of others would see it");
    }
}
