//! One port with the sites that are mounted on it.

use super::{
    Listener, body,
    connections::{self, Bounds, ClientAddress},
    external_url::ExternalUrl,
    metrics::RequestMetrics,
    router::{RouteError, normalized},
    site::{Incoming, Mount, Mounted, Response, Site},
};
use crate::bounds::{Busy, Share, Shares};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use warp::{
    Filter, Reply,
    http::{HeaderMap, Method, StatusCode},
    path::FullPath,
};

/// Options of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// PUBLIC_URL: the address that clients use; none takes it from each request.
    pub public_url: Option<String>,
    /// Largest head of a request (line and headers), bytes; at least 8192.
    pub max_head: usize,
    /// Connections at the same time; a further one takes the place of the one that keeps the daemon waiting longest.
    pub max_connections: usize,
    /// Connections from one address at the same time.
    pub max_from_address: usize,
    /// How long a connection may take for the head of a request, waiting for it included.
    pub head_timeout: Duration,
    /// How long a client may leave an answer where it is.
    pub write_timeout: Duration,
    /// How long running requests may take once the server is to stop.
    pub drain: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            public_url: None,
            max_head: 128 << 10,
            max_connections: 1000,
            max_from_address: 500,
            head_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a site cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The registry has metrics of the same names: one server per registry.
    #[error("the metrics of HTTP cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A prefix that no path can have.
    #[error("a site cannot be mounted at {0:?}: write / or a path such as /name, of letters, digits, -, . and _")]
    Prefix(String),
    /// Another site is there.
    #[error("two sites are mounted at {0}: give one of them another prefix")]
    Taken(String),
    /// A site whose routes contradict each other.
    #[error("the site at {0} cannot be served: {1}")]
    Routes(String, RouteError),
    /// A route of a site below the prefix of another one.
    #[error("the site at {by} hides the route {route} of the site at {of}: give it another prefix")]
    Hidden {
        /// The route, with the prefix of its site.
        route: String,
        /// The prefix of its site.
        of: String,
        /// The prefix of the other site.
        by: String,
    },
}

/// The sites of a port, by their prefixes.
pub struct Sites {
    /// The longest prefix first; that of `/` is empty.
    mounts: Vec<(String, Arc<dyn Mounted>)>,
    metrics: Arc<RequestMetrics>,
}

impl Sites {
    /// No site yet; requests are counted in the registry.
    ///
    /// # Errors
    /// The registry counts those of another server.
    pub fn new(registry: &Registry) -> Result<Self, MountError> {
        Ok(Self { mounts: Vec::new(), metrics: Arc::new(RequestMetrics::register(registry)?) })
    }

