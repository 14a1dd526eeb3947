//! JSON Schema of TOSCA documents, for editors.

use super::{
    error::Failure,
    json,
    reply::{self, Response},
    request::Request,
};
use crate::engine::Rendering;
use std::sync::OnceLock;
use warp::http::{HeaderValue, header};

/// The types that are shipped change with the program only.
static SCHEMA: OnceLock<Rendering> = OnceLock::new();

/// `GET /tosca/schema.json`
pub(super) async fn schema(_: Request) -> Result<Response, Failure> {
    let schema = match SCHEMA.get() {
        Some(schema) => schema.clone(),
        None => {
            let schema = Rendering::from(json::line(&tosca::schema::json_schema())?);
            SCHEMA.get_or_init(|| schema).clone()
        }
    };
    let mut response = reply::json(schema);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}
