//! OAI-PMH 2.0 (https://www.openarchives.org/OAI/openarchivesprotocol.html): the metadata of the templates in the configured
//! repository, for harvesters; the site at `/oai` (docs/spec/api.md 6.6).
//!
//! | module | subject |
//! |---|---|
//! | `request` | verbs, arguments and what is wrong with them: pure |
//! | `answer` | what is answered: pure |
//! | `formats` | a template in each of the formats: pure |
//! | `xml` | elements and how they are written |
//!
//! Errors of the protocol are answers with status 200, as it wants; where there is no repository, or it cannot be read, the
//! answer has the form of an error of REST.

mod answer;
mod formats;
mod request;
#[cfg(test)]
mod tests;
mod xml;

use super::{
    http::{
        Response, Route, Site, SiteRequest,
        body::{self, Intake},
    },
    rest::{self, Failure},
};
use crate::{bounds::Budget, charset::utf8_or_latin1, templates::Repository};
use answer::{Identity, answer};
use std::{sync::Arc, time::Duration};
use warp::{
    Reply,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

/// Most bytes of the arguments in a body.
const LONGEST_BODY: usize = 16 << 10;
/// The longest that a body may be on its way.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What is published.
pub struct Catalogue {
    /// The templates.
    pub repository: Repository,
    /// OAIPMH_REPO_NAME.
    pub name: String,
    /// OAIPMH_REPO_DESCRIPTION.
    pub description: String,
    /// OAIPMH_REPO_ADMIN_EMAIL, empty if there is none.
    pub email: String,
}

/// The site.
pub struct Oai {
    catalogue: Option<Catalogue>,
    /// The memory for the bodies of all requests.
    memory: Arc<Budget>,
}

impl Oai {
    /// The site over a catalogue; without one it says so.
    #[must_use]
    pub const fn new(catalogue: Option<Catalogue>, memory: Arc<Budget>) -> Self {
        Self { catalogue, memory }
    }
}

impl Site for Oai {
    type Failure = Failure;
    type Metadata = ();

    fn routes(&self) -> Vec<Route<Self>> {
        vec![Route::new(Method::GET, "/", get, ()), Route::new(Method::POST, "/", post, ())]
    }

    fn options(&self, allow: Option<&HeaderValue>) -> Response {
        let mut response = String::new().into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
        response
    }

    async fn failed(&self, failure: Failure, _: Option<&()>, headers: &HeaderMap) -> Response {
        rest::refused(failure, headers)
    }

    fn finish(&self, response: Response, _: &Method, _: &HeaderMap) -> Response {
        response
    }
}

async fn get(request: SiteRequest<Oai>) -> Result<Response, Failure> {
    let arguments = request.query.clone();
    respond(&request, &arguments).await
}

/// Arguments come in the body, and may come in the query as well.
async fn post(mut request: SiteRequest<Oai>) -> Result<Response, Failure> {
    let body = match &mut request.body {
        Some(chunks) => {
            let (memory, address) = (&request.site.memory, request.address);
            let intake = Intake { limit: LONGEST_BODY, time: BODY_TIME, memory, address };
            body::collect(&request.headers, chunks, &intake).await?.0
        }
        None => Default::default(),
    };
    let arguments = format!("{}&{}", request.query, utf8_or_latin1(&body));
    respond(&request, &arguments).await
}

async fn respond(request: &SiteRequest<Oai>, arguments: &str) -> Result<Response, Failure> {
    let Some(catalogue) = &request.site.catalogue else {
        return Err(Failure::Request(StatusCode::BAD_REQUEST, "OAI-PMH not enabled.".to_owned()));
    };
    let base_url = request.base_url();
    let identity = Identity {
        name: &catalogue.name,
        description: &catalogue.description,
        email: &catalogue.email,
        base_url: base_url.trim_end_matches('/'),
        repository: catalogue.repository.base(),
    };
    let arguments = request::read(arguments);
    let needs_entries = arguments.as_ref().is_ok_and(request::Query::needs_entries);
    let entries =
        if needs_entries { catalogue.repository.entries().await.map_err(unreadable)? } else { Arc::default() };
    let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let text = answer(arguments, &identity, &entries, &now).document().map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as XML");
        Failure::Request(StatusCode::INTERNAL_SERVER_ERROR, "The answer cannot be written as XML.".to_owned())
    })?;
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    Ok(response)
}

fn unreadable(error: crate::templates::FetchError) -> Failure {
    let text = format!("Error getting metadata from TOSCA templates: {error}");
    Failure::Request(StatusCode::BAD_REQUEST, text)
}
