//! Logs: a file rotated by size and standard error, as text or JSON (docs/spec/api.md 8.3).
//!
//! What concerns an infrastructure or a machine is logged inside [`infrastructure_span`] or [`vm_span`], so that every
//! line carries their ids. Text of others is never more than text in a line ([`plain`]). Nothing secret is ever a field or a
//! message: secrets have types whose Debug covers them.

pub mod panics;
pub mod plain;
pub mod rotating;

use crate::config::{Config, LogFormat, LogLevel};
use plain::PlainFields;
use rotating::RotatingFile;
use std::{io::IsTerminal, path::Path};
use tracing::Span;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

/// Why there is no logging.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Logging was set up already in this process.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Lines that may wait for a slow disk; room for all of them is taken at the start.
const BUFFERED_LINES: usize = 4096;

/// Keeps the log going; when it is dropped, the last line is written and everything is flushed.
#[derive(Debug)]
#[must_use = "dropping it ends the log file"]
pub struct Guard {
    _file: Option<WorkerGuard>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        tracing::info!("************ Infrastructure Manager daemon stopped ************");
    }
}

/// Starts logging as the configuration says and writes the first line. `RUST_LOG` wins over `LOG_LEVEL`. A log file
/// that cannot be written is a warning on standard error, which then is logged to in any case.
///
/// # Errors
/// [`TelemetryError::AlreadySet`].
pub fn init(config: &Config) -> Result<Guard, TelemetryError> {
    let (file, complaint) = match config.log_file.as_deref().map(|path| open(path, config.log_file_max_size)) {
        Some(Ok(file)) => (Some(file), None),
        Some(Err(complaint)) => (None, Some(complaint)),
        None => (None, None),
    };
    let (writer, worker) = file.unzip();
    let stderr = config.log_stderr || writer.is_none();
    Registry::default()
        .with(filter(config.log_level, std::env::var("RUST_LOG").ok()))
        .with(writer.map(|writer| layer(config.log_format, writer, false)))
        .with(stderr.then(|| layer(config.log_format, std::io::stderr, std::io::stderr().is_terminal())))
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    panics::log();
    tracing::info!("************ Start Infrastructure Manager daemon (v.{}) ************", env!("CARGO_PKG_VERSION"));
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    Ok(Guard { _file: worker })
}

/// Span of everything done for an infrastructure.
pub fn infrastructure_span(infrastructure: &str) -> Span {
    tracing::error_span!("inf", id = infrastructure)
}

/// Span of everything done for one machine of an infrastructure.
pub fn vm_span(infrastructure: &str, vm: u32) -> Span {
    tracing::error_span!("vm", inf = infrastructure, id = vm)
}

fn open(path: &Path, max_size: u64) -> Result<(NonBlocking, WorkerGuard), String> {
    RotatingFile::open(path, max_size)
        .map(|file| NonBlockingBuilder::default().buffered_lines_limit(BUFFERED_LINES).thread_name("log").finish(file))
        .map_err(|error| {
            format!("the log file {} cannot be written: {error}; logging to standard error only", path.display())
        })
}

/// The level is for the daemon's own code; libraries tell their warnings, and nothing when not even those are wanted.
fn filter(level: LogLevel, rust_log: Option<String>) -> EnvFilter {
    let ours = match level {
        LogLevel::Debug => "warn,imd=debug,radl=debug,connectors=debug,contextualization=debug",
        LogLevel::Info => "warn,imd=info,radl=info,connectors=info,contextualization=info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    match rust_log.filter(|directives| !directives.trim().is_empty()) {
        Some(directives) => EnvFilter::builder().parse_lossy(directives),
        None => EnvFilter::new(ours),
    }
}

fn layer<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Text => layer.fmt_fields(PlainFields).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel, rust_log: Option<&str>) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = Registry::default().with(filter(level, rust_log.map(str::to_owned))).with(layer(
            format,
            move || writer.clone(),
            false,
        ));
        tracing::subscriber::with_default(subscriber, || {
            let _vm = vm_span("inf-1", 7).entered();
            tracing::debug!("quiet");
            tracing::info!(state = "running", "loud");
            tracing::info!(user = %"u\n1970-01-01 ERROR forged", "of {}", "a\r\u{1b}[2Jb");
            let _id = infrastructure_span("i\nforged").entered();
            tracing::info!("in a span");
        });
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_carry_the_ids_and_follow_the_level() {
        let text = logged(LogFormat::Text, LogLevel::Info, None);
        assert!(
            text.contains("loud") && text.contains("inf-1") && text.contains("id=7") && !text.contains("quiet"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3, "text of others began a line: {text}");
        assert!(!text.contains(['\r', '\u{1b}']), "{text}");
        let json = logged(LogFormat::Json, LogLevel::Info, None);
        assert_eq!(json.lines().count(), 3, "{json}");
        let json: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&json["message"], &json["state"], &json["spans"][0]["id"]),
            (&"loud".into(), &"running".into(), &7.into())
        );
        assert!(logged(LogFormat::Text, LogLevel::Info, Some("debug")).contains("quiet"));
        assert!(logged(LogFormat::Text, LogLevel::Error, None).is_empty());
    }
}
