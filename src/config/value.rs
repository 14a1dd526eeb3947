//! What options hold: how each type is read from the text of `im.cfg` or of an environment variable.

use ipnetwork::{IpNetwork, Ipv4Network};
use serde::Deserialize;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// A type an option may have.
pub trait OptionValue: Sized {
    /// The type in an operator's words.
    const KIND: &'static str;
    /// Whether the value must never be shown.
    const SECRET: bool = false;

    /// Reads the value.
    ///
    /// # Errors
    /// What is expected instead. Never holds the value when it is a secret.
    fn parse(text: &str) -> Result<Self, String>;
}

/// Text that no log, error or Debug output shows.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// An entry of `ADMIN_USER`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdminUser {
    /// User name.
    pub username: String,
    /// Password.
    #[serde(default)]
    pub password: Secret,
}

/// An entry of `OIDC_ADMIN_GROUPS`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdminGroup {
    /// Issuer of the token, with its final slash.
    pub issuer: String,
    /// Group whose members are administrators.
    pub group: String,
}

/// Defines an option type with a fixed set of words, first word of each variant shown to the operator.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $expected:literal { $($(#[$vdoc:meta])* $variant:ident = $($word:literal)|+),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl OptionValue for $name {
            const KIND: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($($word)|+ => Ok(Self::$variant),)+
                    _ => Err(concat!("expected ", $expected).to_owned()),
                }
            }
        }
    };
}

words! {
    /// `BOOT_MODE`: which operations are allowed (docs/spec/api.md 4.8).
    BootMode: "0 (everything), 1 (read only) or 2 (read and delete)" {
        /// Everything.
        Normal = "0",
        /// Nothing that changes an infrastructure.
        ReadOnly = "1",
        /// Nothing that changes an infrastructure but its destruction.
        ReadDelete = "2",
    }
}

words! {
    /// `LOG_FORMAT`.
    LogFormat: "text or json" {
        /// A line of text per event.
        Text = "text",
        /// A JSON object per line.
        Json = "json",
    }
}

words! {
    /// `LOG_LEVEL`.
    LogLevel: "DEBUG, INFO, WARN, WARNING, ERROR, FATAL or CRITICAL" {
        /// Everything but traces.
        Debug = "debug",
        /// What an operator wants to follow.
        Info = "info",
        /// What may need attention.
        Warn = "warn" | "warning",
        /// What went wrong.
        Error = "error" | "fatal" | "critical",
    }
}

words! {
    /// `CTXT_EXPOSE_AUTH`: what recipes see of the owner's credentials.
    ExposeAuth: "scoped, full or none" {
        /// A token that is good for their own infrastructure only.
        Scoped = "scoped",
        /// The owner's InfrastructureManager credentials.
        Full = "full",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// `CTXT_COLLECTIONS`: which Ansible collections the offline bundle brings.
    Collections: "slim, default or full" {
        /// posix, windows and the community general ones.
        Slim = "slim",
        /// Those of slim, and crypto, docker, kubernetes and databases.
        Default = "default",
        /// Everything of the community package.
        Full = "full",
    }
}

words! {
    /// `SSH_KEY_TYPE`: keys that are made for machines and infrastructures.
    SshKeyType: "rsa or ed25519" {
        /// RSA of 2048 bits, in PEM.
        Rsa = "rsa",
        /// Ed25519, in OpenSSH's form.
        Ed25519 = "ed25519",
    }
}

words! {
    /// `CTXT_HOSTKEY`: how the SSH host keys of machines are checked.
    HostKeys: "tofu (trust on first use) or off" {
        /// The key seen first must stay.
        Tofu = "tofu",
        /// Any key is accepted.
        Off = "off",
    }
}

words! {
    /// `CTXT_INVENTORY_TYPES`: types of `IM_NODE_NUM` and `*_NUM_VMS`.
    InventoryTypes: "r2 (strings) or r1 (integers)" {
        /// Strings.
        R2 = "r2",
        /// Integers.
        R1 = "r1",
    }
}

impl OptionValue for bool {
    const KIND: &'static str = "True or False";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(true),
            "no" | "false" | "off" | "0" => Ok(false),
            _ => Err("expected True or False (also yes/no, on/off, 1/0)".into()),
        }
    }
}

