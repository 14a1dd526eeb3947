//! From a request to its answer: the way that every request goes.

use super::{
    Shared, clouds,
    error::{self, ErrorBody, Failure},
    events, health, infrastructures, openapi,
    reply::{self, Response},
    request::{Body, Request, accept},
    routes::{self, Operation, RESOURCES, Verb},
    statistics,
    validators::validated,
    version, vms,
};
use crate::engine::OperationError;
use bytes::Bytes;
use connectors::PowerOperation;
use futures::FutureExt;
use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};
use warp::{
    Reply,
    http::{self, HeaderMap, HeaderValue, Method, StatusCode, header},
    path::FullPath,
};

/// A request as it came in.
pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) path: FullPath,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// None for methods whose body has no meaning.
    pub(super) body: Option<Body>,
    /// Where the body comes from.
    pub(super) address: IpAddr,
}

/// Answers a request.
pub(super) async fn answer(shared: Arc<Shared>, incoming: Incoming) -> Response {
    let started = Instant::now();
    let Incoming { method, path, query, headers, body, address } = incoming;
    let verb = Verb::of(&method);
    let found = routes::find(path.as_str());
    let place = found.as_ref().map(|(place, _)| *place);
    let asked = headers.get(header::IF_NONE_MATCH).cloned();
    let response = if method == Method::OPTIONS {
        options(place)
    } else {
        let error_body = ErrorBody::wanted(accept(&headers).as_deref());
        let operation = place.zip(verb).and_then(|(place, verb)| RESOURCES[place].operation(verb));
        let outcome = match (found, operation) {
            (Some((_, parameters)), Some(operation)) => {
                let request = Request { shared: shared.clone(), parameters, query, headers, body, address };
                run(operation, request, verb != Some(Verb::Get)).await
            }
            (Some((place, _)), None) => Err(Failure::Method(RESOURCES[place].allow())),
            (None, _) => Err(Failure::Request(
                StatusCode::NOT_FOUND,
                "The requested URL was not found on the server.".to_owned(),
            )),
        };
        if let Err(Failure::Credentials(error)) = &outcome {
            tokio::time::sleep(error.pause()).await;
        }
        outcome.unwrap_or_else(|failure| error::response(failure, operation, error_body))
    };
    let mut response = validated(response, asked.as_ref(), verb == Some(Verb::Get));
    if let Some(origin) = &shared.cors_origin {
        allow_origin(response.headers_mut(), origin);
    }
    shared.metrics.count(place, verb, response.status(), started.elapsed());
    response
}

/// What a change does goes on when the client hangs up, and a defect ends in an answer.
async fn run(operation: Operation, request: Request, changes: bool) -> Result<Response, Failure> {
    let outcome = if changes {
        let Ok(share) = request.shared.changes.try_take(&request.address.to_string()) else {
            let text = "Too many changes are under way, try again later.".to_owned();
            return Err(Failure::Operation(OperationError::Busy(text)));
        };
        let change = async move {
            let _share = share;
            change(operation, request).await
        };
        match tokio::spawn(AssertUnwindSafe(change).catch_unwind()).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Box::new(error) as _),
        }
    } else {
        AssertUnwindSafe(read(operation, request)).catch_unwind().await
    };
    // The log has it already.
    outcome.unwrap_or_else(|_| {
        Err(Failure::Request(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error, see the log of the service.".to_owned(),
        ))
    })
}

/// Operations of GET. What is polled stands here; the others are boxed, so that a poll does not carry their size.
async fn read(operation: Operation, request: Request) -> Result<Response, Failure> {
    use Operation as O;
    match operation {
        O::Version => version::version(&request),
        O::Health => Ok(health::health()),
        O::Metrics => Ok(health::metrics(&request)),
        O::Describe => openapi::describe(&request, false),
        O::DescribeForPrograms => openapi::describe(&request, true),
        O::Machines => infrastructures::machines(request).await,
        O::State => infrastructures::state(request).await,
        O::Document => infrastructures::document(request).await,
        O::Owners => infrastructures::owners(request).await,
        O::Machine => vms::info(request).await,
        O::MachineProperty => vms::property(request).await,
        other => Box::pin(seldom(other, request)).await,
    }
}

async fn seldom(operation: Operation, request: Request) -> Result<Response, Failure> {
    use Operation as O;
    match operation {
        O::Readiness => health::readiness(request).await,
        O::List => infrastructures::list(request).await,
        O::Log => infrastructures::log(request).await,
        O::Tosca => infrastructures::tosca(request).await,
        O::Outputs => infrastructures::outputs(request).await,
        O::Export => infrastructures::export(request).await,
        O::CloudImages => clouds::images(request).await,
        O::CloudQuotas => clouds::quotas(request).await,
        O::OtherCloudProperty => clouds::other(request).await,
        O::Statistics => statistics::statistics(request).await,
        O::OtherProperty => infrastructures::other_property(request).await,
        O::Events => events::events(request).await,
        O::MachineLog => vms::log(request).await,
        O::MachineError => vms::error(request).await,
        O::MachineCommand => vms::command(request).await,
        other => refuse(other, request).await,
    }
}

/// Operations of the other methods.
async fn change(operation: Operation, request: Request) -> Result<Response, Failure> {
    use Operation as O;
    match operation {
        O::Create => infrastructures::create(request).await,
        O::Import => infrastructures::import(request).await,
        O::ChangeOwners => infrastructures::change_owners(request).await,
        O::Add => infrastructures::add(request).await,
        O::Destroy => infrastructures::destroy(request).await,
        O::StartAll => infrastructures::power(request, PowerOperation::Start).await,
        O::StopAll => infrastructures::power(request, PowerOperation::Stop).await,
        O::Reconfigure => infrastructures::reconfigure(request).await,
        O::OtherAction => infrastructures::other_action(request).await,
        O::Alter => vms::alter(request).await,
        O::Remove => vms::remove(request).await,
        O::Start => vms::power(request, PowerOperation::Start).await,
        O::Stop => vms::power(request, PowerOperation::Stop).await,
        O::Reboot => vms::power(request, PowerOperation::Reboot).await,
        O::OtherMachineAction => vms::other_action(request).await,
        O::Snapshot => vms::snapshot(request).await,
        other => refuse(other, request).await,
    }
}

/// Operations of the contract that this version does not offer, each with its error.
async fn refuse(operation: Operation, request: Request) -> Result<Response, Failure> {
    use Operation as O;
    let what = match operation {
        O::Catalogue => return Err(Failure::Request(StatusCode::BAD_REQUEST, "OAI-PMH not enabled.".to_owned())),
        O::StaticFile => return Err(Failure::Request(StatusCode::NOT_FOUND, "Static files not enabled.".to_owned())),
        _ => "This operation",
    };
    request.caller().await?;
    Err(Failure::unavailable(what))
}

/// The answer to OPTIONS: the methods of a resource, or an empty object for any other path.
fn options(place: Option<usize>) -> Response {
    let Some(place) = place else {
        return reply::with_type("application/json", "{}");
    };
    let mut response = http::Response::new(Bytes::new()).into_response();
    if let Ok(allow) = HeaderValue::from_str(&RESOURCES[place].allow()) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn allow_origin(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let methods = HeaderValue::from_static("PUT, GET, POST, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("Origin, Accept, Content-Type, Authorization");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
}
