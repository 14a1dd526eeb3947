//! What is answered to a request: pure.

use super::{
    formats::{FORMATS, Format, format, record},
    request::{Code, Query, Verb, day},
    xml::Element,
};
use crate::templates::repository::Entry;
use chrono::NaiveDate;
use sha2::{Digest, Sha256};

const NAMESPACE: &str = "http://www.openarchives.org/OAI/2.0/";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The day of templates that do not say when they were made.
const EARLIEST: &str = "2000-01-01";
/// Records of an answer; a token leads on to further ones.
const PAGE: usize = 100;

/// What the repository says of itself.
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) email: &'a str,
    /// The URL of the endpoint, as the harvester sees it.
    pub(super) base_url: &'a str,
    /// What identifiers begin with.
    pub(super) repository: &'a str,
}

/// The answer; `now` is a time in UTC, with seconds.
pub(super) fn answer(query: Result<Query, Code>, identity: &Identity<'_>, entries: &[Entry], now: &str) -> Element {
    let mut request = Element::text("request", identity.base_url);
    let payload = query.and_then(|query| {
        request = query
            .arguments
            .iter()
            .fold(request.clone().attribute("verb", query.verb.name()), |request, (name, value)| {
                request.attribute(name, value)
            });
        payload(&query, identity, entries)
    });
    let payload = match payload {
        Ok(payload) => payload,
        Err(code) => {
            if matches!(code, Code::BadVerb | Code::BadArgument) {
                request = Element::text("request", identity.base_url);
            }
            let (name, text) = code.words();
            Element::text("error", text).attribute("code", name)
        }
    };
    Element::new("OAI-PMH")
        .attribute("xmlns", NAMESPACE)
        .attribute("xmlns:xsi", XSI)
        .attribute("xsi:schemaLocation", format!("{NAMESPACE} {NAMESPACE}OAI-PMH.xsd"))
        .child(Element::text("responseDate", now))
        .child(request)
        .child(payload)
}

fn payload(query: &Query, identity: &Identity<'_>, entries: &[Entry]) -> Result<Element, Code> {
    let found = |identifier: &str| {
        let name = identifier.strip_prefix(identity.repository);
        entries.iter().find(|entry| Some(entry.name.as_str()) == name).ok_or(Code::IdDoesNotExist)
    };
    match query.verb {
        Verb::Identify => Ok(identify(identity)),
        Verb::ListSets => Err(Code::NoSetHierarchy),
        Verb::ListMetadataFormats => {
            query.get("identifier").map_or(Ok(()), |identifier| found(identifier).map(drop))?;
            let described = |format: &Format| {
                Element::new("metadataFormat")
                    .child(Element::text("metadataPrefix", format.prefix))
                    .child(Element::text("schema", format.schema))
                    .child(Element::text("metadataNamespace", format.namespace))
            };
            Ok(Element::new(query.verb.name()).children(FORMATS.iter().map(described)))
        }
        Verb::GetRecord => {
            let (Some(identifier), Some(prefix)) = (query.get("identifier"), query.get("metadataPrefix")) else {
                return Err(Code::BadArgument);
            };
            let format = format(prefix).ok_or(Code::CannotDisseminateFormat)?;
            Ok(Element::new(query.verb.name()).child(whole(found(identifier)?, identity, format)))
        }
        Verb::ListIdentifiers | Verb::ListRecords => list(query, identity, entries),
    }
}

fn identify(identity: &Identity<'_>) -> Element {
    let description = Element::new("description").child(
        Element::new("oai_dc:dc")
            .attribute("xmlns:oai_dc", FORMATS[0].namespace)
            .attribute("xmlns:dc", "http://purl.org/dc/elements/1.1/")
            .attribute("xsi:schemaLocation", format!("{} {}", FORMATS[0].namespace, FORMATS[0].schema))
            .child(Element::text("dc:description", identity.description)),
    );
    Element::new("Identify")
        .child(Element::text("repositoryName", identity.name))
        .child(Element::text("baseURL", identity.base_url))
        .child(Element::text("protocolVersion", "2.0"))
        .child(Element::text("adminEmail", identity.email))
        .child(Element::text("earliestDatestamp", EARLIEST))
        .child(Element::text("deletedRecord", "no"))
        .child(Element::text("granularity", "YYYY-MM-DD"))
        .child(description)
}

/// Which records a list has: of these formats and days, from this one on.
struct Selection {
    format: &'static Format,
    from: Option<NaiveDate>,
    until: Option<NaiveDate>,
    offset: usize,
}

