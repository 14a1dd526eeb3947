//! The session type that everything else sees: a handle on a connection and its channels.

use super::{
    Admission, ConnectRequest, Endpoint, ExecLimits, Exit, KeepAlive, Output, SshError,
    actor::{self, Handle},
    bridge::{Channel, Destination, ENDLESS, MOST_DROPPED},
    login::Transport,
    quote,
};
use std::{
    os::unix::net::UnixStream as StdUnixStream,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

/// Command channels open at once on one connection, and relays besides them; sshd's MaxSessions is 10 by default.
const CHANNELS: usize = 5;
const RELAYS: usize = 3;

/// A logged-in connection. Clones share it; it closes when the last clone and the last stream are gone.
#[derive(Debug, Clone)]
pub struct SshSession {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    user: String,
    login: usize,
    host_key: String,
    via: Option<SshSession>,
    relayed: bool,
    keep_alive: KeepAlive,
    channels: Arc<Semaphore>,
    relays: Arc<Semaphore>,
    actor: Handle,
}

/// One file of an upload.
#[derive(Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// Path below the destination, without leading `/` and without `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// The bytes.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for TarEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TarEntry({} {:o}, {} bytes)", self.path, self.mode, self.content.len())
    }
}

impl SshSession {
    /// Connects, checks the host key, then tries the logins in order until one is accepted.
    ///
    /// # Errors
    /// [`SshError::Unreachable`], [`SshError::HostKeyChanged`], [`SshError::AuthFailed`],
    /// [`SshError::InvalidPrivateKey`].
    pub async fn connect(request: ConnectRequest) -> Result<Self, SshError> {
        Self::connect_admitted(request, KeepAlive::default(), None).await
    }

    pub(super) async fn connect_admitted(
        request: ConnectRequest,
        keep_alive: KeepAlive,
        admission: Option<Admission>,
    ) -> Result<Self, SshError> {
        let ConnectRequest { endpoint, timeout, .. } = &request;
        let unreachable = |reason: String| SshError::Unreachable { target: endpoint.to_string(), reason };
        let start = Instant::now();
        let stream = tokio::time::timeout(*timeout, TcpStream::connect((endpoint.host.as_str(), endpoint.port)))
            .await
            .map_err(|_| unreachable("no answer in time".to_owned()))?
            .and_then(TcpStream::into_std)
            .map_err(|e| unreachable(e.to_string()))?;
        let transport = Transport::tcp(stream, keep_alive).map_err(|e| unreachable(e.to_string()))?;
        let keep = Keep { admission, relay: None, keep_alive };
        Self::over(transport, request, start, keep, None).await
    }

    /// Connects to a server behind this one, through a forwarded channel of this session; as many hops as wanted. When
    /// the server forbids TCP forwarding a relay command takes its place; waiting for one is not part of the time.
    ///
    /// # Errors
    /// Those of [`SshSession::connect`], and [`SshError::Disconnected`] of this session.
    pub async fn connect_through(&self, request: ConnectRequest) -> Result<Self, SshError> {
        let (Channel { stream, exit }, relay, start) = self.forward(&request.endpoint, request.timeout).await?;
        let relayed = relay.is_some();
        let keep = Keep { admission: None, relay, keep_alive: self.inner.keep_alive };
        match Self::over(Transport::local(stream), request, start, keep, Some(self.clone())).await {
            Err(SshError::Unreachable { target, reason }) if relayed => {
                // The relay knows better why nothing came.
                let exit = tokio::time::timeout(Duration::from_secs(1), self.exit(exit)).await;
                let said = exit.ok().and_then(Result::ok).map(|exit| printable(&exit.stderr)).unwrap_or_default();
                let reason = if said.is_empty() { reason } else { said };
                Err(SshError::Unreachable { target, reason })
            }
            result => result,
        }
    }

