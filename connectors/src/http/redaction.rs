//! Keeps secrets out of what a cloud says: some repeat in their errors what they were sent.

use crate::CloudAccount;

/// Keys of credential lines whose values are no secrets, and help in a message.
const PUBLIC: [&str; 12] = [
    "auth_version",
    "domain",
    "namespace",
    "project",
    "region",
    "service_region",
    "tenant",
    "tenant_domain_id",
    "tenant_id",
    "username",
    "verify_ssl",
    "vo",
];

/// Shorter values would stand in every other word.
const SHORTEST: usize = 4;

/// What stands in the place of a secret.
const PLACEHOLDER: &str = "***";

/// The secrets of a credential line, to be taken out of texts.
#[derive(Clone)]
pub struct Redaction {
    /// The longest first, so that one that holds another is taken out as a whole.
    secrets: Vec<String>,
}

impl Redaction {
    /// The secrets of a line: the values of all keys that are not known to be none.
    #[must_use]
    pub fn of(account: &CloudAccount) -> Self {
        let fields = account.fields.iter().filter(|(key, _)| !PUBLIC.contains(&key.as_str()));
        let mut secrets: Vec<_> =
            fields.map(|(_, value)| value.clone()).filter(|value| value.len() >= SHORTEST).collect();
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// The text without these secrets, and without `token`.
    #[must_use]
    pub fn redact(&self, text: &str, token: Option<&str>) -> String {
        let all = token.into_iter().chain(self.secrets.iter().map(String::as_str));
        all.filter(|secret| secret.len() >= SHORTEST)
            .fold(text.to_owned(), |text, secret| text.replace(secret, PLACEHOLDER))
    }
}
