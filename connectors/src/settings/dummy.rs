//! Section `[Dummy]`: the simulated cloud.

use std::path::PathBuf;

/// What the configuration says of the simulated cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DummySettings {
    /// `STATE_DIR`: directory that keeps the inventory; none to keep it in memory.
    pub state_dir: Option<PathBuf>,
    /// `SOCKET`: where a simulated cloud answers that is a process of its own; none for one inside the daemon.
    pub socket: Option<PathBuf>,
}
