//! The simulated cloud (`Dummy`) as a process of its own, so that it outlives the daemons that use it. See
//! `connectors/src/dummy/docs.md`.

use clap::Parser;
use connectors::{
    ConnectorError,
    dummy::{
        Cloud, Faults,
        server::{Server, listen},
        system_clock,
    },
};
use std::{path::PathBuf, process::ExitCode};
use tokio::io::AsyncReadExt;

/// The simulated cloud as a process of its own; daemons find it by `[Dummy] SOCKET`.
#[derive(Parser)]
struct Arguments {
    /// Unix socket to listen on.
    #[arg(long)]
    socket: PathBuf,
    /// Directory to keep the inventory in, so that it outlives this process too.
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Delays and faults for all accounts, in the words of the credential line: 'latency_ms = 5; lost_reply_rate = 0.05'.
    #[arg(long, default_value = "")]
    faults: String,
    /// Makes what it is asked to make once more, also if it is there.
    #[arg(long)]
    duplicates: bool,
    /// Ends when the standard input ends: together with the process that started it.
    #[arg(long)]
    until_eof: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let faults = Faults::parse(&arguments.faults)?;
    let cloud = match &arguments.state_dir {
        Some(directory) => Cloud::open(directory, system_clock)?,
        None => Cloud::in_memory(system_clock),
    };
    let cloud = if arguments.duplicates { cloud.with_duplicates() } else { cloud };
    let listener = listen(&arguments.socket).map_err(|error: ConnectorError| error.message)?;
    let end_of_input = async {
        if arguments.until_eof {
            tokio::io::stdin().read_to_end(&mut Vec::new()).await.map(drop)
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        served = Server::new(cloud, faults).serve(listener) => match served? {},
        ended = end_of_input => Ok(ended?),
    }
}
