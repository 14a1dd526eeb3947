//! A site: one HTTP contract, with its own routes, errors and authentication, below a prefix of the server.
//!
//! Every request goes the same way: the path leads to a row of the site's table, the handler of that row answers or fails, and
//! the site says how a failure looks. What the server itself has to refuse comes to the site as a [`Refusal`], so that its
//! clients know its words.

use super::{
    body::Chunks,
    metrics::{RequestMetrics, ResourceMetrics},
    router::{PathParameters, RouteError, Router, Row},
    server::Server,
};
use futures::{FutureExt, future::BoxFuture};
use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};
use warp::http::{HeaderMap, HeaderValue, Method};

/// An answer.
pub type Response = warp::reply::Response;

/// An HTTP contract.
pub trait Site: Send + Sync + Sized + 'static {
    /// Why a request is not answered with a success.
    type Failure: From<Refusal> + Send + 'static;
    /// What a row says of its route besides where it is and who answers: words before its errors, a description.
    type Metadata: Send + Sync + 'static;

    /// Its table of routes: one row for each.
    fn routes(&self) -> Vec<Route<Self>>;

    /// The answer to OPTIONS: `allow` has the methods of the resource, none where there is none.
    fn options(&self, allow: Option<&HeaderValue>) -> Response;

    /// The answer to a request with these headers that failed. `metadata` are those of its route, if it came to one.
    fn failed(
        &self,
        failure: Self::Failure,
        metadata: Option<&Self::Metadata>,
        headers: &HeaderMap,
    ) -> impl Future<Output = Response> + Send;

    /// The last look at the answer to a request with this method and these headers, failed or not; HEAD counts as GET.
    fn finish(&self, response: Response, method: &Method, headers: &HeaderMap) -> Response;
}

/// Why the server does not give a request to a handler, or has no answer from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No route has this path: 404.
    NotFound,
    /// The path has routes, but none for this method: 405, with the value of `Allow`.
    MethodNotAllowed(HeaderValue),
    /// The client has too many changes under way: 503.
    TooManyChanges,
    /// The handler ended in a panic, which the log has: 500.
    Defect,
}

type Handler<S> = dyn Fn(SiteRequest<S>) -> BoxFuture<'static, Result<Response, <S as Site>::Failure>> + Send + Sync;

/// A row of a site's table: which requests, who answers them, and what is to be said of it.
pub struct Route<S: Site> {
    method: Method,
    template: &'static str,
    handler: Box<Handler<S>>,
    /// What the site says of it.
    pub metadata: S::Metadata,
}

impl<S: Site> Route<S> {
    /// A row: requests of `method` whose paths fit `template` (see [`Row::template`]) are answered by `handler`. What a handler
    /// of other methods than GET does goes on when its client hangs up.
    pub fn new<F, A>(method: Method, template: &'static str, handler: F, metadata: S::Metadata) -> Self
    where
        F: Fn(SiteRequest<S>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, S::Failure>> + Send + 'static,
    {
        Self { method, template, handler: Box::new(move |request| handler(request).boxed()), metadata }
    }
}

impl<S: Site> Row for Route<S> {
    fn method(&self) -> &Method {
        &self.method
    }

    fn template(&self) -> &'static str {
        self.template
    }
}

/// A request on its way to the handler of its route.
pub struct SiteRequest<S> {
    /// The site.
    pub site: Arc<S>,
    /// The server that has the site.
    pub server: Arc<Server>,
    /// The prefix of the site, empty for the site at `/`.
    prefix: Arc<str>,
    /// What the path has in the place of the template's parameters.
    pub parameters: PathParameters,
    /// The query, percent-encoded, without its question mark; empty if there is none.
    pub query: String,
    /// The headers.
    pub headers: Arc<HeaderMap>,
    /// The body; none for methods whose body has no meaning.
    pub body: Option<Chunks>,
    /// Where it comes from; known for other methods than GET.
    pub address: IpAddr,
}

impl<S> SiteRequest<S> {
    /// The address that URIs of the site start with, as the client sees it, `/` at its end (docs/spec/api.md 2.6).
    #[must_use]
    pub fn base_url(&self) -> String {
        let mut url = self.server.external_url().base(&self.headers);
        if let Some(prefix) = self.prefix.strip_prefix('/') {
            url.push_str(prefix);
            url.push('/');
        }
        url
    }
}

/// A request as it came to the server, with what the server found for it.
pub(super) struct Incoming {
    pub(super) server: Arc<Server>,
    pub(super) method: Method,
    /// What follows the prefix of the site, [normalized](super::router::normalized).
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) body: Option<Chunks>,
    pub(super) address: IpAddr,
}

