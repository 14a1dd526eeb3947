//! Infrastructures and their properties.

use super::{
    error::Failure,
    json,
    negotiation::{Form, Media},
    query,
    reply::{self, Named, Response},
    request::Request,
};
use crate::{
    api::owners,
    auth::Item,
    engine::{
        Engine, apart,
        error::OperationError,
        operations::{
            add::Add, change_owners::ChangeOwners, destroy::Destroy, give_away::GiveAway, power::Power,
            reconfigure::Reconfigure,
        },
        state::{
            memo,
            model::{Infrastructure, State},
        },
    },
};
use connectors::PowerOperation;
use serde::{Serialize, Serializer};
use warp::http::StatusCode;

/// `GET /infrastructures`
pub(super) async fn list(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let form = request.form(Media::UriList)?;
    let pattern = query::first(&request.query, "filter").unwrap_or_default();
    let base = request.base_url();
    let write = |ids: &[String]| {
        let uris: Vec<String> = ids.iter().map(|id| infrastructure_uri(&base, id)).collect();
        Ok::<_, Failure>(reply::uri_text(form, &uris)?.into())
    };
    let written = match pattern.is_empty() {
        false => write(&request.engine().list(&caller, Some(&pattern)).await?)?,
        true => request.engine().listing(&caller, &format!("{form:?} {base}"), write).await?,
    };
    Ok(reply::uri_list(form, written))
}

/// `POST /infrastructures`
pub(super) async fn create(mut request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let estimate = request.flag("dry_run", false)?;
    let form = request.form(if estimate { Media::Json } else { Media::UriList })?;
    let kind = request.document_kind()?;
    if estimate {
        let document = request.document(&caller, kind).await?;
        let warnings = document.warnings();
        let estimate = reply::value(&request.engine().estimate(&caller, document).await?)?;
        return Ok(reply::with_warnings(estimate, &warnings));
    }
    let asynchronous = request.flag("async", false)?;
    let document = request.document(&caller, kind).await?;
    let warnings = document.warnings();
    let id = request.engine().create(&caller, document, asynchronous).await?;
    let uri = infrastructure_uri(&request.base_url(), &id);
    Ok(reply::with_warnings(reply::about(reply::uri(form, &uri)?, &id), &warnings))
}

/// `PUT /infrastructures`
pub(super) async fn import(mut request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let form = request.form(Media::UriList)?;
    request.json_body()?;
    let (text, _held) = request.text().await?;
    let id = request.engine().import(&caller, &text).await?;
    Ok(reply::uri(form, &infrastructure_uri(&request.base_url(), &id))?)
}

/// `GET /infrastructures/<inf>`
pub(super) async fn machines(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let infrastructure = request.engine().infrastructure(&caller, request.infrastructure()).await?;
    let form = request.form(Media::UriList)?;
    let base = infrastructure_uri(&request.base_url(), request.infrastructure());
    let render = || {
        let numbers = infrastructure.live_vms().map(|vm| vm.number);
        reply::uri_text(form, &machine_uris(&base, numbers)).map(Into::into)
    };
    let written = infrastructure.listing.get_or_try(format!("{form:?} {base}"), memo::OF_INFRASTRUCTURE, render)?;
    Ok(reply::uri_list(form, written))
}

/// `POST /infrastructures/<inf>`
pub(super) async fn add(mut request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    request.named_infrastructure(&caller).await?;
    let form = request.form(Media::UriList)?;
    let kind = request.document_kind()?;
    let context = request.flag("context", true)?;
    let document = request.document(&caller, kind).await?;
    let warnings = document.warnings();
    let id = request.infrastructure();
    let numbers = request.engine().make(&caller, id, Add { document, context }).await?;
    let base = infrastructure_uri(&request.base_url(), id);
    let response = reply::uris(form, &machine_uris(&base, numbers.into_iter()))?;
    let response = reply::with_warnings(response, &warnings);
    Ok(if context { reply::about(response, request.infrastructure()) } else { response })
}

/// `DELETE /infrastructures/<inf>`
pub(super) async fn destroy(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let (force, asynchronous) = (request.flag("force", false)?, request.flag("async", false)?);
    let left = request.engine().make(&caller, request.infrastructure(), Destroy { force, asynchronous }).await?;
    Ok(reply::with_warnings(reply::empty(), &left))
}

/// `GET /infrastructures/<inf>/state`
pub(super) async fn state(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let engine = request.engine();
    let infrastructure = engine.infrastructure(&caller, request.infrastructure()).await?;
    request.json_only()?;
    let render = || {
        let vm_states = MachineStates { engine, infrastructure: &infrastructure };
        let states = States { state: engine.state(&infrastructure), vm_states };
        json::line(&Named("state", &states)).map(Into::into)
    };
    Ok(reply::json(engine.states(&infrastructure, render)?))
}

#[derive(Serialize)]
struct States<'a> {
    state: State,
    vm_states: MachineStates<'a>,
}

/// `{"0": "running", ...}`, written straight from the model.
struct MachineStates<'a> {
    engine: &'a Engine,
    infrastructure: &'a Infrastructure,
}

impl Serialize for MachineStates<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { engine, infrastructure } = self;
        serializer.collect_map(infrastructure.live_vms().map(|vm| (vm.number, engine.vm_state(infrastructure, vm))))
    }
}

