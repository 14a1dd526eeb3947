//! What the contract has and this version does not offer, each with the contract's words.

use super::{error::Failure, reply::Response, request::Request};
use warp::http::StatusCode;

/// `GET /static/<file>`
pub(super) async fn static_file(_: Request) -> Result<Response, Failure> {
    Err(Failure::Request(StatusCode::NOT_FOUND, "Static files not enabled.".to_owned()))
}
