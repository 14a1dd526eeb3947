//! Whether credentials are valid, and whose they are (docs/spec/api.md 1.6).

use super::{
    AuthError, Caller, Credentials, Identity, Item,
    failures::{self, Failures},
    parse_header, scoped,
    users::UserFile,
};
use crate::{
    bounds::Remembered,
    config::{AdminUser, Config},
};
use openssl::sha::{Sha256, sha256};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The keyed hash that makes an identity of username and password, so that owners can be stored without either.
pub type KeyedHash = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// Start of the names given to users with tokens; nobody can claim one with a password.
const TOKEN_USER: &str = "__OPENID__";
/// Bytes of callers remembered.
const REMEMBERED: usize = 4 << 20;
/// How long a caller is remembered.
const AGE: Duration = Duration::from_secs(300);

/// Decides who is calling.
pub struct Authenticator {
    users: Option<UserFile>,
    admins: Vec<AdminUser>,
    token_required: bool,
    identity_key: KeyedHash,
    /// Valid callers by the hash of their header: the clear text is not a key, and a hit costs one hash.
    cache: Mutex<Cache>,
    failures: Failures,
}

struct Cache {
    /// Version of the user file the entries were made with.
    users: u64,
    callers: Remembered<[u8; 32], Arc<Caller>>,
}

impl Authenticator {
    /// Takes `USER_DB`, `ADMIN_USER` and `FORCE_OIDC_AUTH` from the configuration.
    #[must_use]
    pub fn new(config: &Config, identity_key: KeyedHash) -> Self {
        Self {
            users: config.user_db.clone().map(UserFile::new),
            admins: config.admin_user.clone(),
            token_required: config.force_oidc_auth,
            identity_key,
            cache: Mutex::new(Cache { users: 0, callers: Remembered::new(REMEMBERED, AGE) }),
            failures: Failures::default(),
        }
    }

    /// The caller of a request with this `Authorization` header.
    ///
    /// # Errors
    /// No header, one that cannot be read, or invalid credentials.
    pub fn authenticate_header(&self, header: Option<&str>) -> Result<Arc<Caller>, AuthError> {
        let header = header.ok_or(AuthError::NoData)?;
        let users = self.users.as_ref().map_or(0, UserFile::version);
        // Not the one-shot function: that one looks the algorithm up at every call.
        let mut hash = Sha256::new();
        hash.update(header.as_bytes());
        let hash = hash.finish();
        let cached = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.users != users {
                cache.callers.clear();
                cache.users = users;
            }
            cache.callers.get(&hash, Instant::now()).cloned()
        };
        if let Some(caller) = cached {
            return Ok(caller);
        }
        let caller = Arc::new(self.authenticate(parse_header(header)?)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Made with users that have changed meanwhile: good for this request, not for later ones.
        if cache.users == users {
            cache.callers.insert(hash, caller.clone(), bytes(&caller), Instant::now());
        }
        Ok(caller)
    }

    /// Forgets callers that were not seen for long, and logs refused logins that were only counted. For ever.
    pub async fn tidy(&self) -> Infallible {
        loop {
            tokio::time::sleep(failures::INTERVAL).await;
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).callers.forget_old(Instant::now());
            self.failures.tell_rest(Instant::now());
        }
    }

    /// The caller with these credentials: every `InfrastructureManager` item must be valid.
    ///
    /// # Errors
    /// [`AuthError::Refused`] with the text of the first check that failed.
    pub fn authenticate(&self, credentials: Credentials) -> Result<Caller, AuthError> {
        let mut identities = Vec::new();
        let mut admin = false;
        for item in credentials.items.iter().filter(|item| item.kind() == "InfrastructureManager") {
            let (identity, is_admin) = self.identity(item)?;
            admin |= is_admin;
            if !identities.contains(&identity) {
                identities.push(identity);
            }
        }
        if identities.is_empty() {
            return Err(refused("No credentials provided for the InfrastructureManager."));
        }
        Ok(Caller { credentials: Arc::new(credentials), identities, admin })
    }

    /// The identities of items that a caller names as new owners; an item without a type is one of
    /// `InfrastructureManager`.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`], and the token of an infrastructure, which can own nothing.
    pub fn new_owners(&self, mut items: Vec<Item>) -> Result<Vec<Identity>, AuthError> {
        for item in &mut items {
            item.0.entry("type".to_owned()).or_insert_with(|| "InfrastructureManager".to_owned());
        }
        let owners = self.authenticate(Credentials { items })?.owners();
        if owners.is_empty() {
            return Err(refused("No credentials provided for the InfrastructureManager."));
        }
        Ok(owners)
    }

    fn identity(&self, item: &Item) -> Result<(Identity, bool), AuthError> {
        let token = item.get("token").filter(|token| !token.is_empty());
        if self.token_required && token.is_none() {
            return Err(refused("No token provided for the InfrastructureManager."));
        }
        if let Some(identity) = token.and_then(|token| scoped::identity(&self.identity_key, token)) {
            return Ok((identity, false));
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
        if username.starts_with(TOKEN_USER) || username.starts_with(scoped::USER_PREFIX) {
            return Err(refused("Invalid username used for the InfrastructureManager."));
        }
        if self.users.as_ref().is_some_and(|users| !users.admits(username, password)) {
            return Err(AuthError::Denied { earlier: self.failures.note(username, Instant::now()) });
        }
        let admin =
            self.admins.iter().any(|admin| admin.username == username && equal(admin.password.expose(), password));
        let key = (self.identity_key)(username, password);
        Ok((Identity { username: username.to_owned(), key, token: false }, admin))
    }
}

