//! Validators (RFC 9110, 8.8.3 and 13.1.2): a client that has an answer already is told so instead of getting it again.

use super::reply::{self, Response};
use warp::http::{HeaderValue, StatusCode, header};

/// Bytes of the digest that an entity tag shows.
const SHOWN: usize = 12;

/// The entity tag of a body with this digest: the same for every daemon.
pub(super) fn entity_tag(digest: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{}\"", hex::encode(&digest[..SHOWN.min(digest.len())]))).ok()
}

/// The answer to a read: 304 without a body when the client named its entity tag. Other answers have no tag.
pub(super) fn validated(mut response: Response, asked: Option<&HeaderValue>, is_read: bool) -> Response {
    if !is_read || response.status() != StatusCode::OK {
        response.headers_mut().remove(header::ETAG);
        return response;
    }
    let Some(wanted) = asked.and_then(|value| value.to_str().ok()) else { return response };
    let Some(tag) = response.headers().get(header::ETAG) else { return response };
    let named =
        |name: &str| matches!(name.trim(), "*") || name.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes();
    if !wanted.split(',').any(named) {
        return response;
    }
    let mut unchanged = reply::empty();
    *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
    unchanged.headers_mut().clear();
    unchanged.headers_mut().insert(header::ETAG, tag.clone());
    unchanged
}
