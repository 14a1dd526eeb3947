//! The version, which anybody may ask for: balancers use it as a probe.

use super::{
    error::Failure,
    negotiation::Media,
    reply::{self, Response},
    request::Request,
};
use crate::api::CONTRACT_VERSION;

/// `GET /version`
pub(super) async fn version(request: Request) -> Result<Response, Failure> {
    let form = request.form(Media::Text)?;
    Ok(reply::named_text(form, "version", CONTRACT_VERSION.to_owned())?)
}
