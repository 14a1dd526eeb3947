//! Virtual machines and their properties.

use super::{
    error::Failure,
    negotiation::{Form, Media},
    query,
    reply::{self, Named, Response},
    request::Request,
};
use crate::{
    api::parameters::IncorrectParameter,
    engine::{
        apart,
        error::OperationError,
        operations::{
            alter::Alter,
            power::Power,
            remove::Remove,
            snapshot::SnapshotDisk,
            tunnel::{OpenTunnel, Tunnel},
        },
        state::render,
    },
};
use connectors::PowerOperation;
use radl::Radl;
use warp::http::StatusCode;

/// `GET /infrastructures/<inf>/vms/<vm>`
pub(super) async fn info(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let engine = request.engine();
    let (infrastructure, vm) = engine.vm(&caller, request.infrastructure(), request.machine()?).await?;
    let form = request.form(Media::Text)?;
    let is_long = apart::is_long(&vm.info);
    let own = engine.clone();
    let write = move || match form {
        Form::Text => Ok(reply::text(own.vm_info_text(&infrastructure, &vm))),
        Form::Json => radl(form, &own.vm_info(&infrastructure, &vm)),
    };
    if is_long { engine.apart(caller.user(), write).await? } else { write() }
}

/// A document: as text, or `{"radl": [...]}`.
fn radl(form: Form, document: &Radl) -> Result<Response, Failure> {
    Ok(match form {
        Form::Text => reply::text(document.to_text()),
        Form::Json => reply::value(&Named("radl", &document.to_json()))?,
    })
}

/// `PUT /infrastructures/<inf>/vms/<vm>`
pub(super) async fn alter(mut request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let number = request.machine()?;
    request.engine().vm(&caller, request.infrastructure(), number).await?;
    let form = request.form(Media::Text)?;
    let kind = request.document_kind()?;
    let document = request.document(&caller, kind).await?;
    let warnings = document.warnings();
    let altered = request.engine().make(&caller, request.infrastructure(), Alter { number, document }).await?;
    Ok(reply::with_warnings(radl(form, &altered)?, &warnings))
}

/// `DELETE /infrastructures/<inf>/vms/<vm>[,<vm>...]`
pub(super) async fn remove(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let context = request.flag("context", true)?;
    let remove = Remove { vms: request.machines()?, context };
    request.engine().make(&caller, request.infrastructure(), remove).await?;
    Ok(reply::empty())
}

/// `GET /infrastructures/<inf>/vms/<vm>/contmsg`
pub(super) async fn log(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let log = request.engine().vm_log(&caller, request.infrastructure(), request.machine()?).await?;
    let form = request.form(Media::Text)?;
    Ok(reply::named_text(form, "contmsg", log)?)
}

/// `GET /infrastructures/<inf>/vms/<vm>/error`: why it failed, null when it did not.
pub(super) async fn error(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let (_, vm) = request.engine().vm(&caller, request.infrastructure(), request.machine()?).await?;
    request.json_only()?;
    Ok(reply::value(&Named("error", &render::vm_error(&vm)))?)
}

/// `GET /infrastructures/<inf>/vms/<vm>/<property>`: numbers in base units, texts without quotes, a line per element of a
/// list.
pub(super) async fn property(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let engine = request.engine();
    let (infrastructure, vm) = engine.vm(&caller, request.infrastructure(), request.machine()?).await?;
    let (number, name) = (request.parameters.get("vm"), request.parameters.get("name"));
    let incorrect =
        || Failure::Request(StatusCode::NOT_FOUND, format!("Incorrect property {name} for VM ID {}", number.trim()));
    let value = engine.vm_property(&infrastructure, &vm, name).ok_or_else(incorrect)?;
    let form = request.form(Media::Text)?;
    Ok(match (form, value) {
        (Form::Json, value) => reply::value(&Named(name, &value))?,
        (Form::Text, value) => match radl::json::bare_text(&value) {
            Some(text) => reply::text(text),
            None => reply::text(super::json::line(&value)?),
        },
    })
}

/// `PUT /infrastructures/<inf>/vms/<vm>/start`, `stop` and `reboot`
pub(super) async fn power(request: Request, operation: PowerOperation) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let number = request.machine()?;
    let power = Power { number: Some(number), operation };
    request.engine().make(&caller, request.infrastructure(), power).await?;
    Ok(reply::empty())
}

/// An operation that does not exist.
pub(super) async fn other_action(request: Request) -> Result<Response, Failure> {
    request.caller().await?;
    let text = format!("Error in {} op in VM: there is no such operation.", request.parameters.get("name"));
    Err(Failure::Request(StatusCode::NOT_FOUND, text))
}

/// `PUT /infrastructures/<inf>/vms/<vm>/disks/<n>/snapshot`
pub(super) async fn snapshot(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let auto_delete = request.flag("auto_delete", false)?;
    let missing = || Failure::Request(StatusCode::BAD_REQUEST, "Parameter image_name required.".to_owned());
    let name = query::first(&request.query, "image_name").ok_or_else(missing)?;
    let disk = request.parameters.get("disk");
    let disk = disk.trim().parse().map_err(|_| OperationError::Invalid(format!("Incorrect disk number: {disk}")))?;
    let number = request.machine()?;
    let snapshot = SnapshotDisk { number, disk, name, auto_delete };
    Ok(reply::text(request.engine().make(&caller, request.infrastructure(), snapshot).await?))
}

/// `GET /infrastructures/<inf>/vms/<vm>/command`: the script that opens the machine's reverse tunnel, or with `step=2` what
/// that script is to do next.
pub(super) async fn command(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let step = match query::first(&request.query, "step") {
        Some(step) => step.trim().parse::<i64>().map_err(|_| IncorrectParameter::Value("step".to_owned()))?,
        None => 1,
    };
    let (engine, id) = (request.engine(), request.infrastructure());
    let form = match request.form(Media::Text) {
        Ok(form) => form,
        Err(unsupported) => {
            // That there is no such machine for the caller would be the greater obstacle.
            engine.tunnel_script(&caller, id, request.machine()?, "").await?;
            return Err(unsupported);
        }
    };
    let text = match step {
        1 => engine.tunnel_script(&caller, id, request.machine()?, &request.base_url()).await?,
        2 => {
            let tunnel = OpenTunnel { vm: request.machine()?, key: query::first(&request.query, "key") };
            match engine.make(&caller, id, tunnel).await? {
                Tunnel::Wait => "wait".to_owned(),
                Tunnel::NotNeeded => "true".to_owned(),
                // Who has no key yet is a script of an older daemon: it runs what it gets.
                Tunnel::KeyNeeded => engine.tunnel_script(&caller, id, request.machine()?, &request.base_url()).await?,
                Tunnel::Open(command) => command,
            }
        }
        _ => {
            let number = request.parameters.get("vm").trim();
            let text = format!("Incorrect property command for VM ID {number}");
            return Err(Failure::Request(StatusCode::NOT_FOUND, text));
        }
    };
    Ok(reply::named_text(form, "command", text)?)
}