    /// A channel to a TCP port on the other side, within `timeout` of the time returned; a relay's permit is to live as
    /// long as the channel.
    pub(super) async fn forward(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> Result<(Channel<StdUnixStream>, Option<OwnedSemaphorePermit>, Instant), SshError> {
        let late = |_| SshError::Unreachable { target: endpoint.to_string(), reason: "no answer in time".to_owned() };
        let start = Instant::now();
        let direct = Destination::Tcp { host: endpoint.host.clone(), port: endpoint.port };
        let opened = tokio::time::timeout(timeout, self.inner.actor.open(direct, Vec::new(), false));
        match opened.await.map_err(late)? {
            Ok(channel) => Ok((channel, None, start)),
            Err(SshError::ForwardingDenied { .. }) => {
                let permit = Arc::clone(&self.inner.relays).acquire_owned().await;
                let permit = permit.map_err(|e| self.remote(e.to_string()))?;
                let start = Instant::now();
                let port = endpoint.port.to_string();
                let line = quote(&["sh", "-c", RELAY, "relay", &endpoint.host, &port]);
                let relay = Destination::Command { line, stderr: 4 << 10 };
                let opened = tokio::time::timeout(timeout, self.inner.actor.open(relay, Vec::new(), false));
                Ok((opened.await.map_err(late)??, Some(permit), start))
            }
            Err(e) => Err(e),
        }
    }

    /// Logs in over an open transport, in what is left of the request's time since `start`.
    async fn over(
        transport: Transport,
        mut request: ConnectRequest,
        start: Instant,
        keep: Keep,
        via: Option<Self>,
    ) -> Result<Self, SshError> {
        request.timeout = request.timeout.saturating_sub(start.elapsed());
        let (endpoint, user) = (request.endpoint.clone(), request.user.clone());
        let (relayed, keep_alive) = (keep.relay.is_some(), keep.keep_alive);
        let (actor, accepted) = actor::start(transport, request, keep_alive, Box::new((keep, via.clone()))).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                endpoint,
                user,
                login: accepted.login,
                host_key: accepted.host_key,
                via,
                relayed,
                keep_alive,
                channels: Arc::new(Semaphore::new(CHANNELS)),
                relays: Arc::new(Semaphore::new(RELAYS)),
                actor,
            }),
        })
    }

    /// The session that this one goes through.
    #[must_use]
    pub fn via(&self) -> Option<&Self> {
        self.inner.via.as_ref()
    }

    /// Whether that one forbids TCP forwarding, so that a relay command carries this one.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.inner.relayed
    }

    /// The server.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// The login name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.inner.user
    }

    /// Index of the login that was accepted.
    #[must_use]
    pub fn login(&self) -> usize {
        self.inner.login
    }

    /// The host key that was shown (OpenSSH form `ssh-ed25519 AAAA...`).
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.inner.host_key
    }

    /// Whether the connection is known to be broken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.actor.is_closed()
    }

    /// Runs a command without input, with the default limits.
    ///
    /// # Errors
    /// [`SshError::Disconnected`], [`SshError::CommandTimeout`], [`SshError::Remote`] when it cannot be started. A
    /// status other than 0 is not an error here.
    pub async fn exec(&self, argv: &[&str]) -> Result<Output, SshError> {
        self.exec_with_input(argv, b"", ExecLimits::default()).await
    }

    /// Runs a command with `stdin` as its input.
    ///
    /// # Errors
    /// Those of [`SshSession::exec`].
    pub async fn exec_with_input(&self, argv: &[&str], stdin: &[u8], limits: ExecLimits) -> Result<Output, SshError> {
        let work = async {
            let (channel, _permit) = self.command(&quote(argv), stdin.to_vec(), true, limits.stderr).await?;
            self.collect(channel, limits).await
        };
        self.within(limits.time, work).await
    }

    /// Runs a command and copies `input` to its standard input as fast as it is taken.
    ///
    /// # Errors
    /// Those of [`SshSession::exec`]; a failure of `input` is [`SshError::Remote`].
    pub async fn upload_stream<R: AsyncRead + Unpin>(
        &self,
        argv: &[&str],
        input: &mut R,
        limits: ExecLimits,
    ) -> Result<Output, SshError> {
        let work = async {
            let (channel, _permit) = self.command(&quote(argv), Vec::new(), false, limits.stderr).await?;
            let Channel { stream, exit } = channel;
            let (output, mut sink) = stream.into_split();
            let copy = async {
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let n =
                        input.read(&mut buffer).await.map_err(|e| self.remote(format!("reading its input: {e}")))?;
                    // A command that ends without reading everything says why by its status.
                    if n == 0 || sink.write_all(&buffer[..n]).await.is_err() {
                        return sink.shutdown().await.or(Ok::<(), SshError>(()));
                    }
                }
            };
            let ((), result) = tokio::try_join!(copy, self.collect(Channel { stream: output, exit }, limits))?;
            Ok(result)
        };
        self.within(limits.time, work).await
    }

    /// Unpacks files below `directory`, which is made when missing, from ONE stream; needs `tar` on the other side and
    /// no SFTP. New directories are private to the user.
    ///
    /// # Errors
    /// Those of [`SshSession::exec`]; [`SshError::Remote`] when a path is unfit or unpacking failed.
    pub async fn upload_tar(&self, directory: &str, entries: &[TarEntry]) -> Result<(), SshError> {
        let archive = archive(entries).map_err(|e| self.remote(format!("packing files: {e}")))?;
        let argv =
            ["sh", "-c", "umask 077 && mkdir -p \"$1\" && exec tar -x -p -o -f - -C \"$1\"", "upload", directory];
        let limits = ExecLimits::within(Duration::from_secs(120));
        let output = self.upload_stream(&argv, &mut archive.as_slice(), limits).await?;
        if output.success() { Ok(()) } else { Err(self.failed(&output)) }
    }

    /// Starts a command whose output is read as it comes, for as long as wanted. The command gets `stdin` (text, no NUL)
    /// and then the end of its input; it is killed when the stream is dropped or the connection breaks.
    ///
    /// # Errors
    /// [`SshError::Disconnected`], [`SshError::Remote`].
    pub async fn stream(&self, argv: &[&str], stdin: &[u8]) -> Result<ExecStream, SshError> {
        let length = stdin.len().to_string();
        let mut line = vec!["sh", "-c", STREAM, "stream", &length];
        line.extend_from_slice(argv);
        let (channel, permit) = self.command(&quote(&line), stdin.to_vec(), false, 64 << 10).await?;
        Ok(ExecStream { stream: channel.stream, exit: channel.exit, session: self.clone(), permit })
    }

    /// [`SshError::Remote`] for a command that ended with a status other than 0.
    #[must_use]
    pub fn failed(&self, output: &Output) -> SshError {
        let tail = printable(&output.stderr);
        self.remote(format!("status {} {tail}", output.status).trim_end().to_owned())
    }

    fn remote(&self, reason: String) -> SshError {
        SshError::Remote { target: self.inner.endpoint.to_string(), reason }
    }

    async fn within<T>(&self, time: Duration, work: impl Future<Output = Result<T, SshError>>) -> Result<T, SshError> {
        tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
            Err(SshError::CommandTimeout { target: self.inner.endpoint.to_string(), seconds: time.as_secs() })
        })
    }

    /// Opens a command channel; the permit is to live as long as the channel.
    async fn command(
        &self,
        line: &str,
        input: Vec<u8>,
        close_input: bool,
        stderr: usize,
    ) -> Result<(Channel<UnixStream>, OwnedSemaphorePermit), SshError> {
        let permit = Arc::clone(&self.inner.channels).acquire_owned().await.map_err(|e| self.remote(e.to_string()))?;
        let destination = Destination::Command { line: line.to_owned(), stderr };
        let channel = self.inner.actor.open(destination, input, close_input).await?;
        let stream = UnixStream::from_std(channel.stream).map_err(|e| self.remote(e.to_string()))?;
        Ok((Channel { stream, exit: channel.exit }, permit))
    }

    async fn collect<S: AsyncRead + Unpin>(&self, channel: Channel<S>, limits: ExecLimits) -> Result<Output, SshError> {
        let Channel { mut stream, exit } = channel;
        let mut stdout = Vec::new();
        let mut dropped = 0;
        let mut buffer = vec![0; 32 << 10];
        loop {
            // An error means that the other end was closed with input still unread; how it ended says the rest.
            let n = stream.read(&mut buffer).await.unwrap_or(0);
            if n == 0 {
                break;
            }
            let kept = n.min(limits.stdout - stdout.len());
            stdout.extend_from_slice(&buffer[..kept]);
            dropped += n - kept;
            if dropped > MOST_DROPPED {
                // Without a reader the channel closes, which ends the command.
                return Err(self.remote(ENDLESS.to_owned()));
            }
        }
        let exit = self.exit(exit).await?;
        Ok(Output { status: exit.status, stdout, stderr: exit.stderr, truncated: dropped > 0 })
    }

    async fn exit(&self, exit: oneshot::Receiver<Result<Exit, SshError>>) -> Result<Exit, SshError> {
        exit.await.unwrap_or_else(|_| Err(self.inner.actor.broken()))
    }
}