/// `GET /infrastructures/<inf>/contmsg`
pub(super) async fn log(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let header_only = request.flag("headeronly", false)?;
    let log = request.engine().contextualization_log(&caller, request.infrastructure(), header_only).await?;
    let form = request.form(Media::Text)?;
    Ok(reply::named_text(form, "contmsg", log)?)
}

/// `GET /infrastructures/<inf>/radl`
pub(super) async fn document(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let infrastructure = request.engine().infrastructure(&caller, request.infrastructure()).await?;
    let form = request.form(Media::Text)?;
    let engine = request.engine().clone();
    let is_long = apart::is_long(&infrastructure.radl);
    let write = move || reply::named_text(form, "radl", engine.document(&infrastructure).to_text());
    Ok(if is_long { request.engine().apart(caller.user(), write).await?? } else { write()? })
}

/// `GET /infrastructures/<inf>/authorization`
pub(super) async fn owners(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let infrastructure = request.engine().infrastructure(&caller, request.infrastructure()).await?;
    let form = request.form(Media::Text)?;
    let names: Vec<&str> = infrastructure.owners.iter().map(|owner| owner.username.as_str()).collect();
    Ok(match form {
        Form::Text => reply::text(names.join("\n")),
        Form::Json => reply::value(&Named("authorization", &names))?,
    })
}

/// `GET /infrastructures/<inf>/tosca`: the document it was made from, if that was TOSCA.
pub(super) async fn tosca(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let infrastructure = request.engine().infrastructure(&caller, request.infrastructure()).await?;
    let form = request.form(Media::Text);
    match infrastructure.extra_info.tosca() {
        Some(text) => Ok(reply::named_text(form?, "tosca", text.to_owned())?),
        None => Err(not_tosca("tosca")),
    }
}

/// `GET /infrastructures/<inf>/outputs`: those of a TOSCA document, evaluated with its machines.
pub(super) async fn outputs(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    match request.engine().outputs(&caller, request.infrastructure()).await? {
        Some(values) => {
            request.json_only()?;
            Ok(reply::value(&Named("outputs", &values))?)
        }
        None => Err(not_tosca("outputs")),
    }
}

fn not_tosca(name: &str) -> Failure {
    let text = format!("'{name}' infrastructure property is not valid in this infrastructure");
    Failure::Request(StatusCode::FORBIDDEN, text)
}

/// `GET /infrastructures/<inf>/data`: the export, a JSON document as a text inside the answer. With `delete` the
/// infrastructure is given away.
pub(super) async fn export(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    request.named_infrastructure(&caller).await?;
    let delete = request.flag("delete", false)?;
    request.json_only()?;
    let (engine, id) = (request.engine(), request.infrastructure());
    let document = match delete {
        true => engine.make(&caller, id, GiveAway {}).await?,
        false => engine.export(&caller, id).await?,
    };
    Ok(reply::value(&Named("data", &document))?)
}

/// `POST /infrastructures/<inf>/authorization`
pub(super) async fn change_owners(mut request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    request.named_infrastructure(&caller).await?;
    let overwrite = request.flag("overwrite", false)?;
    request.json_body()?;
    let (text, _held) = request.text().await?;
    let item = serde_json::from_str::<Item>(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = format!("expected one JSON object with texts as values (line {line}, column {column})");
        OperationError::Invalid(format!("Invalid new infrastructure data provided: {text}"))
    })?;
    let owners = owners::identities(&request.site.state.authenticator, vec![item]).await?;
    request.engine().make(&caller, request.infrastructure(), ChangeOwners { owners, overwrite }).await?;
    Ok(reply::empty())
}

/// A property that does not exist.
pub(super) async fn other_property(request: Request) -> Result<Response, Failure> {
    request.caller().await?;
    Err(Failure::Request(StatusCode::NOT_FOUND, "Incorrect infrastructure property".to_owned()))
}

/// `PUT /infrastructures/<inf>/start` and `stop`
pub(super) async fn power(request: Request, operation: PowerOperation) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    request.engine().make(&caller, request.infrastructure(), Power { number: None, operation }).await?;
    Ok(reply::empty())
}

/// `PUT /infrastructures/<inf>/reconfigure`
pub(super) async fn reconfigure(mut request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    request.named_infrastructure(&caller).await?;
    let vms = request.machine_list()?;
    let document = request.optional_document(&caller).await?;
    let id = request.infrastructure();
    request.engine().make(&caller, id, Reconfigure { document, vms }).await?;
    Ok(reply::about(reply::empty(), id))
}

/// An operation that does not exist.
pub(super) async fn other_action(request: Request) -> Result<Response, Failure> {
    request.caller().await?;
    let text = format!("Error in {} operation: there is no such operation.", request.parameters.get("name"));
    Err(Failure::Request(StatusCode::NOT_FOUND, text))
}

fn infrastructure_uri(base: &str, id: &str) -> String {
    format!("{base}infrastructures/{id}")
}

/// Addresses of machines of the infrastructure at `base`.
fn machine_uris(base: &str, numbers: impl Iterator<Item = u32>) -> Vec<String> {
    numbers.map(|number| format!("{base}/vms/{number}")).collect()
}
