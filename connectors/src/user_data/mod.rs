//! User data: what cloud-init does at the first boot of a machine (docs/spec/connectors.md, 2.14).
//!
//! The engine says what is wanted ([`UserData`], part of the intent); a connector, which knows the login, makes the text
//! of it ([`UserData::text`]) and hands that to its cloud.

mod mime;
#[cfg(test)]
mod tests;

use crate::{ConnectorError, ErrorClass, GuestOs, VmIntent};
use radl::{
    Radl,
    yaml::{self, CLOUD_TEMPLATE, Node, NodeKind},
};

/// How cloud-init is to merge this text with what the cloud adds itself, unless the recipe says so.
const MERGE_HOW: &str = "list(append)+dict(recurse_array,no_replace)+str()";
/// First line of a cloud-config.
const CLOUD_CONFIG: &str = "#cloud-config\n";

/// What is wanted at the first boot of a machine.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserData {
    /// The document's own: a cloud-config (a YAML map), or anything else that cloud-init takes, such as a script.
    pub recipe: Option<String>,
    /// Packages that `commands` need.
    pub packages: Vec<String>,
    /// Our own commands, lines of shell (`runcmd`).
    pub commands: Vec<String>,
}

/// Recipes and commands may hold secrets.
impl std::fmt::Debug for UserData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let recipe = self.recipe.as_ref().map(|recipe| format!("{} bytes", recipe.len()));
        f.debug_struct("UserData").field("recipe", &recipe).field("commands", &self.commands.len()).finish()
    }
}

/// What a connector knows of the machine that is to read the user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Login user and the public key that lets it in; none when the cloud makes the login in another way.
    pub login: Option<(String, String)>,
    /// The port that sshd is to listen on, 22 where the cloud translates ports.
    pub ssh_port: u16,
    /// Whether it runs Windows, which understands nothing of ours.
    pub windows: bool,
}

impl Guest {
    /// The guest that an intent describes, in a cloud that does not translate ports; `default_user` is the login where
    /// the system names none.
    #[must_use]
    pub fn of(intent: &VmIntent, default_user: &str) -> Self {
        let credentials = intent.login();
        let user = credentials.username.unwrap_or_else(|| default_user.to_owned());
        let networks = Radl { networks: intent.networks.clone(), ..Radl::default() };
        Self {
            login: credentials.public_key.map(|key| (user, key.trim().to_owned())),
            ssh_port: networks.ssh_port(),
            windows: intent.guest_os() == GuestOs::Windows,
        }
    }
}

impl UserData {
    /// The text for the cloud, at most one line end at its end; none when there is nothing to say.
    ///
    /// # Errors
    /// `Invalid` for a recipe that cannot be written as YAML again.
    pub fn text(&self, guest: &Guest) -> Result<Option<String>, ConnectorError> {
        let recipe = self.recipe.as_deref().map(str::trim).filter(|recipe| !recipe.is_empty());
        if guest.windows {
            return Ok(recipe.map(str::to_owned));
        }
        let ours = self.ours(guest);
        let Some(recipe) = recipe else {
            return if ours.is_empty() { Ok(None) } else { config(&[], &ours).map(Some) };
        };
        match cloud_config(recipe) {
            Some(pairs) if mergeable(&pairs, &ours) => config(&pairs, &ours).map(Some),
            _ if ours.is_empty() => Ok(Some(recipe.to_owned())),
            _ => Ok(Some(mime::multipart(&[config(&[], &ours)?.as_str(), recipe]))),
        }
    }

    /// Our own part: keys of a cloud-config and what is appended to their lists.
    fn ours(&self, guest: &Guest) -> Vec<(&'static str, Vec<Node>)> {
        let mut commands: Vec<Node> = self.commands.iter().map(|command| Node::text(command)).collect();
        if guest.ssh_port != 22 {
            let port = guest.ssh_port;
            // The first value of the file counts (sshd_config(5)).
            let edit = format!("sed -i -e '/^Port /d' -e '1i Port {port}' /etc/ssh/sshd_config");
            let restart = "service ssh restart || service sshd restart";
            commands.extend([edit.as_str(), restart].map(Node::text));
        }
        let users = guest.login.iter().map(|(user, key)| {
            // No key of a public account is ever fetched (`ssh-import-id`).
            let pairs = [
                ("name", Node::text(user)),
                ("homedir", Node::text(&format!("/opt/{user}"))),
                ("sudo", Node::text("ALL=(ALL) NOPASSWD:ALL")),
                ("lock_passwd", Node::plain("true")),
                ("ssh_authorized_keys", Node::list(vec![Node::text(key)])),
            ];
            Node::mapping(pairs.into_iter().map(|(key, value)| (Node::plain(key), value)).collect())
        });
        let packages = self.packages.iter().map(|package| Node::text(package));
        let parts = [("packages", packages.collect()), ("runcmd", commands), ("users", users.collect())];
        parts.into_iter().filter(|(_, items): &(_, Vec<Node>)| !items.is_empty()).collect()
    }
}

/// The pairs of a recipe that is a cloud-config; none for anything else.
pub(crate) fn cloud_config(recipe: &str) -> Option<Vec<(Node, Node)>> {
    // A template is YAML only after cloud-init has rendered it.
    if recipe.starts_with(CLOUD_TEMPLATE) {
        return None;
    }
    match yaml::parse(recipe).ok()?? {
        Node { kind: NodeKind::Mapping(pairs), .. } => Some(pairs),
        _ => None,
    }
}

/// Whether each of our lists has a list, or nothing, to be appended to.
fn mergeable(pairs: &[(Node, Node)], ours: &[(&str, Vec<Node>)]) -> bool {
    let taken = |(key, value): &(Node, Node)| {
        ours.iter().any(|(name, _)| key.scalar() == Some(name)) && !matches!(value.kind, NodeKind::Sequence(_))
    };
    !pairs.iter().any(taken)
}

/// A cloud-config of a recipe's pairs with our lists appended.
fn config(pairs: &[(Node, Node)], ours: &[(&str, Vec<Node>)]) -> Result<String, ConnectorError> {
    let mut pairs = pairs.to_vec();
    for (name, items) in ours {
        match pairs.iter_mut().rfind(|(key, _)| key.scalar() == Some(name)) {
            Some((_, Node { kind: NodeKind::Sequence(known), .. })) => known.extend(items.iter().cloned()),
            _ => pairs.push((Node::plain(name), Node::list(items.clone()))),
        }
    }
    if !pairs.iter().any(|(key, _)| matches!(key.scalar(), Some("merge_how" | "merge_type"))) {
        pairs.insert(0, (Node::plain("merge_how"), Node::text(MERGE_HOW)));
    }
    let invalid = |error| ConnectorError::new(ErrorClass::Invalid, format!("The cloud-init recipe: {error}"));
    let text = yaml::emit(&Node::mapping(pairs)).map_err(invalid)?;
    Ok(format!("{CLOUD_CONFIG}{}", text.strip_prefix("---\n").unwrap_or(&text)))
}
