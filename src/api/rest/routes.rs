//! The table of routes: one row for each, which the router, the description of the API and the tests read.

use super::{
    Rest, clouds,
    error::{Class, Failure},
    events, health, infrastructures,
    metadata::{Metadata, QueryParameter, SuccessBody as Body, TakenBody, flag, number, text},
    openapi,
    request::Request,
    schema, statistics, unavailable, version, vms,
};
use crate::api::http::{Response, Route};
use connectors::PowerOperation::{Reboot, Start, Stop};
use warp::http::{Method, StatusCode};

const ASYNC: QueryParameter = flag("async", false, "Answer once the work is safely stored");
const CONTEXT: QueryParameter = flag("context", true, "Contextualize afterwards");

/// Words before the errors of several routes. The odd spellings are those of the contract (docs/spec/api.md 2.5).
const PROPERTY: &str = "Error Getting Inf. prop: ";
const VM_PROPERTY: &str = "Error Getting VM. property: ";
const VM_PROPERTY_OTHER: &str = "Error Getting VM property: ";
const CLOUD: &str = "Error getting cloud info: ";

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

/// Every route. Where several templates fit a path, literal segments win over parameters.
#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Rest>> {
    vec![
        row(GET, "/", openapi::description_or_page)
            .described("GetDescription", "This description, or a page for browsers", Body::Description)
            .open(),
        row(GET, "/openapi.json", openapi::description)
            .described("GetOpenAPI", "This description", Body::Json("Description"))
            .open(),
        row(GET, "/version", version::version)
            .described("GetVersion", "Version of the contract", Body::Named("version"))
            .open(),
        row(GET, "/healthz", health::health)
            .described("GetHealth", "Whether the process serves", Body::Text)
            .open(),
        row(GET, "/readyz", health::readiness)
            .described("GetReadiness", "Whether the daemon can do its work", Body::Text)
            .open(),
        row(GET, "/metrics", health::metrics)
            .described("GetMetrics", "Metrics in the text format of Prometheus", Body::Text)
            .open(),
        row(GET, "/tosca/schema.json", schema::schema)
            .described("GetToscaSchema", "JSON Schema of TOSCA documents, for editors", Body::Json("Description"))
            .open(),
        row(GET, "/infrastructures", infrastructures::list)
            .errors("Error Getting Inf. List: ")
            .described("GetInfrastructures", "Your infrastructures, newest first", Body::Uris)
            .query(text("filter", "Regular expression searched in the documents")),
        row(POST, "/infrastructures", infrastructures::create)
            .errors("Error Creating Inf.: ")
            .errors_of(Class::User, "Error Creating Inf. info: ")
            .errors_of(Class::Disabled, "Error Creating Inf, info: ")
            .described(
                "CreateInfrastructure",
                "Create an infrastructure, or estimate what it would use (dry_run)",
                Body::UriOr("Estimate"),
            )
            .query(ASYNC)
            .query(flag("dry_run", false, "Make nothing: answer what would be used"))
            .takes(TakenBody::Document),
        row(PUT, "/infrastructures", infrastructures::import)
            .errors("Error Impporting Inf.: ")
            .errors_of(Class::Disabled, "Error Impporting Inf: ")
            .described("Importfrastructure", "Take in an exported infrastructure", Body::Uri)
            .takes(TakenBody::Json("Export")),
        row(GET, "/infrastructures/{id}", infrastructures::machines)
            .errors("Error Getting Inf. info: ")
            .described("GetVMList", "Machines of an infrastructure", Body::Uris),
        row(POST, "/infrastructures/{id}", infrastructures::add)
            .errors("Error Adding resources: ")
            .missing_vm(StatusCode::BAD_REQUEST)
            .described("AddResources", "Add machines", Body::Uris)
            .query(CONTEXT)
            .takes(TakenBody::Document),
        row(DELETE, "/infrastructures/{id}", infrastructures::destroy)
            .errors("Error Destroying Inf: ")
            .described("DestroyInfrastructure", "Delete an infrastructure with all machines", Body::Text)
            .query(flag("force", false, "Although a cloud fails or machines are being launched"))
            .query(ASYNC),
        row(GET, "/infrastructures/{id}/state", infrastructures::state)
            .errors(PROPERTY)
            .described(
                "GetInfrastructureState",
                "State of the infrastructure and its machines",
                Body::Json("InfrastructureState"),
            ),
        row(GET, "/infrastructures/{id}/contmsg", infrastructures::log)
            .errors(PROPERTY)
            .described("GetInfrastructureContmsg", "Log of the contextualization", Body::Named("contmsg"))
            .query(flag("headeronly", false, "Without the logs of machines")),
        row(GET, "/infrastructures/{id}/radl", infrastructures::document)
            .errors(PROPERTY)
            .described("GetInfrastructureRADL", "The stored document", Body::Named("radl")),
        row(GET, "/infrastructures/{id}/tosca", infrastructures::tosca)
            .errors(PROPERTY)
            .described("GetInfrastructureTOSCA", "The TOSCA document it was made from", Body::Named("tosca")),
        row(GET, "/infrastructures/{id}/outputs", infrastructures::outputs)
            .errors(PROPERTY)
            .described("GetInfrastructureOutpus", "Outputs of the TOSCA document", Body::Json("Outputs")),
        row(GET, "/infrastructures/{id}/data", infrastructures::export)
            .errors(PROPERTY)
            .described("GetInfrastructureData", "The whole infrastructure as a document for import", Body::Json("Data"))
            .query(flag("delete", false, "Forget it here; its machines go on")),
        row(GET, "/infrastructures/{id}/authorization", infrastructures::owners)
            .errors(PROPERTY)
            .described("GetInfrastructureOwners", "Names of the owners", Body::TextOr("Owners")),
        row(POST, "/infrastructures/{id}/authorization", infrastructures::change_owners)
            .errors("Error modifying infrastructure owner: ")
            .errors_of(Class::Named, "Error modifying infrastructure owners: ")
            .described("ChangeInfrastructureAuth", "Add an owner", Body::Text)
            .query(flag("overwrite", false, "The only one from now on"))
            .takes(TakenBody::Json("Credentials")),
        row(GET, "/infrastructures/{id}/events", events::events)
            .errors("Error Getting Inf. events: ")
            .described("GetInfrastructureEvents", "States and log lines as they happen", Body::Events)
            .query(number("after", "Number of the last event seen; Last-Event-ID counts before it")),
        row(PUT, "/infrastructures/{id}/start", |request| infrastructures::power(request, Start))
            .errors("Error in start operation: ")
            .described("StartInfrastructure", "Start all machines", Body::Text),
        row(PUT, "/infrastructures/{id}/stop", |request| infrastructures::power(request, Stop))
            .errors("Error in stop operation: ")
            .described("StopInfrastructure", "Stop all machines", Body::Text),
        row(PUT, "/infrastructures/{id}/reconfigure", infrastructures::reconfigure)
            .errors("Error reconfiguring infrastructure: ")
            .described(
                "ReconfigureInfrastructure",
                "Contextualize again, with new recipes or credentials if a document is given",
                Body::Text,
            )
            .query(text("vm_list", "Numbers of the machines that run the user's recipes, with commas"))
            .takes(TakenBody::Document),
        row(GET, "/infrastructures/{id}/{name}", infrastructures::other_property).errors(PROPERTY),
        row(PUT, "/infrastructures/{id}/{name}", infrastructures::other_action)
            .errors("Error in operation: "),
        row(GET, "/infrastructures/{id}/vms/{vm}", vms::info)
            .errors("Error Getting VM. info: ")
            .errors_of(Class::Other, "Error Getting VM info: ")
            .described("GetVMInfo", "Document of a machine", Body::TextOr("RADL")),
        row(PUT, "/infrastructures/{id}/vms/{vm}", vms::alter)
            .errors("Error modifying resources: ")
            .described("AlterVM", "Change sizes of a machine or add disks", Body::TextOr("RADL"))
            .takes(TakenBody::Document),
        row(DELETE, "/infrastructures/{id}/vms/{vm}", vms::remove)
            .errors("Error Removing resources: ")
            .described("DestroyVM", "Delete machines: numbers with commas", Body::Text)
            .query(CONTEXT),
        row(GET, "/infrastructures/{id}/vms/{vm}/contmsg", vms::log)
            .errors(VM_PROPERTY)
            .errors_of(Class::Other, VM_PROPERTY_OTHER)
            .described("GetVMContMsg", "Log of a machine", Body::Named("contmsg")),
        row(GET, "/infrastructures/{id}/vms/{vm}/error", vms::error)
            .errors(VM_PROPERTY)
            .errors_of(Class::Other, VM_PROPERTY_OTHER)
            .described("GetVMError", "Why a machine failed, null when it did not", Body::Json("MachineError")),
        row(GET, "/infrastructures/{id}/vms/{vm}/command", vms::command)
            .errors(VM_PROPERTY)
            .errors_of(Class::Other, VM_PROPERTY_OTHER),
        row(PUT, "/infrastructures/{id}/vms/{vm}/start", |request| vms::power(request, Start))
            .errors("Error in start op in VM: ")
            .described("StartVM", "Start a machine", Body::Text),
        row(PUT, "/infrastructures/{id}/vms/{vm}/stop", |request| vms::power(request, Stop))
            .errors("Error in stop op in VM: ")
            .described("StopVM", "Stop a machine", Body::Text),
        row(PUT, "/infrastructures/{id}/vms/{vm}/reboot", |request| vms::power(request, Reboot))
            .errors("Error in reboot op in VM: ")
            .described("RebootVM", "Reboot a machine", Body::Text),
        row(GET, "/infrastructures/{id}/vms/{vm}/{name}", vms::property)
            .errors(VM_PROPERTY)
            .errors_of(Class::Other, VM_PROPERTY_OTHER)
            .described("GetVMProperty", "One value of the machine's system", Body::TextOr("Property")),
        row(PUT, "/infrastructures/{id}/vms/{vm}/{name}", vms::other_action)
            .errors("Error in op in VM: "),
        row(PUT, "/infrastructures/{id}/vms/{vm}/disks/{disk}/snapshot", vms::snapshot)
            .errors("Error creating snapshot: ")
            .described("CreateSnapShot", "Make an image of a disk; answers its URL", Body::Text)
            .query(text("image_name", "Name of the new image").required())
            .query(flag("auto_delete", false, "The image goes with the infrastructure")),
        row(GET, "/clouds/{cloud}/images", clouds::images)
            .errors(CLOUD)
            .described("GetCloudImages", "Images of a cloud of yours", Body::Json("Images"))
            .query(text("filters", "key=value with commas")),
        row(GET, "/clouds/{cloud}/quotas", clouds::quotas)
            .errors(CLOUD)
            .described("GetCloudQuotas", "Limits of your account in a cloud", Body::Json("Quotas"))
            .query(text("region", "Region, in clouds whose limits differ by it")),
        row(GET, "/clouds/{cloud}/{name}", clouds::other).errors(CLOUD),
        row(GET, "/stats", statistics::statistics)
            .errors("Error getting stats: ")
            .described(
                "GetStats",
                "Statistics of your infrastructures, deleted ones too",
                Body::JsonOrCsv("Statistics"),
            )
            .query(text("init_date", "First day of creation, YYYY-MM-DD"))
            .query(text("end_date", "Day after the last one")),
        row(GET, "/static/{file}", unavailable::static_file).open(),
    ]
}

