//! Media types of requests and answers (docs/spec/api.md 2.2 and 2.3): pure, and decided before anything is done.

use crate::api::document::DocumentKind;
use std::borrow::Cow;

/// The form a resource answers in when the client does not care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `text/plain`
    Text,
    /// `text/uri-list`
    UriList,
    /// `application/json`
    Json,
}

/// The form chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The text form of the resource.
    Text,
    /// The JSON form.
    Json,
}

/// A media type that this resource does not offer or take; the text is the whole message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnsupportedMedia(String);

impl Media {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::UriList => "text/uri-list",
            Self::Json => "application/json",
        }
    }

    fn form(self) -> Form {
        if self == Self::Json { Form::Json } else { Form::Text }
    }
}

/// Entries of an `Accept` or `Content-Type` header: parameters dropped, the names of YAML made one.
fn entries(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(|entry| {
        let name = entry.split(';').next().unwrap_or_default().trim();
        let yaml = ["text/x-yaml", "application/yaml"].iter().any(|alias| name.eq_ignore_ascii_case(alias));
        if yaml { "text/yaml" } else { name }
    })
}

fn is_blank(header: Option<&str>) -> bool {
    header.is_none_or(|header| header.trim().is_empty())
}

/// Whether one of the entries of an `Accept` header is `name`.
pub(super) fn mentions(accept: Option<&str>, name: &str) -> bool {
    accept.is_some_and(|accept| entries(accept).any(|entry| entry.eq_ignore_ascii_case(name)))
}

/// The form of an answer: the first entry that the resource can serve wins, quality values do not count.
///
/// # Errors
/// No entry can be served.
pub(super) fn answer_form(accept: Option<&str>, default: Media) -> Result<Form, UnsupportedMedia> {
    let Some(accept) = accept.filter(|accept| !is_blank(Some(accept))) else {
        return Ok(default.form());
    };
    for entry in entries(accept) {
        let is = |name: &str| entry.eq_ignore_ascii_case(name);
        if is("application/json") || is("application/*") {
            return Ok(Form::Json);
        }
        if is(default.name()) || is("*/*") || is("text/*") {
            return Ok(default.form());
        }
    }
    let names: Vec<&str> = entries(accept).collect();
    Err(UnsupportedMedia(format!("Unsupported Accept Media Types: {}", names.join(","))))
}

/// The check of resources that only have a JSON form.
///
/// # Errors
/// No entry is a JSON type or a wildcard.
pub(super) fn json_only(accept: Option<&str>) -> Result<(), UnsupportedMedia> {
    one_of(accept, &["application/json", "application/*"])
}

/// The check of the event stream.
///
/// # Errors
/// No entry is `text/event-stream` or a wildcard.
pub(super) fn event_stream(accept: Option<&str>) -> Result<(), UnsupportedMedia> {
    one_of(accept, &["text/event-stream", "text/*"])
}

fn one_of(accept: Option<&str>, names: &[&str]) -> Result<(), UnsupportedMedia> {
    let Some(accept) = accept.filter(|accept| !is_blank(Some(accept))) else {
        return Ok(());
    };
    if entries(accept).any(|entry| entry == "*/*" || names.iter().any(|name| entry.eq_ignore_ascii_case(name))) {
        return Ok(());
    }
    Err(UnsupportedMedia(format!("Unsupported Accept Media Types: {}", quoted(entries(accept)))))
}

/// The kind of document that a `Content-Type` announces; plain RADL without one.
///
/// # Errors
/// It names no language of documents.
pub(super) fn document_kind(content_type: Option<&str>) -> Result<DocumentKind, UnsupportedMedia> {
    let Some(header) = content_type.filter(|header| !is_blank(Some(header))) else {
        return Ok(DocumentKind::Radl);
    };
    for entry in entries(header) {
        let is = |name: &str| entry.eq_ignore_ascii_case(name);
        if is("application/json") {
            return Ok(DocumentKind::RadlJson);
        }
        if is("text/yaml") {
            return Ok(DocumentKind::Tosca);
        }
        if is("text/plain") || is("*/*") || is("text/*") {
            return Ok(DocumentKind::Radl);
        }
    }
    Err(UnsupportedMedia(format!("Unsupported Media Type {}", quoted(entries(header)))))
}