impl Selection {
    /// As the arguments of a first request say.
    fn of(query: &Query) -> Result<Self, Code> {
        if query.get("set").is_some() {
            return Err(Code::NoSetHierarchy);
        }
        let prefix = query.get("metadataPrefix").ok_or(Code::BadArgument)?;
        let date = |name| query.get(name).map(|text| day(text).ok_or(Code::BadArgument)).transpose();
        let (from, until) = (date("from")?, date("until")?);
        if from.zip(until).is_some_and(|(from, until)| from > until) {
            return Err(Code::BadArgument);
        }
        Ok(Self { format: format(prefix).ok_or(Code::CannotDisseminateFormat)?, from, until, offset: 0 })
    }

    fn takes(&self, entry: &Entry) -> bool {
        let date = day(&datestamp(entry)).unwrap_or_default();
        self.from.is_none_or(|from| from <= date) && self.until.is_none_or(|until| date <= until)
    }

    /// The token that leads to the records from `offset` on, of the same templates.
    fn token(&self, offset: usize, entries: &[Entry]) -> String {
        let date = |date: Option<NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
        let (from, until) = (date(self.from), date(self.until));
        format!("{offset}:{}:{from}:{until}:{}", self.format.prefix, digest(entries))
    }

    /// What a token says, if it is one of these templates.
    fn read(token: &str, entries: &[Entry]) -> Option<Self> {
        let mut parts = token.split(':');
        let (offset, prefix, from, until) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let date = |text: &str| if text.is_empty() { Some(None) } else { day(text).map(Some) };
        let selection =
            Self { format: format(prefix)?, from: date(from)?, until: date(until)?, offset: offset.parse().ok()? };
        (selection.token(selection.offset, entries) == token).then_some(selection)
    }
}

/// What tells these templates from others.
fn digest(entries: &[Entry]) -> String {
    let mut digest = Sha256::new();
    for entry in entries {
        digest.update(entry.name.as_bytes());
        digest.update([0]);
        digest.update(datestamp(entry).as_bytes());
        digest.update([0]);
    }
    hex::encode(&digest.finalize()[..8])
}

fn list(query: &Query, identity: &Identity<'_>, entries: &[Entry]) -> Result<Element, Code> {
    let selection = match query.get("resumptionToken") {
        None => Selection::of(query)?,
        Some(token) => {
            let selection = Selection::read(token, entries).ok_or(Code::BadResumptionToken)?;
            if query.arguments.len() > 1 {
                return Err(Code::BadArgument);
            }
            selection
        }
    };
    let chosen: Vec<&Entry> = entries.iter().filter(|entry| selection.takes(entry)).collect();
    let page: Vec<&Entry> = chosen.iter().skip(selection.offset).take(PAGE).copied().collect();
    if page.is_empty() {
        return Err(if selection.offset == 0 { Code::NoRecordsMatch } else { Code::BadResumptionToken });
    }
    let written = |entry: &&Entry| match query.verb {
        Verb::ListRecords => whole(entry, identity, selection.format),
        _ => head(entry, identity),
    };
    let list = Element::new(query.verb.name()).children(page.iter().map(written));
    let next = selection.offset + page.len();
    if chosen.len() <= PAGE {
        return Ok(list);
    }
    let token = if next < chosen.len() { selection.token(next, entries) } else { String::new() };
    Ok(list.child(
        Element::text("resumptionToken", token)
            .attribute("completeListSize", chosen.len().to_string())
            .attribute("cursor", selection.offset.to_string()),
    ))
}

fn identifier(entry: &Entry, identity: &Identity<'_>) -> String {
    format!("{}{}", identity.repository, entry.name)
}

/// The day a template was made.
fn datestamp(entry: &Entry) -> String {
    let date = entry.metadata.iter().find(|(name, _)| name == "creation_date").and_then(|(_, values)| values.first());
    let date = date.and_then(|text| text.get(..EARLIEST.len())).filter(|text| day(text).is_some());
    date.unwrap_or(EARLIEST).to_owned()
}

fn head(entry: &Entry, identity: &Identity<'_>) -> Element {
    Element::new("header")
        .child(Element::text("identifier", identifier(entry, identity)))
        .child(Element::text("datestamp", datestamp(entry)))
}

fn whole(entry: &Entry, identity: &Identity<'_>, format: &Format) -> Element {
    let metadata = record(entry, &identifier(entry, identity), format);
    Element::new("record").child(head(entry, identity)).child(Element::new("metadata").child(metadata))
}