/// A row of which nothing is said yet.
fn row<F, A>(method: Method, template: &'static str, handler: F) -> Route<Rest>
where
    F: Fn(Request) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    Route::new(method, template, handler, Metadata::default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::http::router::{PathParameters, Router, normalized};

    fn find(method: &Method, path: &str) -> Option<(&'static str, PathParameters)> {
        let router = Router::new(routes()).unwrap();
        let (place, parameters) = router.find(&normalized(path))?;
        let resource = &router.resources()[place];
        resource.row(method).map(|_| (resource.template, parameters))
    }

    /// That rows do not contradict each other is looked at by making the router, here as at the start.
    #[test]
    fn paths_lead_to_their_routes() {
        let vm = "/infrastructures/{id}/vms/{vm}";
        let cases = [
            (&GET, "//infrastructures//i/vms//0", Some(vm.to_owned())),
            (&POST, "/infrastructures/i/vms/0", None),
            (&GET, "/infrastructures/i/state", Some("/infrastructures/{id}/state".to_owned())),
            (&GET, "/infrastructures/i/start", None),
            (&GET, "/infrastructures/i/vms", Some("/infrastructures/{id}/{name}".to_owned())),
            (&PUT, "/infrastructures/i/foo", Some("/infrastructures/{id}/{name}".to_owned())),
            (&GET, "/infrastructures/i/vms/0/a%2fb", Some(format!("{vm}/{{name}}"))),
            (&PUT, "/infrastructures/i/vms/0/disks/1/snapshot", Some(format!("{vm}/disks/{{disk}}/snapshot"))),
            (&GET, "/infrastructures/i/vms/0/a/b/c/d", None),
        ];
        for (method, path, expected) in cases {
            assert_eq!(find(method, path).map(|(template, _)| template.to_owned()), expected, "{method} {path}");
        }
        let (_, parameters) = find(&GET, "/infrastructures/i/vms/%200%20/a%2fb").unwrap();
        assert_eq!((parameters.get("id"), parameters.get("vm"), parameters.get("name")), ("i", " 0 ", "a/b"));
    }

    /// What is described has an operation id of its own and a summary; errors of all that needs credentials have words before
    /// them.
    #[test]
    fn rows_say_what_they_must() {
        let rows = routes();
        let ids: Vec<_> = rows.iter().filter_map(|row| row.metadata.id).collect();
        assert!(ids.iter().enumerate().all(|(index, id)| !ids[..index].contains(id)), "{ids:?}");
        for Metadata { id, summary, errors, is_open, .. } in rows.iter().map(|row| &row.metadata) {
            assert_eq!(id.is_some(), !summary.is_empty(), "{id:?} {summary}");
            assert_eq!(*is_open, errors.before(Class::User).is_empty(), "{id:?} {errors:?}");
        }
    }
}
