//! One thread per connection that moves bytes between libssh2's channels and local sockets.
//!
//! Each channel is bridged to one end of a socket pair; the other end is what the rest of the program reads and writes.
//! So the kernel gives back-pressure, `poll` sees everything, and no channel waits for another one. A channel that
//! nobody reads holds at most its window (2 MB) in libssh2.
//!
//! libssh2 has one rule to obey: when a call stops half-way through *sending* a packet, that same call must be
//! finished before any other one sends. [`Connection::call`] sees to it.

use super::{
    ConnectRequest, Exit, KeepAlive, SshError,
    bridge::{Bridge, Buffer, Channel, Destination, ENDLESS, MOST_DROPPED, Open, Stage},
    login::{self, Accepted, Transport, is_fatal, would_block},
    waste::{self, Busy, Waste},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{Shutdown, shutdown},
};
use ssh2::{BlockDirections, Session};
use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

const CHUNK: usize = 32 << 10;
/// How much longer than its time a login may take before the connection is ended under it: libssh2 reads on, and looks at
/// no clock, as long as the server sends what is of no use to it.
const LOGIN_GRACE: Duration = Duration::from_secs(1);

/// Orders to the thread. Dropping it ends the thread once its channels are done.
#[derive(Debug)]
pub(super) struct Handle {
    target: String,
    orders: Sender<Open>,
    wake: UnixStream,
    ended: Arc<OnceLock<SshError>>,
}

/// Starts the thread and waits for its login. `keep` is dropped when the connection is closed.
pub(super) async fn start(
    transport: Transport,
    request: ConnectRequest,
    times: KeepAlive,
    keep: Box<dyn Send>,
) -> Result<(Handle, Accepted), SshError> {
    let target = request.endpoint.to_string();
    let local = |e: std::io::Error| SshError::Unreachable { target: target.clone(), reason: e.to_string() };
    let (wake, woken) = UnixStream::pair().map_err(local)?;
    wake.set_nonblocking(true).map_err(local)?;
    woken.set_nonblocking(true).map_err(local)?;
    let (orders, inbox) = mpsc::channel();
    let ended = Arc::new(OnceLock::new());
    let handle = Handle { target: target.clone(), orders, wake, ended: Arc::clone(&ended) };
    let (report, reported) = oneshot::channel();
    let hang_up = transport.hang_up().map_err(local)?;
    let patience = request.timeout + LOGIN_GRACE;
    let (busy, (thread, over)) = (Busy::default(), oneshot::channel());
    let is_busy = busy.clone();
    std::thread::Builder::new()
        .name("ssh".to_owned())
        .stack_size(512 << 10)
        .spawn(move || {
            let (_keep, _thread) = (keep, thread);
            match login::login(transport, &request, &|| report.is_closed()) {
                Ok((session, socket, accepted)) => {
                    if report.send(Ok(accepted)).is_ok() {
                        let connection = Connection::new(request.endpoint.to_string(), session, socket, times, is_busy);
                        connection.run(&inbox, &woken, &ended);
                    }
                }
                Err(error) => drop(report.send(Err(error))),
            }
        })
        .map_err(local)?;
    let unreachable = |reason: &str| SshError::Unreachable { target, reason: reason.to_owned() };
    let accepted = match tokio::time::timeout(patience, reported).await {
        Ok(Ok(reported)) => reported?,
        Ok(Err(_)) => return Err(unreachable("the connection's thread ended")),
        Err(_) => return Err(unreachable("it does not stop talking")),
    };
    tokio::spawn(waste::watch(busy, hang_up, times.interval, over));
    Ok((handle, accepted))
}

impl Handle {
    /// Opens a channel and sends `input` on it, then, with `close_input`, the end of input. The local stream is
    /// non-blocking; dropping it closes the channel.
    pub(super) async fn open(
        &self,
        destination: Destination,
        input: Vec<u8>,
        close_input: bool,
    ) -> Result<Channel<UnixStream>, SshError> {
        let local = |e: std::io::Error| SshError::Remote { target: self.target.clone(), reason: e.to_string() };
        let (stream, ours) = UnixStream::pair().map_err(local)?;
        stream.set_nonblocking(true).map_err(local)?;
        ours.set_nonblocking(true).map_err(local)?;
        let (opened, is_open) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        let order = Open { destination, input, close_input, local: ours, opened, exit };
        self.orders.send(order).map_err(|_| self.broken())?;
        // A full pipe already wakes the thread.
        let _ = (&self.wake).write(&[1]);
        is_open.await.unwrap_or_else(|_| Err(self.broken()))?;
        Ok(Channel { stream, exit: exited })
    }

