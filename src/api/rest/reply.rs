//! Bodies of successes: always 200. Types of texts name the character set, or clients would take Latin-1
//! (docs/spec/api.md 2.2).

use super::{json, negotiation::Form, validators::entity_tag};
pub(super) use crate::api::http::Response;
use crate::engine::Rendering;
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use warp::{
    Reply,
    http::{self, HeaderName, HeaderValue, header},
};

/// Header that tells a balancer which infrastructure an answer is about.
const INFRASTRUCTURE_ID: HeaderName = HeaderName::from_static("infid");

/// Header with what went otherwise than one might think, a line for each.
const WARNING: HeaderName = HeaderName::from_static("x-im-warning");

/// Type of a list of URIs.
const URI_LIST: &str = "text/uri-list; charset=utf-8";

/// A body of this type.
pub(super) fn with_type(kind: &'static str, body: impl Into<Rendering>) -> Response {
    let body = body.into();
    let tag = entity_tag(&body.digest);
    let mut response = http::Response::new(body.text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// A text.
pub(super) fn text(body: impl Into<Rendering>) -> Response {
    with_type("text/plain; charset=utf-8", body)
}

/// Nothing, as text: the answer of operations.
pub(super) fn empty() -> Response {
    text(Bytes::new())
}

/// A value as one line of JSON.
pub(super) fn value<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Response> {
    Ok(json(json::line(value)?))
}

/// JSON that is written already.
pub(super) fn json(body: impl Into<Rendering>) -> Response {
    with_type("application/json", body)
}

/// A value under one name, without building a map: `{"name": value}`.
pub(super) struct Named<'a, T: ?Sized>(pub(super) &'a str, pub(super) &'a T);

impl<T: Serialize + ?Sized> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

/// A text as it is, or under its name.
pub(super) fn named_text(form: Form, name: &str, content: String) -> serde_json::Result<Response> {
    match form {
        Form::Text => Ok(text(content)),
        Form::Json => value(&Named(name, &content)),
    }
}

/// A list of URIs: one a line, or `{"uri-list": [{"uri": ...}]}`.
pub(super) fn uris(form: Form, uris: &[String]) -> serde_json::Result<Response> {
    Ok(uri_list(form, uri_text(form, uris)?))
}

/// A list of URIs that is written already.
pub(super) fn uri_list(form: Form, written: impl Into<Rendering>) -> Response {
    match form {
        Form::Text => with_type(URI_LIST, written),
        Form::Json => json(written),
    }
}

/// A list of URIs, written.
pub(super) fn uri_text(form: Form, uris: &[String]) -> serde_json::Result<Vec<u8>> {
    match form {
        Form::Text => Ok(uris.join("\n").into()),
        Form::Json => {
            let items: Vec<Named<'_, String>> = uris.iter().map(|uri| Named("uri", uri)).collect();
            json::line(&Named("uri-list", &items))
        }
    }
}

/// One URI: as it is, or `{"uri": ...}`.
pub(super) fn uri(form: Form, uri: &String) -> serde_json::Result<Response> {
    match form {
        Form::Text => Ok(with_type(URI_LIST, uri.clone())),
        Form::Json => value(&Named("uri", uri)),
    }
}

/// The answer with what the caller should know all the same: a header for each warning, in ASCII and on one line.
pub(super) fn with_warnings<T: AsRef<str>>(mut response: Response, warnings: impl IntoIterator<Item = T>) -> Response {
    let ascii = |c: char| match c {
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    };
    for warning in warnings {
        let text: String = warning.as_ref().chars().map(ascii).collect();
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// The answer with the infrastructure it is about.
pub(super) fn about(mut response: Response, infrastructure: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(infrastructure) {
        response.headers_mut().insert(INFRASTRUCTURE_ID, value);
    }
    response
}