/// The end of what a command said on its standard error, in one line.
fn printable(stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let text: String = stderr.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let skip = text.chars().count().saturating_sub(500);
    text.chars().skip(skip).collect()
}

/// What lives as long as the connection does.
struct Keep {
    #[allow(dead_code)]
    admission: Option<Admission>,
    #[allow(dead_code)]
    relay: Option<OwnedSemaphorePermit>,
    keep_alive: KeepAlive,
}

/// Gives a command its first N bytes of input and ends it when the channel closes: without a terminal sshd shows that
/// as the end of standard input only.
const STREAM: &str = r#"n=$1; shift; input=$(head -c "$n"; echo x); exec 3<&0
printf %s "${input%x}" | "$@" 3<&- & p=$!
{ cat; kill "$p"; } <&3 >/dev/null 2>&1 & w=$!
exec 3<&- </dev/null; wait "$p"; s=$?; kill "$w"; exit "$s""#;

/// Copies standard input and output to a TCP port with whatever the machine has.
const RELAY: &str = r#"h=$1; p=$2
for n in nc ncat netcat; do if command -v "$n" >/dev/null 2>&1; then exec "$n" "$h" "$p"; fi; done
for n in python3 python; do if command -v "$n" >/dev/null 2>&1; then exec "$n" -c '
import os, socket, sys, threading
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
except Exception as e:
    sys.exit(str(e))
