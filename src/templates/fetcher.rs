//! One file by HTTPS, because a document names it.
//!
//! Every URL on the way, that of a redirection too, is looked at as the first one, and so is every address that a name in it
//! resolves to. No proxy is used, for behind one nobody knows what is reached.

use super::{
    address,
    mirror::Mirror,
    permission::{self, Permission},
};
use crate::bounds::Remembered;
use futures::future::BoxFuture;
use ipnetwork::IpNetwork;
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CACHE_CONTROL, LOCATION},
    redirect::Policy,
};
use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};

/// Most bytes of a file.
const MOST_BYTES: usize = 1 << 20;
/// Redirections that are followed.
const MOST_REDIRECTIONS: usize = 5;
/// The longest that one file may take, waiting for its turn included.
const LONGEST: Duration = Duration::from_secs(20);
/// The longest that a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);
/// Files that are being fetched at the same time, of all documents together.
const AT_ONCE: usize = 16;
/// Bytes of files that are kept.
const KEPT_BYTES: usize = 16 << 20;
/// The longest that a file is kept, which its server may shorten.
const KEPT: Duration = Duration::from_secs(3600);

/// Why a file cannot be had, and what the user or the operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No URL of a file on the web.
    #[error("it is no https URL of at most 2048 characters")]
    NoUrl,
    /// It would cross the network in the clear.
    #[error("only https is fetched: use an https URL")]
    NotEncrypted,
    /// It has a user or password.
    #[error("a URL with a user name or password is not fetched: use one that needs none")]
    Credentials,
    /// A host that the configuration does not name.
    #[error(
        "documents may not import from {0}: put the definitions into the document, or ask the operator to add {0} to \
         TOSCA_IMPORT_HOSTS or to keep a copy in TOSCA_MIRROR_DIR"
    )]
    Host(String),
    /// Its host is not a public one.
    #[error("the address {0} is {1}, and only public addresses are fetched from: use a file on a public server")]
    Address(IpAddr, &'static str),
    /// The name has no address.
    #[error("the name {0} cannot be resolved: {1}")]
    Name(String, String),
    /// The server's answer is no file.
    #[error("{0}{1}")]
    Status(StatusCode, &'static str),
    /// A server leads from one place to another.
    #[error("it leads on more than {0} times: use the URL that it leads to in the end")]
    Redirections(usize),
    /// A redirection that cannot be followed, and why.
    #[error("it leads to {0}, where {1}")]
    Redirected(String, Box<FetchError>),
    /// Too long.
    #[error("more than {0} bytes: import less")]
    TooLarge(usize),
    /// Too many files of one document, or too many steps from one to the next.
    #[error("the document needs more than {0} files, or files that lead to others more than {1} times: import less")]
    TooMany(usize, usize),
    /// It takes too long.
    #[error("no answer within {} s: try again later", .0.as_secs())]
    TooSlow(Duration),
    /// No text.
    #[error("it is no text in UTF-8")]
    NoText,
    /// A copy on this host that cannot be read.
    #[error("the copy in TOSCA_MIRROR_DIR cannot be read: {0}")]
    Copy(String),
    /// Connection or encryption.
    #[error("{0}")]
    Connection(String),
}

/// Gives the addresses of a name.
pub type Resolver = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;
/// Says why nothing may be fetched from an address.
pub type Refuses = Arc<dyn Fn(IpAddr) -> Option<&'static str> + Send + Sync>;

/// The way to servers; tests have their own.
#[derive(Clone)]
pub struct Network {
    /// From names to addresses.
    pub resolve: Resolver,
    /// Which addresses are refused.
    pub refuses: Refuses,
    /// Authorities that are trusted besides those of the system.
    pub authorities: Vec<Certificate>,
}

impl Network {
    /// The public network: names as the system resolves them; no address that is special, or in one of these ranges.
    #[must_use]
    pub fn public(private: Vec<IpNetwork>) -> Self {
        let resolve: Resolver = Arc::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
        });
        let refuses: Refuses = Arc::new(move |found: IpAddr| {
            let own = || private.iter().any(|range| range.contains(found.to_canonical()));
            address::refusal(found).or_else(|| own().then_some("private"))
        });
        Self { resolve, refuses, authorities: Vec::new() }
    }
}

/// Gives the client only addresses that may be fetched from: it connects to no other.
struct Guarded(Network);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (network, name) = (self.0.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let resolved = (network.resolve)(name.clone()).await;
            let found = resolved.map_err(|error| FetchError::Name(name.clone(), error.to_string()))?;
            let mut refused = FetchError::Name(name, "it has no address".to_owned());
            let mut allowed = Vec::new();
            for address in found {
                match (network.refuses)(address) {
                    None => allowed.push(SocketAddr::new(address, 0)),
                    Some(why) => refused = FetchError::Address(address, why),
                }
            }
            if allowed.is_empty() { Err(refused.into()) } else { Ok(Box::new(allowed.into_iter()) as Addrs) }
        })
    }
}

/// A file that is kept.
struct Kept {
    text: Arc<str>,
    until: Instant,
}

/// Fetches files.
pub struct Fetcher {
    permission: Permission,
    mirror: Option<Mirror>,
    network: Network,
    /// Made when it is first needed: the authorities it trusts take a megabyte.
    client: OnceLock<Client>,
    turns: Semaphore,
    kept: Mutex<Remembered<String, Kept>>,
}

impl Fetcher {
    /// Fetches what `permission` says; `mirror` is a directory with copies, which are taken first and may always be had.
    #[must_use]
    pub fn new(permission: Permission, mirror: Option<PathBuf>, network: Network) -> Self {
        Self {
            permission,
            mirror: mirror.map(Mirror::new),
            network,
            client: OnceLock::new(),
            turns: Semaphore::new(AT_ONCE),
            kept: Mutex::new(Remembered::new(KEPT_BYTES, KEPT)),
        }
    }

