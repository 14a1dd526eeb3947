//! What a request asks for, and what is wrong with it: pure. Rules of the protocol, and the order in which they are looked at
//! (docs/spec/api.md 6.6).

use crate::api::http::router::percent_decoded;
use chrono::NaiveDate;

/// An error of the protocol (section 3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BadVerb,
    BadArgument,
    BadResumptionToken,
    CannotDisseminateFormat,
    IdDoesNotExist,
    NoRecordsMatch,
    NoSetHierarchy,
}

impl Code {
    /// Its name, and what the harvester is told.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::BadVerb => (
                "badVerb",
                "The verb must be there once: GetRecord, Identify, ListIdentifiers, ListMetadataFormats, ListRecords or ListSets.",
            ),
            Self::BadArgument => (
                "badArgument",
                "An argument is missing, repeated, not one of this verb, or a date that is not YYYY-MM-DD.",
            ),
            Self::BadResumptionToken => (
                "badResumptionToken",
                "The list that this token belongs to has changed: ask for it from the beginning.",
            ),
            Self::CannotDisseminateFormat => {
                ("cannotDisseminateFormat", "The metadataPrefix must be oai_dc, oai_openaire or oai_datacite.")
            }
            Self::IdDoesNotExist => ("idDoesNotExist", "The repository has no template of this identifier."),
            Self::NoRecordsMatch => ("noRecordsMatch", "No template has a date in this range."),
            Self::NoSetHierarchy => ("noSetHierarchy", "This repository has no sets."),
        }
    }
}

/// Verbs (section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    GetRecord,
    Identify,
    ListIdentifiers,
    ListMetadataFormats,
    ListRecords,
    ListSets,
}

/// Their names, and the arguments that each may have.
const VERBS: [(&str, Verb, &[&str]); 6] = [
    ("GetRecord", Verb::GetRecord, &["identifier", "metadataPrefix"]),
    ("Identify", Verb::Identify, &[]),
    ("ListIdentifiers", Verb::ListIdentifiers, LIST),
    ("ListMetadataFormats", Verb::ListMetadataFormats, &["identifier"]),
    ("ListRecords", Verb::ListRecords, LIST),
    ("ListSets", Verb::ListSets, &["metadataPrefix", "from", "until", "set", "resumptionToken", "identifier"]),
];
const LIST: &[&str] = &["metadataPrefix", "from", "until", "set", "resumptionToken"];

impl Verb {
    pub(super) fn name(self) -> &'static str {
        VERBS.iter().find(|(_, verb, _)| *verb == self).map_or("", |(name, ..)| *name)
    }
}

/// A request with a verb and arguments that this verb may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) verb: Verb,
    pub(super) arguments: Vec<(String, String)>,
}

impl Query {
    /// An argument.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the answer depends on the templates.
    pub(super) fn needs_entries(&self) -> bool {
        match self.verb {
            Verb::Identify | Verb::ListSets => false,
            Verb::ListMetadataFormats => self.get("identifier").is_some(),
            Verb::GetRecord | Verb::ListIdentifiers | Verb::ListRecords => true,
        }
    }
}

/// Reads arguments, percent-encoded.
///
/// # Errors
/// `badVerb` or `badArgument`.
pub(super) fn read(arguments: &str) -> Result<Query, Code> {
    let pairs = arguments.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    let (verbs, arguments): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| name == "verb");
    let [(_, verb)] = verbs.as_slice() else { return Err(Code::BadVerb) };
    let (_, verb, allowed) = VERBS.iter().find(|(name, ..)| name == verb).ok_or(Code::BadVerb)?;
    let is_good = |at: usize, name: &str| {
        allowed.contains(&name) && !arguments[..at].iter().any(|(before, _): &(String, String)| before == name)
    };
    if !arguments.iter().enumerate().all(|(at, (name, _))| is_good(at, name)) {
        return Err(Code::BadArgument);
    }
    Ok(Query { verb: *verb, arguments })
}

fn decoded(text: &str) -> String {
    percent_decoded(&text.replace('+', " "))
}

/// A day, `YYYY-MM-DD` exactly.
pub(super) fn day(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == text).then_some(date)
}