    /// Whether the thread ended.
    pub(super) fn is_closed(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Why nothing works any more.
    pub(super) fn broken(&self) -> SshError {
        let closed = || SshError::Disconnected { target: self.target.clone(), reason: "it was closed".to_owned() };
        self.ended.get().cloned().unwrap_or_else(closed)
    }
}

/// The connection as its thread sees it.
struct Connection {
    target: String,
    session: Session,
    socket: OwnedFd,
    times: KeepAlive,
    heard: Instant,
    asked: Instant,
    busy: Busy,
    /// Time in calls of libssh2 since the thread woke up.
    spent: Duration,
    waste: Waste,
}

/// The connection is of no use any more.
struct Broken(String);

impl Connection {
    fn new(target: String, session: Session, socket: OwnedFd, times: KeepAlive, busy: Busy) -> Self {
        session.set_keepalive(true, 2);
        let now = Instant::now();
        let waste = Waste::new(times.interval, now);
        Self { target, session, socket, times, heard: now, asked: now, busy, spent: Duration::ZERO, waste }
    }

    fn run(mut self, inbox: &Receiver<Open>, woken: &UnixStream, ended: &OnceLock<SshError>) {
        let mut bridges = Vec::new();
        let reason = match self.serve(inbox, woken, &mut bridges) {
            Ok(()) => "it was closed".to_owned(),
            Err(Broken(reason)) => reason,
        };
        let error = SshError::Disconnected { target: self.target.clone(), reason };
        let _ = ended.set(error.clone());
        for bridge in &mut bridges {
            if let Some(exit) = bridge.exit.take() {
                let _ = exit.send(Err(error.clone()));
            }
            bridge.refuse(error.clone());
        }
        // Freeing what is left must neither hang nor leak.
        let Self { session, busy, .. } = self;
        busy.during(|| {
            drop(bridges);
            let _ = session.disconnect(None, "done", None);
            session.set_timeout(500);
            session.set_blocking(true);
            drop(session);
        });
    }

