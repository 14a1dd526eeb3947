//! Probes and metrics of the daemon itself, without credentials.

use super::{
    error::Failure,
    reply::{self, Response},
    request::Request,
};

/// `GET /healthz`: the process serves.
pub(super) async fn health(_: Request) -> Result<Response, Failure> {
    Ok(reply::text("ok"))
}

/// `GET /readyz`: the process can do its work.
pub(super) async fn readiness(request: Request) -> Result<Response, Failure> {
    request.engine().ready().await?;
    Ok(reply::text("ok"))
}

/// `GET /metrics`: the text format of Prometheus, version 0.0.4.
pub(super) async fn metrics(request: Request) -> Result<Response, Failure> {
    let figures = request.engine().figures();
    let page = request.site.metrics.page(&request.site.state.registry, figures);
    Ok(reply::with_type("text/plain; version=0.0.4; charset=utf-8", page))
}
