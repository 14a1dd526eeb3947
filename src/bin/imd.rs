//! The daemon's program: command line, logs, exit status.

use clap::Parser;
use imd::{
    cli::{Arguments, Invocation, run},
    daemon,
    pages::FilePages,
    telemetry,
};
use std::{process::ExitCode, time::Duration};

// Gives back what a large infrastructure or a burst of requests took, which the system's allocator keeps.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the allocator is set up (https://jemalloc.net/jemalloc.3.html#tuning): few arenas, and what is free goes back to
/// the system within a second. jemalloc reads it under this name before `main`.
#[cfg(feature = "jemalloc")]
#[allow(unsafe_code)]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 72] = b"background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0,narenas:2\0\0\0\0";

/// Time for blocking calls to end once everything else has stopped; what they do is durable or done again.
const LAST_CALLS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let pages = FilePages::of_program();
    let (config, warnings, new_database) = match run(Arguments::parse()) {
        Invocation::Done(code) => return code,
        Invocation::Run { config, warnings, new_database } => (config, warnings, new_database),
    };
    let _log = match telemetry::init(&config) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("imd: {error}");
            return ExitCode::FAILURE;
        }
    };
    let pages = pages.unwrap_or_else(|error| {
        tracing::info!("memory of the start is kept: {error}");
        FilePages::default()
    });
    for warning in warnings {
        tracing::warn!("configuration: {warning}");
    }
    // Said first, so that OpenSSL does not free its locks at exit: open SSH sessions end in threads of their own.
    openssl::init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(daemon::run(*config, new_database, pages));
    runtime.shutdown_timeout(LAST_CALLS);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the daemon cannot start: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
