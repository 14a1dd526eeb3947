//! Section `[Docker]`: engines.

/// What the `[Docker]` section of the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerSettings {
    /// Whether credential lines may name sockets of the daemon's own host. Whoever may use an engine is root on its host.
    pub sockets: bool,
}