/// What it takes to remember a caller, roughly.
fn bytes(caller: &Caller) -> usize {
    /// Of a pair in a map, a map and an identity, with what the allocator adds.
    const OVERHEAD: usize = 160;
    let pairs = caller.credentials.items.iter().flat_map(|item| &item.0);
    let pairs: usize = pairs.map(|(key, value)| key.len() + value.len() + OVERHEAD).sum();
    let identities: usize = caller.identities.iter().map(|who| who.username.len() + who.key.len() + OVERHEAD).sum();
    pairs + identities + OVERHEAD * (caller.credentials.items.len() + 2)
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
        Authenticator::new(&config, Arc::new(|username, password| format!("{username}/{password}")))
    }

    fn answer(authenticator: &Authenticator, header: &str) -> String {
        match authenticator.authenticate_header(Some(header)) {
            Ok(caller) => caller.identities.iter().map(|identity| identity.key.as_str()).collect::<Vec<_>>().join(","),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_wire_texts_of_every_refusal() {
        let open = authenticator("ADMIN_USER = {\"username\": \"root\", \"password\": \"pw\"}");
        assert_eq!(open.authenticate_header(None).unwrap_err().to_string(), "No authentication data provided");
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
            assert_eq!(answer(&open, header), expected, "{header}");
        }
        let admin = |header: &str| open.authenticate_header(Some(header)).unwrap().admin;
        assert!(admin("type = InfrastructureManager; username = root; password = pw"));
        assert!(!admin("type = InfrastructureManager; username = root; password = p; admin = true"));
        let forced = authenticator("FORCE_OIDC_AUTH = True");
        assert_eq!(
            answer(&forced, "type = InfrastructureManager; username = u; password = p"),
            "No token provided for the InfrastructureManager."
        );
    }

    #[test]
    fn the_user_file_is_read_again_when_it_changes_and_remembered_callers_go_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let subject = authenticator(&format!("USER_DB = {}", path.display()));
        let header = "type = InfrastructureManager; username = u; password = p";
        let refused = "Invalid InfrastructureManager credentials";
        assert_eq!(answer(&subject, header), refused, "no file admits nobody");
        std::fs::write(&path, r#"{"users": [{"username": "u", "password": "p"}]}"#).unwrap();
        assert_eq!(answer(&subject, header), "u/p");
        let first = subject.authenticate_header(Some(header)).unwrap();
        assert!(Arc::ptr_eq(&first, &subject.authenticate_header(Some(header)).unwrap()), "remembered");
        assert_eq!(answer(&subject, "type = InfrastructureManager; username = u; password = pp"), refused);
        assert_eq!(answer(&subject, "type = InfrastructureManager; username = v; password = p"), refused);
        std::fs::write(&path, r#"{"users": [{"username": "u", "password": "other"}]}"#).unwrap();
        assert_eq!(answer(&subject, header), refused);
        std::fs::write(&path, "not JSON").unwrap();
        assert_eq!(answer(&subject, header), refused);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes_whatever_the_header_is_made_of() {
        let subject = authenticator("");
        let remembered = || subject.cache.lock().unwrap().callers.values().map(|caller| bytes(caller)).sum::<usize>();
        let (many, long) = (";a=1".repeat(60), "x".repeat(10_000));
        let items = format!("\\ntype = Dummy{many}").repeat(60);
        for number in 0..1000 {
            let user = format!("type = InfrastructureManager; username = u{number}");
            for header in [&user, &format!("{user}\\ntype = Dummy; password = {long}"), &format!("{user}{items}")] {
                assert_eq!(answer(&subject, header), format!("u{number}/"));
            }
            assert!(remembered() <= REMEMBERED);
        }
        assert!(remembered() > REMEMBERED / 2);
        subject.cache.lock().unwrap().callers.forget_old(Instant::now() + AGE);
        assert_eq!(remembered(), 0);
    }
}