/// Whole numbers that differ in their range only.
macro_rules! integers {
    ($($type:ty),+) => {$(
        impl OptionValue for $type {
            const KIND: &'static str = "whole number";

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected a whole number from 0 to {}", <$type>::MAX))
            }
        }
    )+};
}
integers!(u16, u32, u64);

impl OptionValue for usize {
    const KIND: &'static str = "whole number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected a whole number".into())
    }
}

impl OptionValue for Duration {
    const KIND: &'static str = "seconds";

    fn parse(text: &str) -> Result<Self, String> {
        // A bound that keeps every sum with a time of day representable.
        u32::parse(text).map(|seconds| Self::from_secs(seconds.into())).map_err(|_| "expected whole seconds".into())
    }
}

impl OptionValue for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl OptionValue for Secret {
    const KIND: &'static str = "text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// Empty text means none.
impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
}

impl OptionValue for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path".into()) } else { Ok(text.into()) }
    }
}

impl OptionValue for IpAddr {
    const KIND: &'static str = "IP address";

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::from([127, 0, 0, 1]));
        }
        text.parse().map_err(|_| "expected an IP address, such as 0.0.0.0, 127.0.0.1 or ::".into())
    }
}

impl OptionValue for Ipv4Network {
    const KIND: &'static str = "IPv4 range";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected an IPv4 range, such as 10.96.0.0/12".into())
    }
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(item).collect()
}

impl OptionValue for Vec<String> {
    const KIND: &'static str = "list, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        list(text, |part| Ok(part.to_owned()))
    }
}

impl OptionValue for Vec<IpNetwork> {
    const KIND: &'static str = "list of address ranges, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        list(text, |part| part.parse().map_err(|_| format!("{part:?} is not an address range, such as 10.0.0.0/8")))
    }
}

/// A JSON option that is one object or an array of objects; empty text and `{}` mean none.
fn objects<T: serde::de::DeserializeOwned>(text: &str, expected: &str) -> Result<Vec<T>, String> {
    // The position, but not the message of serde, which may quote the value.
    let unreadable = |error: &serde_json::Error| {
        format!("expected {expected} (line {}, column {} of the value)", error.line(), error.column())
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    match serde_json::from_str(text).map_err(|error| unreadable(&error))? {
        serde_json::Value::Array(items) => items,
        serde_json::Value::Object(object) if object.is_empty() => Vec::new(),
        other => vec![other],
    }
    .into_iter()
    .map(|item| serde_json::from_value(item).map_err(|_| format!("expected {expected}")))
    .collect()
}

impl OptionValue for Vec<AdminUser> {
    const KIND: &'static str = "JSON";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        objects(text, r#"JSON: {"username": "...", "password": "..."}, or an array of such"#)
    }
}

impl OptionValue for Vec<AdminGroup> {
    const KIND: &'static str = "JSON";

    fn parse(text: &str) -> Result<Self, String> {
        objects(text, r#"JSON: an array of {"issuer": "...", "group": "..."}"#)
    }
}

/// `[Local] STORAGE`: where the disks of local nodes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalStorage {
    /// In the state directory when its file system can carry an overlay, else in memory.
    Auto,
    /// In the state directory.
    Disk,
    /// In memory, at most this many bytes.
    Memory(u64),
}

impl OptionValue for LocalStorage {
    const KIND: &'static str = "auto, disk or a number of bytes of memory";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "disk" => Ok(Self::Disk),
            bytes => bytes.parse().map(Self::Memory).map_err(|_| format!("expected {}", Self::KIND)),
        }
    }
}

impl OptionValue for Vec<PathBuf> {
    const KIND: &'static str = "list of paths, separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        list(text, |part| Ok(part.into()))
    }
}

/// `DATA_DB`: a path or URL, which may hold a password; its Debug output covers it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The text as given, password included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&cover_password(&self.0))
    }
}

impl OptionValue for DatabaseUrl {
    const KIND: &'static str = "path or URL";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path or sqlite:///path".into()) } else { Ok(Self(text.to_owned())) }
    }
}

/// The text, with the password of `scheme://user:password@host` replaced by `***`.
pub(crate) fn cover_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:***@{host}"),
        None => text.to_owned(),
    }
}
