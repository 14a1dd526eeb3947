//! Installing roles and collections on the master, once per infrastructure.

use super::{
    Wanted, sources,
    spec::{ContentKind, Source},
};
use crate::{
    bootstrap::{Privilege, Runtime, packages},
    contract::Settings,
    ssh::{ExecLimits, SshError, SshSession, TarEntry},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// Tries after the first one.
const RETRIES: u32 = 5;

/// What became of a role or collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Whether it was installed now, not before.
    pub fresh: bool,
    /// Why it is not there.
    pub error: Option<String>,
    /// Whether the role has tasks that need all machines in lock step.
    pub lock_step: bool,
    /// Whether it is a role that looks at no other machine.
    pub alone: bool,
}

/// A line of the script's answer.
#[derive(Deserialize)]
struct ScriptLine {
    key: String,
    fresh: bool,
    error: Option<String>,
    lock_step: bool,
    alone: bool,
}

/// The archives in the operator's directory; a directory that cannot be read is reported in the daemon's log.
async fn archives(directory: Option<&Path>) -> Vec<String> {
    let Some(directory) = directory else { return Vec::new() };
    let mut names = Vec::new();
    match tokio::fs::read_dir(directory).await {
        Ok(mut entries) => {
            while let Ok(Some(entry)) = entries.next_entry().await {
                names.extend(entry.file_name().into_string());
            }
        }
        Err(error) => tracing::warn!(directory = %directory.display(), %error, "CTXT_GALAXY_DIR cannot be read"),
    }
    names.sort();
    names
}

/// Installs what is wanted and not there yet, or everything with `again`; one answer for each, in order.
///
/// # Errors
/// The connection; failures of single roles are in the answers.
pub async fn install(
    session: &SshSession,
    settings: &Settings,
    runtime: &Runtime,
    privilege: &Privilege,
    (conf_dir, wanted): (&str, &[Wanted]),
    again: bool,
    time: Duration,
) -> Result<Vec<Installation>, SshError> {
    let local = archives(settings.galaxy_dir.as_deref()).await;
    let mut pushed = Vec::new();
    let mut items = Vec::new();
    for Wanted { requirement, .. } in wanted {
        let file = sources::archive(requirement, &local);
        if let (Some(file), Some(directory)) = (file, &settings.galaxy_dir) {
            match tokio::fs::read(directory.join(file)).await {
                Ok(content) => pushed.push(TarEntry { path: file.to_owned(), mode: 0o600, content }),
                Err(error) => tracing::warn!(file, %error, "an archive of CTXT_GALAXY_DIR cannot be read"),
            }
        }
        let path = file.map(|file| format!("{conf_dir}/galaxy/{file}"));
        let entry = sources::entry(requirement, path.as_deref());
        let kind = requirement.kind.to_string();
        items.push(json!({
            "key": entry.to_string(), "kind": kind, "name": requirement.installed_name(), "entry": entry,
        }));
    }
    if !pushed.is_empty() {
        session.upload_tar(&format!("{conf_dir}/galaxy"), &pushed).await?;
    }
    if wanted.iter().any(|w| matches!(w.requirement.source, Source::Git(_))) {
        let has_git = session.exec(&["sh", "-c", "command -v git"]).await?.success();
        if !has_git && let Err(why) = packages(session, privilege, &["git"], settings.ansible_install_timeout).await? {
            tracing::info!(why, "git cannot be installed on the master");
        }
    }
    let plan = json!({
        "command": runtime.galaxy(),
        "env": environment(runtime, conf_dir),
        "server": settings.galaxy_server,
        "force": again,
        "tries": RETRIES + 1,
        "delay": settings.galaxy_delay.as_secs_f64(),
        "items": items,
    });
    let argv = [runtime.python.as_str(), "-c", include_str!("../../assets/galaxy.py"), conf_dir];
    let output = session.exec_with_input(&argv, plan.to_string().as_bytes(), ExecLimits::within(time)).await?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let answers: BTreeMap<String, ScriptLine> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .map(|a: ScriptLine| (a.key.clone(), a))
        .collect();
    // What git and others say may repeat a URL with its credentials, also that of another item.
    let hide = |error: String| wanted.iter().fold(error, |error, one| one.requirement.hide(&error));
    let became = |item: &Value| match answers.get(item["key"].as_str().unwrap_or_default()) {
        Some(ScriptLine { fresh, error, lock_step, alone, .. }) => {
            Installation { fresh: *fresh, error: error.clone().map(hide), lock_step: *lock_step, alone: *alone }
        }
        None => {
            let error = Some(hide(session.failed(&output).to_string()));
            Installation { fresh: false, error, lock_step: false, alone: false }
        }
    };
    Ok(items.iter().map(became).collect())
}

/// Nothing of the user's or the machine's own Ansible settings, no questions, no files outside the conf dir.
fn environment(runtime: &Runtime, conf_dir: &str) -> BTreeMap<&'static str, String> {
    let mut env = BTreeMap::from([
        ("ANSIBLE_CONFIG", format!("{conf_dir}/.im/galaxy.cfg")),
        ("ANSIBLE_HOME", format!("{conf_dir}/.im/ansible")),
        ("ANSIBLE_LOCAL_TEMP", format!("{conf_dir}/tmp")),
        ("ANSIBLE_GALAXY_CACHE_DIR", format!("{conf_dir}/.im/ansible/cache")),
        ("ANSIBLE_GALAXY_TOKEN_PATH", format!("{conf_dir}/.im/ansible/token")),
        ("ANSIBLE_ROLES_PATH", format!("{conf_dir}/roles")),
        ("ANSIBLE_COLLECTIONS_PATH", format!("{conf_dir}/collections")),
        ("ANSIBLE_NOCOLOR", "1".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
    ]);
    if let Some(path) = &runtime.python_path {
        env.insert("PYTHONPATH", path.clone());
    }
    env
}

/// The reference's line for a role or collection of the document.
#[must_use]
pub fn announcement(wanted: &Wanted) -> String {
    let what = if wanted.requirement.kind == ContentKind::Role { "role" } else { "collection" };
    format!("Galaxy {what} {} detected setting to install.", wanted.requirement)
}
