//! One channel and its local socket: what is on the way between them, and how far it has come.

use super::{Exit, SshError};
use nix::poll::PollFlags;
use std::os::unix::net::UnixStream;
use tokio::sync::oneshot;

/// Bytes beyond the limit of a command that are read to learn how it ends. What says more than that says it for ever.
pub(super) const MOST_DROPPED: usize = 16 << 20;
/// What is said of it.
pub(super) const ENDLESS: &str = "a command does not stop writing: is its shell the right one?";

/// Where a channel leads.
pub(super) enum Destination {
    /// A command line of the remote shell; its standard error is kept up to `stderr` bytes.
    Command { line: String, stderr: usize },
    /// A TCP port as the server sees it.
    Tcp { host: String, port: u16 },
}

/// An open channel: its bytes and how it ends.
#[derive(Debug)]
pub(super) struct Channel<S> {
    pub(super) stream: S,
    pub(super) exit: oneshot::Receiver<Result<Exit, SshError>>,
}

pub(super) struct Open {
    pub(super) destination: Destination,
    pub(super) input: Vec<u8>,
    pub(super) close_input: bool,
    pub(super) local: UnixStream,
    pub(super) opened: oneshot::Sender<Result<(), SshError>>,
    pub(super) exit: oneshot::Sender<Result<Exit, SshError>>,
}

/// Bytes on their way, written from the front.
#[derive(Default)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) start: usize,
}

impl Buffer {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub(super) fn advance(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn fill(&mut self, bytes: &[u8]) {
        *self = Self { bytes: bytes.to_vec(), start: 0 };
    }
}

pub(super) enum Stage {
    /// Waiting for its turn, or for the server's answer.
    Opening,
    /// Open; the command is not accepted yet.
    Starting(ssh2::Channel),
    /// Carrying bytes.
    Running(ssh2::Channel),
    /// Waiting for the server to close its side.
    Closing(ssh2::Channel),
    /// To be forgotten.
    Done,
}

pub(super) struct Bridge {
    pub(super) destination: Destination,
    pub(super) stage: Stage,
    pub(super) local: UnixStream,
    pub(super) up: Buffer,
    pub(super) down: Buffer,
    /// No more input will come from our side.
    pub(super) input_ended: bool,
    /// The server was told so.
    pub(super) eof_sent: bool,
    /// The server's output ended and our side was told so.
    pub(super) output_ended: bool,
    /// Nobody is interested any more.
    pub(super) abandoned: bool,
    pub(super) stderr: Vec<u8>,
    /// Bytes of its standard error that found no room.
    pub(super) dropped: usize,
    pub(super) opened: Option<oneshot::Sender<Result<(), SshError>>>,
    pub(super) exit: Option<oneshot::Sender<Result<Exit, SshError>>>,
}

impl Bridge {
    pub(super) fn new(order: Open) -> Self {
        Self {
            destination: order.destination,
            stage: Stage::Opening,
            local: order.local,
            up: Buffer { bytes: order.input, start: 0 },
            down: Buffer::default(),
            input_ended: order.close_input,
            eof_sent: false,
            output_ended: false,
            abandoned: false,
            stderr: Vec::new(),
            dropped: 0,
            opened: Some(order.opened),
            exit: Some(order.exit),
        }
    }

    /// Whether something from the server would help.
    pub(super) fn wants_network(&self) -> bool {
        !matches!(self.stage, Stage::Running(_)) || self.down.is_empty() || !self.up.is_empty()
    }

    /// What would help on the local side; none when that side is finished.
    pub(super) fn wants_local(&self) -> Option<PollFlags> {
        if self.abandoned || (self.input_ended && self.output_ended) {
            return None;
        }
        let running = matches!(self.stage, Stage::Running(_));
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, running && !self.input_ended && self.up.is_empty());
        flags.set(PollFlags::POLLOUT, !self.down.is_empty());
        Some(flags)
    }

    pub(super) fn refuse(&mut self, error: SshError) {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Err(error));
        }
        self.stage = Stage::Done;
    }
}