s.settimeout(None)
def up():
    while True:
        d = os.read(0, 65536)
        if not d: break
        s.sendall(d)
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=up)
t.daemon = True
t.start()
while True:
    d = s.recv(65536)
    if not d: break
    while d:
        d = d[os.write(1, d):]
' "$h" "$p"; fi; done
if command -v bash >/dev/null 2>&1; then
  exec bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit 1; cat <&3 & cat >&3' "$h" "$p"
fi
echo "no nc, python or bash to relay with" >&2; exit 127"#;

/// Packs files as a tar archive.
fn archive(entries: &[TarEntry]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.content.len() as u64);
        header.set_mode(entry.mode);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, &entry.path, entry.content.as_slice())?;
    }
    archive.into_inner()
}

/// The standard output of a running command. Dropping it ends the command.
#[derive(Debug)]
pub struct ExecStream {
    stream: UnixStream,
    exit: oneshot::Receiver<Result<Exit, SshError>>,
    session: SshSession,
    #[allow(dead_code)]
    permit: OwnedSemaphorePermit,
}

impl ExecStream {
    /// How the command ended; waits for its end when it still runs, dropping further output.
    ///
    /// # Errors
    /// [`SshError::Disconnected`] when the connection broke first: end of the output alone does not tell.
    pub async fn finish(self) -> Result<Exit, SshError> {
        let Self { mut stream, exit, session, permit: _permit } = self;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        session.exit(exit).await
    }
}

impl AsyncRead for ExecStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}
