//! `imd local`: the nodes and networks of the local cloud on this host, and their records.

use super::{
    Output,
    database::{CommandError, beside, configuration, finish, keyring},
};
use crate::{
    engine::operations::records::{Standing, standing},
    store::{self, Store},
};
use clap::{Args, Subcommand};
use connectors::{
    PowerState,
    local::{LocalCloud, LocalNetwork, LocalNode},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
    process::ExitCode,
    sync::Arc,
};

/// What is done with the nodes of the local cloud.
#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// Lists nodes and networks, and how they stand in the database
    List,
    /// Ends nodes of which no live record is kept, and removes them with their networks
    Clean(CleanArguments),
}

/// Arguments of `imd local clean`.
#[derive(Debug, Args)]
#[command(after_help = "\
The daemon may be running. What the database keeps is never cleaned: delete its infrastructure. --all-unknown also leaves \
alone what was exported and given away, and what was made by a daemon with another database, as long as that is there; \
these are cleaned by their names. Exit status 1: something named is kept, or nothing of that name is there; nothing is \
cleaned then.")]
pub struct CleanArguments {
    /// Nodes, or infrastructures with all their nodes, by their ids
    #[arg(value_name = "ID", required_unless_present = "all_unknown")]
    names: Vec<String>,
    /// All nodes and networks that no database has a record of
    #[arg(long)]
    all_unknown: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Lists, or cleans.
pub(super) fn run(config: Option<&Path>, command: &LocalCommand) -> ExitCode {
    finish(async {
        let config = configuration(config)?;
        let mut settings = crate::daemon::connector_settings(&config).local;
        if !settings.state_dir.exists() {
            return Ok(nothing());
        }
        // Whoever switches the cloud off cleans up, too.
        settings.enabled = true;
        let ours = settings.database.clone();
        let cloud = LocalCloud::open(settings).map_err(|error| CommandError::Refused(error.message))?;
        // Marks first: the record of a node is there before its mark is.
        let (nodes, networks) = (cloud.nodes().map_err(refused)?, cloud.all_networks().map_err(refused)?);
        if nodes.is_empty() && networks.is_empty() {
            return Ok(nothing());
        }
        let store = beside(&config, &keyring(&config)?).await?;
        let view = View::new(&*store, &ours, nodes, networks).await?;
        match command {
            LocalCommand::List => Ok(Output { stdout: view.list(), success: true, ..Output::default() }),
            LocalCommand::Clean(arguments) => clean(&cloud, &view, arguments),
        }
    })
}

fn nothing() -> Output {
    Output { stdout: "The local cloud has no nodes and no networks.\n".to_owned(), success: true, ..Output::default() }
}

fn refused(error: connectors::ConnectorError) -> CommandError {
    CommandError::Refused(error.message)
}

/// What is known of a node, or of the infrastructure of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Record {
    Live,
    Deleted,
    GivenAway,
    Unknown,
    /// A daemon with another database made it, which is there, or may be.
    Elsewhere(String),
}

impl Record {
    fn new(standing: Standing, made_under: Option<&str>, ours: &str) -> Self {
        match (standing, made_under) {
            (Standing::Live, _) => Self::Live,
            (Standing::Deleted, _) => Self::Deleted,
            (Standing::GivenAway, _) => Self::GivenAway,
            (Standing::Unknown, Some(other)) if other == ours || store::is_missing_file(other) => Self::Unknown,
            (Standing::Unknown, other) => {
                Self::Elsewhere(other.unwrap_or("a database of an earlier version").to_owned())
            }
        }
    }

    fn is_lost(&self) -> bool {
        matches!(self, Self::Deleted | Self::Unknown)
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::Deleted => f.write_str("unknown (deleted in the database)"),
            Self::GivenAway => f.write_str("given away"),
            Self::Unknown => f.write_str("unknown"),
            Self::Elsewhere(database) => write!(f, "not here: made under {database}"),
        }
    }
}

/// Nodes and networks with their records.
struct View {
    nodes: Vec<(LocalNode, Record)>,
    networks: Vec<LocalNetwork>,
    /// The infrastructures of networks.
    infrastructures: BTreeMap<String, Record>,
}

impl View {
    async fn new(
        store: &dyn Store,
        ours: &str,
        nodes: Vec<LocalNode>,
        networks: Vec<LocalNetwork>,
    ) -> Result<Self, CommandError> {
        let (mut known, mut infrastructures) = (Vec::new(), BTreeMap::new());
        for node in nodes {
            let standing = standing(store, &node.infrastructure, Some(&node.uid)).await?;
            let record = Record::new(standing, node.database.as_deref(), ours);
            known.push((node, record));
        }
        for network in &networks {
            for id in &network.infrastructures {
                let standing = standing(store, id, None).await?;
                infrastructures.insert(id.clone(), Record::new(standing, network.database.as_deref(), ours));
            }
        }
        Ok(Self { nodes: known, networks, infrastructures })
    }