/// The check of a body that must be JSON; without a type it is.
///
/// # Errors
/// A type that is not JSON.
pub(super) fn json_body(content_type: Option<&str>) -> Result<(), UnsupportedMedia> {
    let Some(header) = content_type.filter(|header| !is_blank(Some(header))) else { return Ok(()) };
    if entries(header).any(|entry| entry.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(UnsupportedMedia(format!("Unsupported Media Type {}", quoted(entries(header)))))
}

/// Whether an `Accept` header asks for CSV before JSON.
pub(super) fn wants_csv(accept: Option<&str>) -> bool {
    let first = accept.into_iter().flat_map(entries).find_map(|entry| {
        let is = |name: &str| entry.eq_ignore_ascii_case(name);
        match () {
            () if is("text/csv") || is("text/*") => Some(true),
            () if is("application/json") || is("application/*") || is("*/*") => Some(false),
            () => None,
        }
    });
    first == Some(true)
}

/// `['a', 'b']`, as clients of the old service know it.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<Cow<'_, str>> = names.map(|name| Cow::Owned(format!("'{name}'"))).collect();
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_first_entry_that_can_be_served_wins() {
        let list = |accept| answer_form(accept, Media::UriList).map_err(|error| error.to_string());
        let cases = [
            (None, Ok(Form::Text)),
            (Some(""), Ok(Form::Text)),
            (Some("text/uri-list"), Ok(Form::Text)),
            (Some("application/json"), Ok(Form::Json)),
            (Some("Application/JSON; charset=utf-8"), Ok(Form::Json)),
            (Some("application/*"), Ok(Form::Json)),
            (Some("*/*"), Ok(Form::Text)),
            (Some("text/*;q=0.5, application/json"), Ok(Form::Text)),
            (Some("image/png, application/json"), Ok(Form::Json)),
            (Some("text/plain"), Err("Unsupported Accept Media Types: text/plain")),
            (Some("text/plain;q=1, image/png"), Err("Unsupported Accept Media Types: text/plain,image/png")),
            (Some("application/yaml"), Err("Unsupported Accept Media Types: text/yaml")),
        ];
        for (accept, expected) in cases {
            assert_eq!(list(accept), expected.map_err(str::to_owned), "{accept:?}");
        }
        assert_eq!(answer_form(Some("text/plain"), Media::Text), Ok(Form::Text));
        assert_eq!(answer_form(Some("*/*"), Media::Json), Ok(Form::Json));
        assert!(answer_form(Some("text/uri-list"), Media::Text).is_err());
    }

    #[test]
    fn json_only_resources_refuse_text() {
        for accept in [None, Some("application/json"), Some("*/*"), Some("application/*"), Some("text/plain, */*")] {
            assert_eq!(json_only(accept), Ok(()), "{accept:?}");
        }
        let refused = json_only(Some("text/plain, text/html;q=1")).unwrap_err();
        assert_eq!(refused.to_string(), "Unsupported Accept Media Types: ['text/plain', 'text/html']");
        assert_eq!(event_stream(Some("text/event-stream")), Ok(()));
        assert!(event_stream(Some("application/json")).is_err());
    }

    #[test]
    fn the_content_type_names_the_kind_of_document() {
        let kind = |header| document_kind(header).map_err(|error| error.to_string());
        for header in [None, Some(""), Some("text/plain; charset=utf-8"), Some("*/*"), Some("text/*")] {
            assert_eq!(kind(header), Ok(DocumentKind::Radl), "{header:?}");
        }
        for header in ["text/yaml", "text/x-yaml", "application/yaml; x=1"] {
            assert_eq!(kind(Some(header)), Ok(DocumentKind::Tosca), "{header}");
        }
        assert_eq!(kind(Some("application/json")), Ok(DocumentKind::RadlJson));
        assert_eq!(kind(Some("application/xml")), Err("Unsupported Media Type ['application/xml']".to_owned()));
    }
}