    /// The file at a URL that a document names.
    ///
    /// # Errors
    /// It may not or cannot be had.
    pub async fn fetch(&self, url: &str) -> Result<Arc<str>, FetchError> {
        let url = permission::read(url)?;
        self.in_time(url, MOST_BYTES, |url| self.permission.check(url)).await
    }

    /// The file at a URL that the operator names, of at most `most` bytes: any server will do that is a public one.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn fetch_configured(&self, url: Url, most: usize) -> Result<Arc<str>, FetchError> {
        self.in_time(url, most, permission::secure).await
    }

    /// The names of the files that the mirror has below a URL, sorted; none if it has no such folder.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub async fn mirrored(&self, folder: &Url, most: usize) -> Result<Option<Vec<String>>, FetchError> {
        match &self.mirror {
            Some(mirror) => mirror.list(folder, most).await,
            None => Ok(None),
        }
    }

    async fn in_time(
        &self,
        url: Url,
        most: usize,
        check: impl Fn(&Url) -> Result<(), FetchError>,
    ) -> Result<Arc<str>, FetchError> {
        if let Some(mirror) = &self.mirror
            && let Some(bytes) = mirror.read(&url, most).await?
        {
            return text(bytes);
        }
        check(&url)?;
        if let Some(text) = self.known(&url, Instant::now()) {
            return Ok(text);
        }
        let fetched = timeout(LONGEST, async {
            let _turn = self.turns.acquire().await;
            self.follow(&url, most, check).await
        });
        let (text, age) = fetched.await.unwrap_or(Err(FetchError::TooSlow(LONGEST)))?;
        self.keep(&url, &text, age);
        Ok(text)
    }

    /// The file at the end of redirections, and how long it may be kept.
    async fn follow(
        &self,
        asked: &Url,
        most: usize,
        check: impl Fn(&Url) -> Result<(), FetchError>,
    ) -> Result<(Arc<str>, Duration), FetchError> {
        let mut url = asked.clone();
        for _ in 0..=MOST_REDIRECTIONS {
            let on_the_way = |error| if url == *asked { error } else { redirected(&url, error) };
            check(&url).and_then(|()| self.literal(&url)).map_err(on_the_way)?;
            let response = self.client()?.get(url.clone()).send().await.map_err(|error| on_the_way(cause(&error)))?;
            match target(&response) {
                Some(next) => url = next,
                None => return body(response, most).await.map_err(on_the_way),
            }
        }
        Err(FetchError::Redirections(MOST_REDIRECTIONS))
    }

    /// Looks at an address that stands in a URL itself: no name is resolved then.
    fn literal(&self, url: &Url) -> Result<(), FetchError> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal.ok().and_then(|address| Some((address, (self.network.refuses)(address)?))) {
            Some((address, why)) => Err(FetchError::Address(address, why)),
            None => Ok(()),
        }
    }

    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .user_agent(concat!("imd/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .https_only(true)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .dns_resolver(Arc::new(Guarded(self.network.clone())))
            .tls_certs_merge(self.network.authorities.iter().cloned())
            .build()
            .map_err(|error| cause(&error))?;
        Ok(self.client.get_or_init(|| client))
    }

    fn known(&self, url: &Url, now: Instant) -> Option<Arc<str>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(url.as_str(), now).filter(|file| now < file.until).map(|file| file.text.clone())
    }

    fn keep(&self, url: &Url, text: &Arc<str>, age: Duration) {
        if age.is_zero() {
            return;
        }
        let now = Instant::now();
        let file = Kept { text: text.clone(), until: now + age };
        let size = text.len() + url.as_str().len() + 256;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(url.to_string(), file, size, now);
    }
}

fn redirected(url: &Url, error: FetchError) -> FetchError {
    FetchError::Redirected(url.to_string(), Box::new(error))
}

/// Where a redirection leads.
fn target(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    let mut url = response.url().join(location.to_str().ok()?).ok()?;
    url.set_fragment(None);
    Some(url)
}

async fn body(mut response: Response, most: usize) -> Result<(Arc<str>, Duration), FetchError> {
    if response.status() != StatusCode::OK {
        let hint = if response.status() == StatusCode::NOT_FOUND { ": look at the URL" } else { "" };
        return Err(FetchError::Status(response.status(), hint));
    }
    let age = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).map_or(KEPT, age);
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if bytes.len() + chunk.len() > most {
            return Err(FetchError::TooLarge(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((text(bytes)?, age))
}

fn text(bytes: Vec<u8>) -> Result<Arc<str>, FetchError> {
    String::from_utf8(bytes).map(Arc::from).map_err(|_| FetchError::NoText)
}

/// How long a file may be kept by its Cache-Control (RFC 9111, 5.2.2).
fn age(control: &str) -> Duration {
    let mut age = KEPT;
    for directive in control.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            None if matches!(directive.as_str(), "no-store" | "no-cache" | "private") => return Duration::ZERO,
            Some(("max-age", seconds)) => {
                age = age.min(Duration::from_secs(seconds.trim_matches('"').parse().unwrap_or(0)))
            }
            _ => {}
        }
    }
    age
}

/// The reason at the end of the client's chain of errors; ours if it is one.
fn cause(error: &reqwest::Error) -> FetchError {
    let mut cause: &dyn StdError = error;
    loop {
        if let Some(own) = cause.downcast_ref::<FetchError>() {
            return own.clone();
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return FetchError::Connection(cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
