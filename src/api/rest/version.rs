//! The version, which anybody may ask for: balancers use it as a probe.

use super::{
    error::Failure,
    negotiation::Media,
    reply::{self, Response},
    request::Request,
};

/// `GET /version`
pub(super) fn version(request: &Request) -> Result<Response, Failure> {
    let form = request.form(Media::Text)?;
    Ok(reply::named_text(form, "version", request.shared.state.settings.version.clone())?)
}
