//! What the master has, as `probe.sh` tells. Pure; the text comes from the user's machine.

/// An interpreter on the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// `3.11`
    pub version: String,
    /// `x86_64`
    pub machine: String,
    /// `glibc`, `musl`
    pub libc: String,
    /// Where it is.
    pub path: String,
}

impl Python {
    /// Major and minor version; 0.0 when it is none.
    #[must_use]
    pub fn number(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|p| p.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

/// An Ansible that was installed by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preinstalled {
    /// Its `ansible-playbook`.
    pub path: String,
    /// Version of ansible-core.
    pub version: String,
    /// The interpreter it runs on.
    pub python: String,
    /// Whether it has the usual collections.
    pub collections: bool,
}

/// What the master has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// Directory of unpacked archives.
    pub runtime: String,
    /// Names of what is unpacked there.
    pub have: Vec<String>,
    /// Interpreters, the usual one first, one of each version.
    pub pythons: Vec<Python>,
    /// Ansible as somebody else installed it.
    pub preinstalled: Vec<Preinstalled>,
}

impl Probe {
    /// Reads what `probe.sh` printed.
    ///
    /// # Errors
    /// What the script complained about.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut probe = Self::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let words: Vec<&str> = rest.splitn(4, ' ').collect();
            match (kind, &words[..]) {
                ("error", _) => return Err(format!("the master cannot be prepared: {rest}")),
                ("runtime", _) => probe.runtime = rest.to_owned(),
                ("have", _) => probe.have.push(rest.to_owned()),
                ("python", [version, machine, libc, path]) => {
                    let [version, machine, libc, path] = [version, machine, libc, path].map(|w| (*w).to_owned());
                    if probe.pythons.iter().all(|known| known.version != version) {
                        probe.pythons.push(Python { version, machine, libc, path });
                    }
                }
                ("ansible", [version, collections, python, path]) => {
                    let [version, python, path] = [version, python, path].map(|w| (*w).to_owned());
                    let collections = *collections == "with";
                    probe.preinstalled.push(Preinstalled { path, version, python, collections });
                }
                _ => {}
            }
        }
        if probe.runtime.is_empty() {
            return Err("the master did not answer the first command as expected; is its shell a POSIX one?".to_owned());
        }
        Ok(probe)
    }
}
