//! Whether credentials are valid, and whose they are (docs/spec/api.md 1.6).

use super::{
    AuthError, Caller, Credentials, Identity, Item, Principal,
    failures::{self, Failures},
    known_callers::KnownCallers,
    parse_header, scoped,
    users::UserFile,
};
use crate::config::{AdminUser, Config};
use openssl::sha::{Sha256, sha256};
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// The keyed hash that makes an identity of username and password, so that owners can be stored without either.
pub type KeyedHash = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// Start of the names given to users with tokens; nobody can claim one with a password.
const TOKEN_USER: &str = "__OPENID__";

/// Decides who is calling.
pub struct Authenticator {
    users: Option<UserFile>,
    admins: Vec<AdminUser>,
    token_required: bool,
    identity_key: KeyedHash,
    /// The clock that credentials end by.
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    known: KnownCallers,
    failures: Failures,
}

/// What a valid credential item proves, and until when: seconds since the epoch, none for as long as it is accepted.
struct Proof {
    principal: Principal,
    expires: Option<i64>,
}

impl Authenticator {
    /// Takes `USER_DB`, `ADMIN_USER` and `FORCE_OIDC_AUTH` from the configuration.
    #[must_use]
    pub fn new(config: &Config, identity_key: KeyedHash, now: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        Self {
            users: config.user_db.clone().map(UserFile::new),
            admins: config.admin_user.clone(),
            token_required: config.force_oidc_auth,
            identity_key,
            now,
            known: KnownCallers::default(),
            failures: Failures::default(),
        }
    }

    /// The caller of a request with this `Authorization` header.
    ///
    /// # Errors
    /// No header, one that cannot be read, or invalid credentials.
    pub async fn authenticate_header(&self, header: Option<&str>) -> Result<Arc<Caller>, AuthError> {
        let header = header.ok_or(AuthError::NoData)?;
        let users = self.users.as_ref().map_or(0, UserFile::version);
        // Not the one-shot function: that one looks the algorithm up at every call.
        let mut hash = Sha256::new();
        hash.update(header.as_bytes());
        let hash = hash.finish();
        if let Some(caller) = self.known.get(&hash, users, (self.now)()) {
            return Ok(caller);
        }
        let caller = Arc::new(self.authenticate(parse_header(header)?).await?);
        self.known.insert(hash, users, &caller);
        Ok(caller)
    }

    /// Forgets callers that were not seen for long, and logs refused logins that were only counted. For ever.
    pub async fn tidy(&self) -> Infallible {
        loop {
            tokio::time::sleep(failures::INTERVAL).await;
            self.known.forget_old(Instant::now());
            self.failures.tell_rest(Instant::now());
        }
    }

    /// The caller with these credentials: every `InfrastructureManager` item must be valid.
    ///
    /// # Errors
    /// [`AuthError::Refused`] with the text of the first check that failed.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Caller, AuthError> {
        let (mut principals, mut expires) = (Vec::new(), None);
        for item in credentials.items.iter().filter(|item| item.kind() == "InfrastructureManager") {
            let proof = self.verify(item).await?;
            expires = proof.expires.into_iter().chain(expires).min();
            if !principals.contains(&proof.principal) {
                principals.push(proof.principal);
            }
        }
        if principals.is_empty() {
            return Err(refused("No credentials provided for the InfrastructureManager."));
        }
        Ok(Caller { credentials: Arc::new(credentials), principals, expires })
    }

    /// Completes when the caller's credentials have ended; never for those that stay valid.
    pub async fn expired(&self, caller: &Caller) {
        caller.expired(&*self.now).await;
    }

    /// The identities of items that a caller names as new owners; an item without a type is one of
    /// `InfrastructureManager`.
    ///
    /// # Errors
    /// Those of [`Authenticator::authenticate`]; the token of an infrastructure, which can own nothing.
    pub async fn new_owners(&self, mut items: Vec<Item>) -> Result<Vec<Identity>, AuthError> {
        for item in &mut items {
            item.0.entry("type".to_owned()).or_insert_with(|| "InfrastructureManager".to_owned());
        }
        let owners = self.authenticate(Credentials { items }).await?.owners();
        if owners.is_empty() {
            return Err(refused("No credentials provided for the InfrastructureManager."));
        }
        Ok(owners)
    }

    /// What an item proves. It waits where somebody else has to say whether the item is valid.
    async fn verify(&self, item: &Item) -> Result<Proof, AuthError> {
        let token = item.get("token").filter(|token| !token.is_empty());
        if self.token_required && token.is_none() {
            return Err(refused("No token provided for the InfrastructureManager."));
        }
        if let Some(principal) = token.and_then(|token| scoped::principal(&self.identity_key, token)) {
            return Ok(Proof { principal, expires: None });
        }
        if token.is_some() {
            // No issuer can be verified, so none is accepted: an unverified token is worth nothing.
            return Err(refused("Invalid InfrastructureManager credentials. Issuer not accepted."));
        }
        let username = item.get("username").unwrap_or_default();
        let password = item.get("password").unwrap_or_default();
        if username.is_empty() {
            return Err(refused("No username nor token for the InfrastructureManager."));
        }
        if username.starts_with(TOKEN_USER) || username.starts_with(scoped::RESERVED_NAME) {
            return Err(refused("Invalid username used for the InfrastructureManager."));
        }
        if self.users.as_ref().is_some_and(|users| !users.admits(username, password)) {
            return Err(AuthError::Denied { earlier: self.failures.note(username, Instant::now()) });
        }
        let is_administrator =
            self.admins.iter().any(|admin| admin.username == username && equal(admin.password.expose(), password));
        let key = (self.identity_key)(username, password);
        let identity = Identity { username: username.to_owned(), key, token: false };
        let principal = if is_administrator { Principal::Administrator } else { Principal::User };
        Ok(Proof { principal: principal(identity), expires: None })
    }
}

