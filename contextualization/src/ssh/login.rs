//! From an open byte stream to a logged-in libssh2 session: handshake, host key, credentials.
//!
//! Runs in the session's own thread. libssh2 is in its non-blocking mode throughout, so that every wait has a limit and
//! ends when nobody waits for the result any more.

use super::{ConnectRequest, KeepAlive, Login, SshError, keys};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, Shutdown, recv},
};
use ssh2::{BlockDirections, ErrorCode, KeyboardInteractivePrompt, MethodType, Prompt, Session};
use std::{
    net::TcpStream,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

/// Host key algorithms in order of preference.
const HOST_KEYS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

pub(super) const EAGAIN: i32 = -37;

/// A connected byte stream, non-blocking.
#[derive(Debug)]
pub(super) struct Transport(OwnedFd);

impl Transport {
    /// A TCP connection. The kernel watches it while no channel is open.
    pub(super) fn tcp(stream: TcpStream, watch: KeepAlive) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(watch.interval).with_interval(watch.interval);
        let keepalive = keepalive.with_retries(watch.missed);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Self(stream.into()))
    }

    /// What ends the connection from outside.
    pub(super) fn hang_up(&self) -> std::io::Result<HangUp> {
        self.0.try_clone().map(|socket| HangUp(Some(socket)))
    }

    /// A local stream that something else carries on, already non-blocking.
    pub(super) fn local(stream: UnixStream) -> Self {
        Self(stream.into())
    }
}

/// Ends a connection when it is dropped, whatever its thread is doing.
#[derive(Debug)]
pub(super) struct HangUp(Option<OwnedFd>);

impl HangUp {
    /// The connection is in good hands.
    pub(super) fn not_needed(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // One that is closed already needs nothing more.
            let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) login: usize,
    pub(super) host_key: String,
}

/// Whether libssh2 only asks to be called again.
pub(super) fn would_block(error: &ssh2::Error) -> bool {
    error.code() == ErrorCode::Session(EAGAIN)
}

/// Whether the error concerns the connection as a whole rather than one channel or credential.
pub(super) fn is_fatal(error: &ssh2::Error) -> bool {
    // LIBSSH2_ERROR_*: SOCKET_NONE, BANNER_RECV, BANNER_SEND, INVALID_MAC, KEX_FAILURE, ALLOC, SOCKET_SEND,
    // KEY_EXCHANGE_FAILURE, TIMEOUT, HOSTKEY_INIT, HOSTKEY_SIGN, DECRYPT, SOCKET_DISCONNECT, PROTO, BAD_USE,
    // SOCKET_TIMEOUT, COMPRESS, ENCRYPT, SOCKET_RECV, BAD_SOCKET.
    matches!(error.code(), ErrorCode::Session(-14..=-1 | -43 | -45 | -39 | -30 | -29 | -44))
}

/// Why a step of the login ended early.
enum Stop {
    Late,
    Failed(ssh2::Error),
}

/// Handshake and authentication. Returns the session and a second descriptor of its socket for polling.
pub(super) fn login(
    transport: Transport,
    request: &ConnectRequest,
    abandoned: &dyn Fn() -> bool,
) -> Result<(Session, OwnedFd, Accepted), SshError> {
    let target = request.endpoint.to_string();
    let unreachable = |reason: String| SshError::Unreachable { target: target.clone(), reason };
    let socket = transport.0.try_clone().map_err(|e| unreachable(e.to_string()))?;
    let mut session = Session::new().map_err(|e| unreachable(e.message().to_owned()))?;
    session.set_blocking(false);
    let deadline = Instant::now() + request.timeout;
    let wait = Wait { socket: &socket, deadline, abandoned };

    prefer_host_key(&session, request.host_key.expected.as_deref());
    wait.greeting().map_err(unreachable)?;
    session.set_tcp_stream(transport.0);
    wait.finish(&mut session, Session::handshake).map_err(|stop| unreachable(stop.text()))?;

    let seen = session.host_key().map(|(blob, _)| keys::public_text(blob)).unwrap_or_default();
    if let (true, Some(expected)) = (request.host_key.check, &request.host_key.expected)
        && !keys::same_public(expected, &seen)
    {
        return Err(SshError::HostKeyChanged { target, expected: expected.clone(), seen });
    }
    let login = authenticate(&mut session, &wait, request, &target)?;
    Ok((session, socket, Accepted { login, host_key: seen }))
}

/// Asks for the kind of key that is expected first, so that a server with several keys shows the known one.
fn prefer_host_key(session: &Session, expected: Option<&str>) {
    let known = expected.and_then(|key| key.split_whitespace().next()).unwrap_or_default();
    let fits = |algorithm: &&str| *algorithm == known || (known == "ssh-rsa" && algorithm.starts_with("rsa-"));
    let (first, rest): (Vec<_>, Vec<_>) = HOST_KEYS.iter().copied().partition(fits);
    let order = [first, rest].concat().join(",");
    // A list that this build of libssh2 does not know leaves its own preference in place.
    let _ = session.method_pref(MethodType::HostKey, &order);
}