    /// Mounts a site: it answers all paths below `prefix`, which is `/` or a path without a slash at its end, except for those
    /// of sites with longer prefixes.
    ///
    /// # Errors
    /// Routes that contradict each other, within the site or between sites.
    pub fn mount<S: Site>(&mut self, prefix: &str, site: Arc<S>) -> Result<(), MountError> {
        let is_plain = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let own = match prefix {
            "/" => "",
            path if path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain)) => path,
            _ => return Err(MountError::Prefix(prefix.to_owned())),
        };
        if self.mounts.iter().any(|(other, _)| other == own) {
            return Err(MountError::Taken(prefix.to_owned()));
        }
        let mount = Mount::new(own, site, self.metrics.clone())
            .map_err(|error| MountError::Routes(prefix.to_owned(), error))?;
        let place = self.mounts.partition_point(|(other, _)| other.len() > own.len());
        self.mounts.insert(place, (own.to_owned(), Arc::new(mount)));
        self.check()
    }

    /// Looks whether every route leads to its own site.
    fn check(&self) -> Result<(), MountError> {
        let shown = |prefix: &str| if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() };
        for (prefix, site) in &self.mounts {
            for template in site.templates() {
                let route = format!("{prefix}{template}");
                match self.find(&route) {
                    Some((by, ..)) if by != prefix => {
                        return Err(MountError::Hidden { route, of: shown(prefix), by: shown(by) });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The site of a normalized path, its prefix, and what follows that.
    fn find<'p>(&self, path: &'p str) -> Option<(&str, &Arc<dyn Mounted>, &'p str)> {
        self.mounts.iter().find_map(|(prefix, site)| {
            let rest = match path.strip_prefix(prefix.as_str())? {
                "" if !prefix.is_empty() => "/",
                rest if prefix.is_empty() || rest.starts_with('/') => rest,
                _ => return None,
            };
            Some((prefix.as_str(), site, rest))
        })
    }
}

/// What the sites of a server share.
pub struct Server {
    external_url: ExternalUrl,
    /// Changes under way by the address that asked for them, which go on when the client hangs up.
    changes: Shares,
    /// Cancelled when the server is to stop.
    stopping: CancellationToken,
}

impl Server {
    /// How clients see the address of the server.
    #[must_use]
    pub const fn external_url(&self) -> &ExternalUrl {
        &self.external_url
    }

    /// Cancelled when the server is to stop: what goes on without an end, such as a stream, is to end.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// A place among the changes under way, of which an address has as many as connections.
    pub(super) fn try_change(&self, address: IpAddr) -> Result<Share, Busy> {
        self.changes.try_take(&address.to_string())
    }
}

/// Serves the sites on `listener` until `shutdown` completes; then accepts no more, has streams end, and gives running requests
/// the time of [`ServerSettings::drain`].
///
/// # Errors
/// The socket has no address.
pub async fn serve(
    sites: Sites,
    listener: Listener,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let ServerSettings { public_url, max_head, max_connections, max_from_address, head_timeout, write_timeout, drain } =
        settings;
    let bounds = Bounds { max_head, max_connections, max_from_address, head_timeout, write_timeout, drain };
    let local = listener.local_addr()?.to_string();
    let server = Arc::new(Server {
        external_url: ExternalUrl { public: public_url, https: listener.is_encrypted(), local },
        changes: Shares::new(max_connections, max_from_address, 0, Duration::ZERO),
        stopping: CancellationToken::new(),
    });
    let (open, stopping) = (sites.metrics.connections.clone(), server.stopping.clone());
    let service = TowerToHyperService::new(warp::service(filter(server, Arc::new(sites))));
    connections::serve(listener, bounds, &open, &stopping, service, shutdown).await;
    Ok(())
}

/// One filter for all requests: prefixes and tables of routes decide, so no request walks through a chain of filters.
fn filter(
    server: Arc<Server>,
    sites: Arc<Sites>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || (server.clone(), sites.clone()))
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and(warp::ext::optional())
        .then(
            |(server, sites): (_, Arc<Sites>),
             method: Method,
             path: FullPath,
             query,
             headers: HeaderMap,
             body,
             address| {
                let body = has_body(&method).then(|| body::chunks(body));
                let path = normalized(path.as_str());
                let found = sites.find(&path).map(|(_, site, rest)| (site.clone(), rest.to_owned()));
                let address = ClientAddress::of(address);
                let headers = Arc::new(headers);
                async move {
                    match found {
                        Some((site, path)) => {
                            site.answer(Incoming { server, method, path, query, headers, body, address }).await
                        }
                        None => {
                            warp::reply::with_status("There is nothing here.", StatusCode::NOT_FOUND).into_response()
                        }
                    }
                }
            },
        )
}

/// Whether the body of a request has a meaning (RFC 9110, 9.3; RFC 5789).
fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{
        super::site::{Refusal, Route},
        *,
    };
    use warp::http::HeaderValue;

    /// A site that has routes and answers nothing.
    struct Mute(&'static [&'static str]);

    impl Site for Mute {
        type Failure = Refusal;
        type Metadata = ();

        fn routes(&self) -> Vec<Route<Self>> {
            let route = |template| Route::new(Method::GET, template, |_| async { Err(Refusal::NotFound) }, ());
            self.0.iter().copied().map(route).collect()
        }

        fn options(&self, _: Option<&HeaderValue>) -> Response {
            "".into_response()
        }

        async fn failed(&self, _: Refusal, _: Option<&()>, _: &HeaderMap) -> Response {
            "".into_response()
        }

        fn finish(&self, response: Response, _: &Method, _: &HeaderMap) -> Response {
            response
        }
    }

    fn sites(mounts: &[(&str, &'static [&'static str])]) -> Result<Sites, String> {
        let mut sites = Sites::new(&Registry::new()).unwrap();
        for (prefix, templates) in mounts {
            sites.mount(prefix, Arc::new(Mute(templates))).map_err(|error| error.to_string())?;
        }
        Ok(sites)
    }

    #[test]
    fn the_longest_prefix_has_a_path() {
        let sites = sites(&[("/", &["/", "/{any}"]), ("/a/b", &["/"]), ("/a", &["/", "/c"])]).unwrap();
        for (path, expected) in [
            ("/", Some(("", "/"))),
            ("/a", Some(("/a", "/"))),
            ("/a/", Some(("/a", "/"))),
            ("/a/c", Some(("/a", "/c"))),
            ("/a/b/c/d", Some(("/a/b", "/c/d"))),
            ("/a/bc", Some(("/a", "/bc"))),
            ("/ab", Some(("", "/ab"))),
            ("*", Some(("", "*"))),
        ] {
            assert_eq!(sites.find(path).map(|(prefix, _, rest)| (prefix, rest)), expected, "{path}");
        }
        assert!(self::sites(&[("/a", &["/"])]).unwrap().find("/b").is_none());
    }

    #[test]
    fn sites_that_contradict_each_other_are_told() {
        let told = |mounts: &[(&str, &'static [&'static str])]| sites(mounts).err().unwrap();
        let hidden = "the site at /x/y hides the route /x/y/z of the site at /: give it another prefix";
        assert_eq!(told(&[("/", &["/x/y/z"]), ("/x/y", &["/"])]), hidden);
        assert_eq!(told(&[("/x/y", &["/"]), ("/", &["/x/y/z"])]), hidden);
        assert!(told(&[("/x", &["/"]), ("/x", &["/y"])]).starts_with("two sites are mounted at /x"));
        assert!(
            told(&[("/x", &["/{a}", "/{b}"])]).starts_with("the site at /x cannot be served: the routes /{b} and /{a}")
        );
        for prefix in ["", "x", "/x/", "//x", "/{x}", "/a b"] {
            assert!(told(&[(prefix, &["/"])]).contains("cannot be mounted at"), "{prefix}");
        }
    }
}
