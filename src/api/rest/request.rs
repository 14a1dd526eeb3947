//! A request on its way to its operation: who sends it, what it accepts, its parameters and its body.

use super::{
    Rest, RestState,
    error::Failure,
    negotiation::{self, Form, Media},
    query,
};
use crate::{
    api::{
        document::{self, DocumentKind},
        http::{
            SiteRequest,
            body::{self, Held, Intake},
        },
        parameters::{IncorrectParameter, machine_number},
    },
    auth::Caller,
    charset::{self, utf8_or_latin1},
    engine::{Engine, apart::SHORT, error::OperationError, operations::document::Document},
};
use bytes::Bytes;
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};
use warp::http::{HeaderMap, HeaderName, StatusCode, header};

/// A routed request.
pub(super) type Request = SiteRequest<Rest>;

/// The whole `Accept` header, several lines joined.
pub(super) fn accept(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let mut lines = headers.get_all(header::ACCEPT).iter().map(|line| utf8_or_latin1(line.as_bytes()));
    let first = lines.next()?;
    let rest: Vec<Cow<'_, str>> = lines.collect();
    Some(if rest.is_empty() { first } else { Cow::Owned(format!("{first},{}", rest.join(","))) })
}

impl Request {
    /// The engine.
    pub(super) fn engine(&self) -> &Engine {
        &self.site.state.engine
    }

    /// Who sends it.
    ///
    /// # Errors
    /// No, malformed or invalid credentials.
    pub(super) async fn caller(&self) -> Result<Arc<Caller>, Failure> {
        let header = self.header(&header::AUTHORIZATION);
        Ok(self.site.state.authenticator.authenticate_header(header.as_deref()).await?)
    }

    /// Value of a header.
    pub(super) fn header(&self, name: &HeaderName) -> Option<Cow<'_, str>> {
        self.headers.get(name).map(|value| utf8_or_latin1(value.as_bytes()))
    }

    /// The form to answer in.
    ///
    /// # Errors
    /// The client accepts none.
    pub(super) fn form(&self, default: Media) -> Result<Form, Failure> {
        Ok(negotiation::answer_form(accept(&self.headers).as_deref(), default)?)
    }

    /// The check of resources that only have a JSON form.
    ///
    /// # Errors
    /// The client does not accept JSON.
    pub(super) fn json_only(&self) -> Result<(), Failure> {
        Ok(negotiation::json_only(accept(&self.headers).as_deref())?)
    }

    /// A truth value of the query.
    ///
    /// # Errors
    /// A word that is none.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, IncorrectParameter> {
        query::flag(&self.query, name, default)
    }

    /// The infrastructure named in the path.
    pub(super) fn infrastructure(&self) -> &str {
        self.parameters.get("id")
    }

    /// The check that the infrastructure named in the path is there, and the caller's: for changes, which must not begin
    /// before it is known in which form they are answered.
    ///
    /// # Errors
    /// Unknown, deleted, not the caller's.
    pub(super) async fn named_infrastructure(&self, caller: &Caller) -> Result<(), OperationError> {
        self.engine().infrastructure(caller, self.infrastructure()).await.map(drop)
    }

    /// The machine named in the path.
    ///
    /// # Errors
    /// Not a number.
    pub(super) fn machine(&self) -> Result<u32, OperationError> {
        machine_number(self.parameters.get("vm"))
    }

    /// The machines named in the path, separated by commas.
    ///
    /// # Errors
    /// One of them is not a number.
    pub(super) fn machines(&self) -> Result<Vec<u32>, OperationError> {
        self.parameters.get("vm").split(',').map(machine_number).collect()
    }

    /// The machines of `vm_list`, none when absent; numbers that no machine can have are left out.
    ///
    /// # Errors
    /// Not a comma list of whole numbers.
    pub(super) fn machine_list(&self) -> Result<Option<BTreeSet<u32>>, Failure> {
        let Some(list) = query::first(&self.query, "vm_list") else { return Ok(None) };
        let numbers: Result<Vec<i64>, _> = list.split(',').map(|number| number.trim().parse()).collect();
        let incorrect = |_| Failure::Request(StatusCode::BAD_REQUEST, "Incorrect vm_list format.".to_owned());
        Ok(Some(numbers.map_err(incorrect)?.into_iter().filter_map(|number| u32::try_from(number).ok()).collect()))
    }

    /// The kind of document that the body is said to be.
    ///
    /// # Errors
    /// It names no language of documents.
    pub(super) fn document_kind(&self) -> Result<DocumentKind, Failure> {
        Ok(negotiation::document_kind(self.header(&header::CONTENT_TYPE).as_deref())?)
    }

    /// The check of the type of a body that must be JSON: none counts as JSON.
    ///
    /// # Errors
    /// A type that is not JSON.
    pub(super) fn json_body(&self) -> Result<(), Failure> {
        Ok(negotiation::json_body(self.header(&header::CONTENT_TYPE).as_deref())?)
    }

    /// The body as text, and what it holds of the memory for bodies.
    ///
    /// # Errors
    /// Too large, too slow, or no text in the character set that its type names.
    pub(super) async fn text(&mut self) -> Result<(String, Held), Failure> {
        let (body, held) = self.read().await?;
        let limit = self.site.state.settings.max_body;
        let text = charset::decode(&body, body::charset(&self.headers).as_deref(), limit)?;
        Ok((text.into_owned(), held))
    }

    /// The document in the body, read for the caller.
    ///
    /// # Errors
    /// A body that [`Request::text`] refuses, too much of the caller at once, or a document with errors.
    pub(super) async fn document(&mut self, caller: &Caller, kind: DocumentKind) -> Result<Document, Failure> {
        let (body, held) = self.read().await?;
        self.parse(caller, kind, body, held).await
    }

    async fn parse(&self, caller: &Caller, kind: DocumentKind, body: Bytes, held: Held) -> Result<Document, Failure> {
        let (charset, limit) = (body::charset(&self.headers), self.site.state.settings.max_body);
        let is_short = body.len() < SHORT;
        let parse = move || {
            let _held = held;
            let text = charset::decode(&body, charset.as_deref(), limit)?;
            Ok::<_, Failure>(document::parse(kind, &text)?)
        };
        if is_short { parse() } else { self.engine().apart(caller.user(), parse).await? }
    }

    /// The document in the body, none without a body; its type only counts if there is one.
    ///
    /// # Errors
    /// A body that [`Request::document`] refuses, or one of an unknown type.
    pub(super) async fn optional_document(&mut self, caller: &Caller) -> Result<Option<Document>, Failure> {
        let (body, held) = self.read().await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        self.parse(caller, self.document_kind()?, body, held).await.map(Some)
    }

    /// The whole body.
    async fn read(&mut self) -> Result<(Bytes, Held), Failure> {
        let RestState { settings, engine, .. } = &self.site.state;
        let Some(chunks) = &mut self.body else { return Ok(Default::default()) };
        let (limit, time, memory) = (settings.max_body, settings.body_timeout, engine.bodies());
        Ok(body::collect(&self.headers, chunks, &Intake { limit, time, memory, address: self.address }).await?)
    }
}
