//! Limits of processor time and memory by control groups (kernel documentation, cgroup-v1 and cgroup-v2).

use super::tool::{During, Result};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

/// The groups to make for a node: one of version 2, or one per controller of version 1; empty when none is writable.
pub(super) fn plan(uid: &str) -> Vec<PathBuf> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let parents = parents(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    parents
        .into_iter()
        .filter(|parent| nix::unistd::access(parent.as_path(), nix::unistd::AccessFlags::W_OK).is_ok())
        .map(|parent| parent.join(format!("imd-{uid}")))
        .collect()
}

/// Where groups of nodes go. Version 1: below our own group, so that what limits the daemon's surroundings limits its
/// nodes too. Version 2 allows no groups beside processes there: below the root, when it has the controllers.
fn parents(mounts: &str, own: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(point) = before.split(' ').nth(4) else { continue };
        let mut after = after.split(' ');
        match (after.next(), after.nth(1)) {
            (Some("cgroup"), Some(options)) => {
                let ours = options.split(',').find(|option| ["memory", "cpu"].contains(option));
                let path = own.lines().find_map(|line| {
                    let mut fields = line.splitn(3, ':');
                    let controllers = fields.nth(1)?;
                    controllers.split(',').any(|c| Some(c) == ours).then(|| fields.next())?
                });
                found.extend(path.map(|path| Path::new(point).join(path.trim_start_matches('/'))));
            }
            (Some("cgroup2"), _) => {
                let root = Path::new(point);
                let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
                if ["memory", "cpu"].iter().all(|c| controllers.split_whitespace().any(|own| own == *c)) {
                    found.push(root.to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

/// Makes the groups and puts a process (and so all its children to come) into them. What cannot be limited is left
/// unlimited, with a note in the log.
pub(super) fn apply(groups: &[PathBuf], cpu_count: Option<f64>, memory: Option<u64>, pid: Option<i32>) {
    for group in groups {
        if let Err(error) = apply_one(group, cpu_count, memory, pid) {
            tracing::debug!(group = %group.display(), %error, "node is not limited");
        }
    }
}

fn apply_one(group: &Path, cpu_count: Option<f64>, memory: Option<u64>, pid: Option<i32>) -> std::io::Result<()> {
    if let Some(root) = group.parent()
        && root.join("cgroup.subtree_control").exists()
    {
        fs::write(root.join("cgroup.subtree_control"), "+cpu +memory")?;
    }
    match fs::create_dir(group) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Microseconds of processor time in each tenth of a second; the kernel takes no less than 1000.
    let quota = cpu_count.map(|count| ((count * 100_000.0) as u64).max(1000));
    let set = |file: &str, value: Option<String>| match value {
        Some(value) if group.join(file).exists() => fs::write(group.join(file), value),
        _ => Ok(()),
    };
    set("memory.limit_in_bytes", memory.map(|m| m.to_string()))?;
    set("memory.max", memory.map(|m| m.to_string()))?;
    set("cpu.cfs_quota_us", quota.map(|q| q.to_string()))?;
    set("cpu.max", quota.map(|q| format!("{q} 100000")))?;
    set("cgroup.procs", pid.map(|p| p.to_string()))
}

/// Removes the groups; the processes in them have ended.
pub(super) fn remove(groups: &[PathBuf]) -> Result<()> {
    for group in groups {
        // A group stays busy for a moment after its last process.
        for attempt in 0.. {
            match fs::remove_dir(group) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) if error.kind() == ErrorKind::ResourceBusy && attempt < 200 => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => {
                    other.during(format_args!("removing {}", group.display()))?;
                    break;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_go_below_our_own() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        let own = "5:pids:/\n4:memory:/service/imd\n1:cpu,cpuacct:/\n0::/\n";
        assert_eq!(
            parents(mounts, own),
            [PathBuf::from("/sys/fs/cgroup/cpu/"), PathBuf::from("/sys/fs/cgroup/memory/service/imd")]
        );
    }
}