fn refused(text: &str) -> AuthError {
    AuthError::Refused(text.to_owned())
}

/// Whether two secrets are equal, in a time that says nothing about either.
pub(super) fn equal(left: &str, right: &str) -> bool {
    openssl::memcmp::eq(&sha256(left.as_bytes()), &sha256(right.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config;

    fn authenticator(options: &str) -> Authenticator {
        let config = config::read(&[("im.cfg".into(), format!("[im]\n{options}\n"))], &[]).into_config().unwrap();
        let identity_key = Arc::new(|username: &str, password: &str| format!("{username}/{password}"));
        Authenticator::new(&config, identity_key, Arc::new(SystemTime::now))
    }

    async fn answer(authenticator: &Authenticator, header: &str) -> String {
        match authenticator.authenticate_header(Some(header)).await {
            Ok(caller) => caller.users().map(|identity| identity.key.as_str()).collect::<Vec<_>>().join(","),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn the_wire_texts_of_every_refusal() {
        let open = authenticator("ADMIN_USER = {\"username\": \"root\", \"password\": \"pw\"}");
        assert_eq!(open.authenticate_header(None).await.unwrap_err().to_string(), "No authentication data provided");
        for (header, expected) in [
            ("", "No credentials provided for the InfrastructureManager."),
            ("xxx", "No credentials provided for the InfrastructureManager."),
            ("type = Dummy", "No credentials provided for the InfrastructureManager."),
            ("TYPE = InfrastructureManager; username = u", "No credentials provided for the InfrastructureManager."),
            ("type = InfrastructureManager", "No username nor token for the InfrastructureManager."),
            ("type = InfrastructureManager; username = ", "No username nor token for the InfrastructureManager."),
            (
                "type = InfrastructureManager; username = __OPENID__u; password = p",
                "Invalid username used for the InfrastructureManager.",
            ),
            ("Bearer a.b.c", "Invalid InfrastructureManager credentials. Issuer not accepted."),
            (
                "type = InfrastructureManager; username = u; token = t",
                "Invalid InfrastructureManager credentials. Issuer not accepted.",
            ),
            ("type = InfrastructureManager; username = u; password = pa=ss", "u/pa=ss"),
            (
                "type = InfrastructureManager; username = u\\ntype = InfrastructureManager; username = v; password = w",
                "u/,v/w",
            ),
        ] {
            assert_eq!(answer(&open, header).await, expected, "{header}");
        }
        let is_administrator =
            async |header: &str| open.authenticate_header(Some(header)).await.unwrap().is_administrator();
        assert!(is_administrator("type = InfrastructureManager; username = root; password = pw").await);
        assert!(!is_administrator("type = InfrastructureManager; username = root; password = p; admin = true").await);
        let forced = authenticator("FORCE_OIDC_AUTH = True");
        assert_eq!(
            answer(&forced, "type = InfrastructureManager; username = u; password = p").await,
            "No token provided for the InfrastructureManager."
        );
    }

    #[tokio::test]
    async fn the_user_file_is_read_again_when_it_changes_and_remembered_callers_go_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let subject = authenticator(&format!("USER_DB = {}", path.display()));
        let header = "type = InfrastructureManager; username = u; password = p";
        let refused = "Invalid InfrastructureManager credentials";
        assert_eq!(answer(&subject, header).await, refused, "no file admits nobody");
        std::fs::write(&path, r#"{"users": [{"username": "u", "password": "p"}]}"#).unwrap();
        assert_eq!(answer(&subject, header).await, "u/p");
        let first = subject.authenticate_header(Some(header)).await.unwrap();
        assert!(Arc::ptr_eq(&first, &subject.authenticate_header(Some(header)).await.unwrap()), "remembered");
        assert_eq!(answer(&subject, "type = InfrastructureManager; username = u; password = pp").await, refused);
        assert_eq!(answer(&subject, "type = InfrastructureManager; username = v; password = p").await, refused);
        std::fs::write(&path, r#"{"users": [{"username": "u", "password": "other"}]}"#).unwrap();
        assert_eq!(answer(&subject, header).await, refused);
        std::fs::write(&path, "not JSON").unwrap();
        assert_eq!(answer(&subject, header).await, refused);
    }
}