    fn serve(&mut self, inbox: &Receiver<Open>, woken: &UnixStream, bridges: &mut Vec<Bridge>) -> Result<(), Broken> {
        let mut orders_may_come = true;
        let mut used = Instant::now();
        loop {
            while orders_may_come {
                match inbox.try_recv() {
                    Ok(order) => {
                        if bridges.is_empty() {
                            (self.heard, self.asked) = (Instant::now(), Instant::now());
                        }
                        bridges.push(Bridge::new(order));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => orders_may_come = false,
                }
            }
            if !orders_may_come && bridges.is_empty() {
                return Ok(());
            }
            if !bridges.is_empty() {
                used = Instant::now();
            } else if used.elapsed() >= self.times.idle {
                return Err(Broken("it was idle".to_owned()));
            }
            let mut moved = false;
            while self.step_all(bridges)? {
                moved = true;
            }
            if self.waste.is_too_much(std::mem::take(&mut self.spent), Instant::now(), moved) {
                // What would be sent or read now has no end.
                let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
                return Err(Broken("it sends without end what is of no use".to_owned()));
            }
            self.keep_alive(bridges)?;
            self.wait(woken, orders_may_come, bridges)?;
        }
    }

    /// One step of every bridge; false when all of them wait for something.
    fn step_all(&mut self, bridges: &mut Vec<Bridge>) -> Result<bool, Broken> {
        let mut progress = false;
        let mut opening = false;
        for bridge in bridges.iter_mut() {
            // libssh2 keeps the state of opening a channel in the session: one at a time.
            let waits = matches!(bridge.stage, Stage::Opening) && std::mem::replace(&mut opening, true);
            if !waits {
                progress |= self.step(bridge)?;
            }
        }
        let before = bridges.len();
        bridges.retain(|bridge| !matches!(bridge.stage, Stage::Done));
        Ok(progress || bridges.len() < before)
    }

    fn step(&mut self, bridge: &mut Bridge) -> Result<bool, Broken> {
        match std::mem::replace(&mut bridge.stage, Stage::Done) {
            Stage::Opening => self.open(bridge),
            Stage::Starting(channel) => self.start(bridge, channel),
            Stage::Running(channel) => self.carry(bridge, channel),
            Stage::Closing(channel) => self.close(bridge, channel),
            Stage::Done => Ok(false),
        }
    }

    fn open(&mut self, bridge: &mut Bridge) -> Result<bool, Broken> {
        let opened = match &bridge.destination {
            Destination::Command { .. } => self.call(Session::channel_session),
            Destination::Tcp { host, port } => self.call(|s| s.channel_direct_tcpip(host, *port, None)),
        };
        match opened {
            Ok(Some(channel)) => bridge.stage = Stage::Starting(channel),
            Ok(None) => {
                bridge.stage = Stage::Opening;
                return Ok(false);
            }
            Err(e) if is_fatal(&e) => {
                bridge.stage = Stage::Opening;
                return Err(Broken(e.message().to_owned()));
            }
            Err(e) => bridge.refuse(self.open_error(&bridge.destination, e.message())),
        }
        Ok(true)
    }

    fn open_error(&self, destination: &Destination, reason: &str) -> SshError {
        match destination {
            Destination::Tcp { host, port } => {
                let target = super::Endpoint::new(host.as_str(), *port).to_string();
                if reason.contains("connect failed") {
                    SshError::Unreachable { target, reason: format!("connection failed from {}", self.target) }
                } else {
                    SshError::ForwardingDenied { target, reason: reason.to_owned() }
                }
            }
            Destination::Command { .. } => SshError::Remote { target: self.target.clone(), reason: reason.to_owned() },
        }
    }

    fn start(&mut self, bridge: &mut Bridge, mut channel: ssh2::Channel) -> Result<bool, Broken> {
        let started = match &bridge.destination {
            Destination::Tcp { .. } => Ok(Some(())),
            Destination::Command { line, .. } => self.call(|_| channel.exec(line)),
        };
        match started {
            Ok(Some(())) => {
                bridge.stage = Stage::Running(channel);
                let wanted = bridge.opened.take().is_some_and(|opened| opened.send(Ok(())).is_ok());
                bridge.abandoned |= !wanted;
                Ok(true)
            }
            Ok(None) => {
                bridge.stage = Stage::Starting(channel);
                Ok(false)
            }
            Err(e) if is_fatal(&e) => {
                bridge.stage = Stage::Starting(channel);
                Err(Broken(e.message().to_owned()))
            }
            Err(e) => {
                bridge.refuse(SshError::Remote { target: self.target.clone(), reason: e.message().to_owned() });
                bridge.stage = Stage::Closing(channel);
                Ok(true)
            }
        }
    }

    /// Moves what can be moved in both directions.
    fn carry(&mut self, bridge: &mut Bridge, mut channel: ssh2::Channel) -> Result<bool, Broken> {
        if bridge.abandoned || bridge.exit.as_ref().is_some_and(oneshot::Sender::is_closed) && bridge.output_ended {
            bridge.abandoned = true;
            bridge.stage = Stage::Closing(channel);
            return Ok(true);
        }
        let mut progress = self.carry_up(bridge, &mut channel)?;
        progress |= self.carry_down(bridge, &mut channel)?;
        if channel.eof() && bridge.down.is_empty() {
            if !bridge.output_ended {
                bridge.output_ended = true;
                let _ = bridge.local.shutdown(std::net::Shutdown::Write);
                progress = true;
            }
            if self.survivable(|_| channel.wait_close())?.is_some() {
                bridge.stage = Stage::Closing(channel);
                return Ok(true);
            }
        }
        bridge.stage = Stage::Running(channel);
        Ok(progress)
    }

    fn carry_up(&mut self, bridge: &mut Bridge, channel: &mut ssh2::Channel) -> Result<bool, Broken> {
        let mut progress = false;
        if !bridge.input_ended && bridge.up.is_empty() {
            let mut chunk = [0; CHUNK];
            match bridge.local.read(&mut chunk) {
                Ok(0) => (bridge.input_ended, progress) = (true, true),
                Ok(n) => {
                    bridge.up.fill(&chunk[..n]);
                    progress = true;
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => (bridge.abandoned, progress) = (true, true),
            }
        }
        if !bridge.up.is_empty() {
            match self.call_io(|| channel.write(bridge.up.rest()))? {
                Moved::Bytes(n) => {
                    bridge.up.advance(n);
                    progress |= n > 0;
                }
                Moved::Later => {}
                Moved::Refused => {
                    bridge.up = Buffer::default();
                    (bridge.input_ended, bridge.eof_sent, progress) = (true, true, true);
                }
            }
        }
        if bridge.input_ended && bridge.up.is_empty() && !bridge.eof_sent {
            bridge.eof_sent = self.survivable(|_| channel.send_eof())?.is_some();
            progress |= bridge.eof_sent;
        }
        Ok(progress)
    }

    fn carry_down(&mut self, bridge: &mut Bridge, channel: &mut ssh2::Channel) -> Result<bool, Broken> {
        let mut progress = false;
        if bridge.down.is_empty() {
            let mut chunk = [0; CHUNK];
            if let Moved::Bytes(n @ 1..) = self.call_io(|| channel.read(&mut chunk))? {
                bridge.down.fill(&chunk[..n]);
                progress = true;
            }
            if let Destination::Command { stderr: limit, .. } = bridge.destination
                && let Moved::Bytes(n @ 1..) = self.call_io(|| channel.stderr().read(&mut chunk))?
            {
                let room = limit.saturating_sub(bridge.stderr.len());
                bridge.stderr.extend_from_slice(&chunk[..n.min(room)]);
                bridge.dropped += n.saturating_sub(room);
                if bridge.dropped > MOST_DROPPED {
                    let endless = SshError::Remote { target: self.target.clone(), reason: ENDLESS.to_owned() };
                    bridge.exit.take().map(|exit| exit.send(Err(endless)));
                    bridge.abandoned = true;
                }
                progress = true;
            }
        }
        if !bridge.down.is_empty() {
            match bridge.local.write(bridge.down.rest()) {
                Ok(n) => {
                    bridge.down.advance(n);
                    progress = true;
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => (bridge.abandoned, progress) = (true, true),
            }
        }
        Ok(progress)
    }

    /// Closes our side, waits for the other one, and says how it ended.
    fn close(&mut self, bridge: &mut Bridge, mut channel: ssh2::Channel) -> Result<bool, Broken> {
        if self.survivable(|_| channel.close())?.is_none() {
            bridge.stage = Stage::Closing(channel);
            return Ok(false);
        }
        let signal = channel.exit_signal().ok().and_then(|s| s.exit_signal);
        let status = signal.as_deref().map_or_else(|| channel.exit_status().unwrap_or(255), signal_status);
        if let Some(exit) = bridge.exit.take() {
            let _ = exit.send(Ok(Exit { status, stderr: std::mem::take(&mut bridge.stderr) }));
        }
        Ok(true)
    }

    /// Calls libssh2; none when it waits for the server.
    fn call<T>(
        &mut self,
        mut operation: impl FnMut(&Session) -> Result<T, ssh2::Error>,
    ) -> Result<Option<T>, ssh2::Error> {
        let start = Instant::now();
        loop {
            let called = Instant::now();
            let result = self.busy.during(|| operation(&self.session));
            self.spent += called.elapsed();
            match result {
                Ok(value) => return Ok(Some(value)),
                Err(e) if !would_block(&e) => return Err(e),
                Err(e) => {
                    let directions = self.session.block_directions();
                    if !matches!(directions, BlockDirections::Outbound | BlockDirections::Both) {
                        return Ok(None);
                    }
                    if start.elapsed() > self.times.interval * self.times.missed {
                        return Err(e);
                    }
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut fds, PollTimeout::from(1000u16));
                }
            }
        }
    }

    /// Calls libssh2 by [`Connection::call`], where an error of the channel alone counts as done.
    fn survivable(&mut self, operation: impl FnMut(&Session) -> Result<(), ssh2::Error>) -> Result<Option<()>, Broken> {
        match self.call(operation) {
            Ok(done) => Ok(done),
            Err(e) if is_fatal(&e) || would_block(&e) => Err(Broken(e.message().to_owned())),
            Err(_) => Ok(Some(())),
        }
    }

    /// Reads or writes by [`Connection::call`]: their errors hide libssh2's code.
    fn call_io(&mut self, mut operation: impl FnMut() -> std::io::Result<usize>) -> Result<Moved, Broken> {
        let moved = self.call(|session| match operation() {
            Ok(n) => Ok(n),
            Err(e) => Err(ssh2::Error::last_session_error(session).unwrap_or_else(|| {
                let code = if e.kind() == ErrorKind::WouldBlock { login::EAGAIN } else { -43 };
                ssh2::Error::new(ssh2::ErrorCode::Session(code), "the connection broke")
            })),
        });
        match moved {
            Ok(Some(n)) => Ok(Moved::Bytes(n)),
            Ok(None) => Ok(Moved::Later),
            Err(e) if is_fatal(&e) || would_block(&e) => Err(Broken(e.message().to_owned())),
            Err(_) => Ok(Moved::Refused),
        }
    }

    /// Asks a silent server for a sign of life while channels are open. (Without channels nobody reads its answers;
    /// then the kernel watches the TCP connection.)
    fn keep_alive(&mut self, bridges: &[Bridge]) -> Result<(), Broken> {
        let now = Instant::now();
        let KeepAlive { interval, missed, .. } = self.times;
        if bridges.is_empty() || !bridges.iter().any(Bridge::wants_network) {
            self.heard = now;
        }
        if now.duration_since(self.heard) >= interval * (missed + 1) {
            return Err(Broken(format!("no sign of life for {} s", (interval * missed).as_secs())));
        }
        if now.duration_since(self.heard.max(self.asked)) >= interval {
            self.asked = now;
            self.call(|session| session.keepalive_send()).map_err(|e| Broken(e.message().to_owned()))?;
        }
        Ok(())
    }

    /// Sleeps until something can move.
    fn wait(&mut self, woken: &UnixStream, orders_may_come: bool, bridges: &mut [Bridge]) -> Result<(), Broken> {
        let network = if bridges.is_empty() {
            HALF_CLOSED
        } else if bridges.iter().any(Bridge::wants_network) {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        };
        let (answers, locals) = {
            let mut fds = vec![PollFd::new(self.socket.as_fd(), network)];
            if orders_may_come {
                fds.push(PollFd::new(woken.as_fd(), PollFlags::POLLIN));
            }
            let first = fds.len();
            let polled: Vec<usize> = bridges
                .iter()
                .enumerate()
                .filter_map(|(i, bridge)| {
                    fds.push(PollFd::new(bridge.local.as_fd(), bridge.wants_local()?));
                    Some(i)
                })
                .collect();
            let _ = poll(
                &mut fds,
                PollTimeout::try_from(self.times.interval.min(self.times.idle)).unwrap_or(PollTimeout::ZERO),
            );
            // None stands for flags that nix does not name, and this is the only one asked for.
            let answers = fds[0].revents().unwrap_or(HALF_CLOSED);
            let hung_up = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| r.intersects(GONE));
            let gone: Vec<usize> =
                polled.into_iter().zip(&fds[first..]).filter(|(_, fd)| hung_up(fd)).map(|(i, _)| i).collect();
            (answers, gone)
        };
        for index in locals {
            bridges[index].abandoned = true;
        }
        if answers.contains(PollFlags::POLLIN) {
            self.heard = Instant::now();
        } else if answers.intersects(GONE | HALF_CLOSED) {
            return Err(Broken("the server closed it".to_owned()));
        }
        if orders_may_come {
            let mut sink = [0; 64];
            while matches!((&*woken).read(&mut sink), Ok(1..)) {}
        }
        Ok(())
    }
}

const GONE: PollFlags = PollFlags::POLLHUP.union(PollFlags::POLLERR).union(PollFlags::POLLNVAL);
/// POLLRDHUP of Linux: the peer sent its end, whether or not there is something to read.
const HALF_CLOSED: PollFlags = PollFlags::from_bits_retain(0x2000);

enum Moved {
    Bytes(usize),
    Later,
    Refused,
}

/// The status a shell shows for a signal (RFC 4254, 6.10 names them without `SIG`).
fn signal_status(name: &str) -> i32 {
    let number = match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "SEGV" => 11,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 127,
    };
    128 + number
}