fn authenticate(
    session: &mut Session,
    wait: &Wait<'_>,
    request: &ConnectRequest,
    target: &str,
) -> Result<usize, SshError> {
    let user = request.user.as_str();
    let mut invalid = None;
    let mut refused = false;
    let methods = match wait.finish(session, |s| s.auth_methods(user).map(str::to_owned)) {
        Ok(methods) => methods,
        Err(_) if session.authenticated() => return Ok(0),
        Err(stop) => return Err(SshError::Unreachable { target: target.to_owned(), reason: stop.text() }),
    };
    let offers = |method: &str| methods.split(',').any(|m| m == method);

    for (index, login) in request.logins.iter().enumerate() {
        let result = match login {
            Login::Password(password) if offers("password") || !offers("keyboard-interactive") => {
                wait.finish(session, |s| s.userauth_password(user, password))
            }
            Login::Password(password) => {
                wait.finish(session, |s| s.userauth_keyboard_interactive(user, &mut PasswordPrompt(password)))
            }
            Login::PrivateKey(text) => match keys::normalize(text) {
                Ok(key) => wait.finish(session, |s| s.userauth_pubkey_memory(user, None, &key, None)),
                Err(reason) => {
                    invalid.get_or_insert(reason);
                    continue;
                }
            },
        };
        match result {
            Ok(()) => return Ok(index),
            Err(Stop::Failed(error)) if !is_fatal(&error) => refused = true,
            // A server that hangs up after some refusals has refused.
            Err(Stop::Failed(_)) if refused => break,
            Err(stop) => return Err(SshError::Unreachable { target: target.to_owned(), reason: stop.text() }),
        }
    }
    match invalid {
        Some(reason) => Err(SshError::InvalidPrivateKey(reason.to_string())),
        None => Err(SshError::AuthFailed { target: target.to_owned(), user: user.to_owned() }),
    }
}

/// Answers every prompt with the password.
struct PasswordPrompt<'a>(&'a str);

impl KeyboardInteractivePrompt for PasswordPrompt<'_> {
    fn prompt(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'_>]) -> Vec<String> {
        prompts.iter().map(|_| self.0.to_owned()).collect()
    }
}

/// Waiting on the socket while libssh2 is not done.
struct Wait<'a> {
    socket: &'a OwnedFd,
    deadline: Instant,
    abandoned: &'a dyn Fn() -> bool,
}

impl Wait<'_> {
    /// Repeats a step until libssh2 is done with it.
    fn finish<T>(
        &self,
        session: &mut Session,
        mut step: impl FnMut(&mut Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, Stop> {
        loop {
            match step(session) {
                Err(e) if would_block(&e) => {}
                result => return result.map_err(Stop::Failed),
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.abandoned)() {
                return Err(Stop::Late);
            }
            let slice = left.min(Duration::from_millis(500));
            let mut fds = [PollFd::new(self.socket.as_fd(), interest(session))];
            let _ = poll(&mut fds, PollTimeout::try_from(slice).unwrap_or(PollTimeout::ZERO));
        }
    }
}

/// How a server's greeting begins (RFC 4253, 4.2).
const GREETING: &[u8] = b"SSH-";
/// Bytes that a server may send before it.
const MOST_BEFORE: usize = 16 << 10;
/// How long the greeting is waited for before libssh2 waits for it.
const GREETING_WAIT: Duration = Duration::from_secs(2);

impl Wait<'_> {
    /// Reads what a server says before its greeting: libssh2 would read that for ever, without looking at any clock.
    fn greeting(&self) -> Result<(), String> {
        let until = self.deadline.min(Instant::now() + GREETING_WAIT);
        let (mut read, mut begins) = (0, true);
        let mut bytes = [0; 512];
        while read <= MOST_BEFORE {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.abandoned)() {
                // Whoever waits for our greeting first is waited for by libssh2.
                return Ok(());
            }
            let seen = match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK) {
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    let slice = left.min(Duration::from_millis(500));
                    let _ = poll(&mut fds, PollTimeout::try_from(slice).unwrap_or(PollTimeout::ZERO));
                    continue;
                }
                // It says more about the end of the connection.
                Err(_) | Ok(0) => return Ok(()),
                Ok(n) => &bytes[..n],
            };
            if begins && seen.starts_with(GREETING) {
                return Ok(());
            }
            if begins && GREETING.starts_with(seen) {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let line = seen.iter().position(|byte| *byte == b'\n');
            let length = line.map_or(seen.len(), |end| end + 1);
            begins = line.is_some();
            read += recv(self.socket.as_raw_fd(), &mut bytes[..length], MsgFlags::empty()).unwrap_or(0);
        }
        Err("it answers, but not as an SSH server does".to_owned())
    }
}

/// What libssh2 waits for on the socket.
fn interest(session: &Session) -> PollFlags {
    match session.block_directions() {
        BlockDirections::Outbound => PollFlags::POLLOUT,
        BlockDirections::Both => PollFlags::POLLIN | PollFlags::POLLOUT,
        BlockDirections::Inbound | BlockDirections::None => PollFlags::POLLIN,
    }
}

impl Stop {
    fn text(&self) -> String {
        match self {
            Self::Late => "no answer in time".to_owned(),
            Self::Failed(error) => error.message().to_owned(),
        }
    }
}