/// A site of any type, below its prefix.
pub(super) trait Mounted: Send + Sync {
    /// The templates of its routes.
    fn templates(&self) -> Vec<&'static str>;
    /// Answers a request.
    fn answer(self: Arc<Self>, request: Incoming) -> BoxFuture<'static, Response>;
}

/// A site with its router.
pub(super) struct Mount<S: Site> {
    site: Arc<S>,
    prefix: Arc<str>,
    router: Router<Route<S>>,
    /// In the order of the router's resources.
    counted: Vec<ResourceMetrics>,
    metrics: Arc<RequestMetrics>,
}

impl<S: Site> Mount<S> {
    /// Mounts a site below a prefix, empty for `/`.
    ///
    /// # Errors
    /// A contradiction in its table.
    pub(super) fn new(prefix: &str, site: Arc<S>, metrics: Arc<RequestMetrics>) -> Result<Self, RouteError> {
        let router = Router::new(site.routes())?;
        let counted = router.resources().iter().map(|resource| {
            let is_read = resource.row(&Method::GET).is_some();
            metrics.resource(format!("{prefix}{}", resource.template), is_read)
        });
        Ok(Self { prefix: prefix.into(), counted: counted.collect(), router, site, metrics })
    }

    async fn respond(&self, incoming: Incoming) -> Response {
        let started = Instant::now();
        let Incoming { server, method, path, query, headers, body, address } = incoming;
        let asked = if method == Method::HEAD { Method::GET } else { method };
        let found = self.router.find(&path);
        let place = found.as_ref().map(|(place, _)| *place);
        let resource = place.map(|place| &self.router.resources()[place]);
        let response = if asked == Method::OPTIONS {
            self.site.options(resource.map(|resource| resource.allow()))
        } else {
            let route = resource.and_then(|resource| resource.row(&asked));
            let outcome = match (found, resource, route) {
                (Some((_, parameters)), _, Some(route)) => {
                    let (site, prefix) = (self.site.clone(), self.prefix.clone());
                    let headers = headers.clone();
                    run(route, SiteRequest { site, server, prefix, parameters, query, headers, body, address }).await
                }
                (_, Some(resource), None) => Err(Refusal::MethodNotAllowed(resource.allow().clone()).into()),
                _ => Err(Refusal::NotFound.into()),
            };
            match outcome {
                Ok(response) => response,
                Err(failure) => self.site.failed(failure, route.map(|route| &route.metadata), &headers).await,
            }
        };
        let response = self.site.finish(response, &asked, &headers);
        let counted = place.map(|place| &self.counted[place]);
        self.metrics.count(counted, &asked, response.status(), started.elapsed());
        response
    }
}

impl<S: Site> Mounted for Mount<S> {
    fn templates(&self) -> Vec<&'static str> {
        self.router.resources().iter().map(|resource| resource.template).collect()
    }

    fn answer(self: Arc<Self>, request: Incoming) -> BoxFuture<'static, Response> {
        Box::pin(async move { self.respond(request).await })
    }
}

/// What a change does goes on when the client hangs up, and a defect ends in an answer.
async fn run<S: Site>(route: &Route<S>, request: SiteRequest<S>) -> Result<Response, S::Failure> {
    let share = match route.method {
        Method::GET => None,
        _ => Some(request.server.try_change(request.address).map_err(|_| Refusal::TooManyChanges)?),
    };
    let answer = AssertUnwindSafe((route.handler)(request)).catch_unwind();
    let outcome = match share {
        None => answer.await,
        Some(share) => {
            let change = async move {
                let _share = share;
                answer.await
            };
            tokio::spawn(change).await.unwrap_or_else(|error| Err(Box::new(error) as _))
        }
    };
    // The log has it already.
    outcome.unwrap_or_else(|_| Err(Refusal::Defect.into()))
}
