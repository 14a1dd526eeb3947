//! Images and limits of the caller's clouds (docs/spec/api.md 6.3): JSON only.

use super::{
    error::Failure,
    negotiation::Media,
    query,
    reply::{self, Named, Response},
    request::Request,
};
use std::collections::BTreeMap;
use warp::http::StatusCode;

/// `GET /clouds/<id>/images`
pub(super) async fn images(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let filters = filters(query::first(&request.query, "filters").as_deref())?;
    let images = request.engine().cloud_images(&caller, request.parameters.get("cloud"), &filters).await?;
    request.form(Media::Json)?;
    Ok(reply::value(&Named("images", &images))?)
}

/// `GET /clouds/<id>/quotas?region=<name>`
pub(super) async fn quotas(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let region = query::first(&request.query, "region").filter(|region| !region.is_empty());
    let quotas = request.engine().cloud_quotas(&caller, request.parameters.get("cloud"), region.as_deref()).await?;
    request.form(Media::Json)?;
    Ok(reply::value(&Named("quotas", &quotas))?)
}

/// A property that does not exist.
pub(super) async fn other(request: Request) -> Result<Response, Failure> {
    request.caller().await?;
    Err(Failure::Request(StatusCode::NOT_FOUND, "Incorrect cloud property".to_owned()))
}

/// `k=v,k2=v2`: each part with exactly one `=`.
fn filters(text: Option<&str>) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |part: &str| {
        let mut halves = part.split('=');
        match (halves.next(), halves.next(), halves.next()) {
            (Some(key), Some(value), None) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(Failure::Request(StatusCode::BAD_REQUEST, "Invalid format in filters parameter.".to_owned())),
        }
    };
    text.into_iter().flat_map(|text| text.split(',')).map(pair).collect()
}