    fn list(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        for (node, record) in &self.nodes {
            let state = match node.state {
                PowerState::Running => "running",
                PowerState::Pending => "pending",
                PowerState::Stopped => "stopped",
                PowerState::Off | PowerState::Failed => "off",
            };
            let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "node {} of infrastructure {}: {}, {state}, {}; record: {record}",
                node.uid,
                node.infrastructure,
                node.fqdn,
                addresses.join(" ")
            );
        }
        for network in &self.networks {
            let kind = if network.public { "public" } else { "private" };
            let users = network.infrastructures.iter().map(|id| {
                let record = self.infrastructures.get(id).map(ToString::to_string).unwrap_or_default();
                format!("infrastructure {id}; record: {record}")
            });
            let users: Vec<String> = users.collect();
            let _ =
                writeln!(text, "network {} ({kind}, {}) of {}", network.bridge, network.cidr, users.join(", and of "));
        }
        text
    }

    /// What is to be cleaned: nodes, and the infrastructures whose networks go when no node of theirs is left.
    fn chosen(&self, arguments: &CleanArguments) -> Result<(Vec<&LocalNode>, BTreeSet<&str>), Vec<String>> {
        let (mut nodes, mut networks, mut faults) = (Vec::new(), BTreeSet::new(), Vec::new());
        for name in &arguments.names {
            let of_name: Vec<_> =
                self.nodes.iter().filter(|(node, _)| node.uid.0 == *name || node.infrastructure == *name).collect();
            let network = self.infrastructures.get_key_value(name);
            if of_name.is_empty() && network.is_none() {
                faults.push(format!("there is no node and no infrastructure {name}"));
            }
            let live = of_name.iter().filter(|(_, record)| *record == Record::Live).map(|(node, _)| node);
            faults.extend(live.map(|node| kept(&format!("node {}", node.uid), &node.infrastructure)));
            if network.is_some_and(|(_, record)| *record == Record::Live) && of_name.is_empty() {
                faults.push(kept("its network", name));
            }
            nodes.extend(of_name.iter().map(|(node, _)| node));
            networks.extend(of_name.iter().map(|(node, _)| node.infrastructure.as_str()));
            networks.extend(network.map(|(id, _)| id.as_str()));
        }
        if arguments.all_unknown {
            let lost = self.nodes.iter().filter(|(_, record)| record.is_lost()).map(|(node, _)| node);
            nodes.extend(lost);
            networks
                .extend(self.infrastructures.iter().filter(|(_, record)| record.is_lost()).map(|(id, _)| id.as_str()));
        }
        nodes.sort_by(|a, b| a.uid.cmp(&b.uid));
        nodes.dedup();
        // The networks of what stays, stay.
        let stays = |id: &&str| {
            let is_live = self.infrastructures.get(*id) == Some(&Record::Live);
            is_live || self.nodes.iter().any(|(node, _)| node.infrastructure == **id && !nodes.contains(&node))
        };
        networks.retain(|id| !stays(id) && self.infrastructures.contains_key(*id));
        if faults.is_empty() { Ok((nodes, networks)) } else { Err(faults) }
    }
}

fn kept(what: &str, infrastructure: &str) -> String {
    format!("{what} is kept: delete the infrastructure {infrastructure}, or take the machine out of it")
}

fn clean(cloud: &Arc<LocalCloud>, view: &View, arguments: &CleanArguments) -> Result<Output, CommandError> {
    let (nodes, networks) = view.chosen(arguments).map_err(|faults| CommandError::Refused(faults.join("\n")))?;
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let done = if arguments.dry_run { "would be cleaned" } else { "cleaned" };
    let mut told = |what: String, result: Result<(), connectors::ConnectorError>| match result {
        Ok(()) => drop(writeln!(stdout, "{what} {done}")),
        Err(error) => drop(writeln!(stderr, "imd: {what}: {error}")),
    };
    for node in &nodes {
        let result = if arguments.dry_run { Ok(()) } else { cloud.clean_node(&node.uid) };
        told(format!("node {} of infrastructure {}", node.uid, node.infrastructure), result);
    }
    for id in &networks {
        let result = if arguments.dry_run { Ok(()) } else { cloud.clean_networks(id) };
        told(format!("networks of infrastructure {id}"), result);
    }
    if nodes.is_empty() && networks.is_empty() {
        stdout.push_str("Nothing is to be cleaned.\n");
    }
    let success = stderr.is_empty();
    Ok(Output { stdout, stderr, success })
}
