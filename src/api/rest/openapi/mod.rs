//! The description of the API (OpenAPI 3.0, docs/spec/api.md 6.5), made from the table of routes: a document for programs and a
//! page for people.
//!
//! | module | subject |
//! |---|---|
//! | `page` | the page |

mod page;

use super::{
    Rest,
    error::Failure,
    metadata::{Metadata, ParameterValues, QueryParameter, SuccessBody, TakenBody},
    negotiation::mentions,
    reply::{self, Response},
    request::{Request, accept},
    routes::routes,
};
use crate::api::{
    CONTRACT_VERSION,
    http::{
        Route,
        router::{Row, parameter_names},
    },
};
use serde_json::{Map, Value, json};

/// `GET /openapi.json`: the document.
pub(super) async fn description(request: Request) -> Result<Response, Failure> {
    Ok(reply::value(&document(&routes(), CONTRACT_VERSION, &request.base_url()))?)
}

/// `GET /`: the document, or a page for who accepts HTML and not JSON.
pub(super) async fn description_or_page(request: Request) -> Result<Response, Failure> {
    let accepted = accept(&request.headers);
    let is_browser = mentions(accepted.as_deref(), "text/html") && !mentions(accepted.as_deref(), "application/json");
    if is_browser {
        return Ok(reply::with_type("text/html; charset=utf-8", page::page(&routes(), CONTRACT_VERSION)));
    }
    description(request).await
}

/// The rows that are offered, with their operation ids.
fn offered(rows: &[Route<Rest>]) -> impl Iterator<Item = (&Route<Rest>, &'static str)> {
    rows.iter().filter_map(|row| Some((row, row.metadata.id?)))
}

fn document(rows: &[Route<Rest>], version: &str, base: &str) -> Value {
    let mut paths = Map::new();
    for (row, id) in offered(rows) {
        let item = paths.entry(row.template()).or_insert_with(|| path_item(row.template()));
        item[row.method().as_str().to_ascii_lowercase()] = operation_object(id, &row.metadata);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Infrastructure Manager", "version": version},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": {"Error": {"description": "What is wrong", "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/json": {"schema": reference("Error")},
                "text/html": {"schema": {"type": "string"}},
            }}},
            "securitySchemes": {"IMAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "security": [{"IMAuth": []}],
    })
}

/// What is said of a path whatever the method.
fn path_item(template: &'static str) -> Value {
    let parameter = |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    let parameters: Vec<Value> = parameter_names(template).map(parameter).collect();
    if parameters.is_empty() { json!({}) } else { json!({"parameters": parameters}) }
}

fn operation_object(id: &str, metadata: &Metadata) -> Value {
    let mut object = json!({
        "operationId": id,
        "summary": metadata.summary,
        "responses": {
            "200": {"description": "Success", "content": content(metadata.success)},
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    if !metadata.query.is_empty() {
        object["parameters"] = metadata.query.iter().map(query_parameter).collect();
    }
    match metadata.takes {
        TakenBody::None => {}
        TakenBody::Document => {
            let text = json!({"schema": {"type": "string"}});
            let content = json!({
                "text/plain": text,
                "application/json": {"schema": reference("Document")},
                "text/yaml": text,
            });
            object["requestBody"] = json!({"required": false, "content": content});
        }
        TakenBody::Json(schema) => {
            let content = json!({"application/json": {"schema": reference(schema)}});
            object["requestBody"] = json!({"required": true, "content": content});
        }
    }
    if metadata.is_open {
        object["security"] = json!([]);
    }
    object
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn query_parameter(query: &QueryParameter) -> Value {
    let schema = match query.values {
        ParameterValues::Flag(default) => {
            json!({"type": "string", "enum": ["yes", "no", "true", "false", "1", "0"], "default": if default { "yes" } else { "no" }})
        }
        ParameterValues::Text => json!({"type": "string"}),
        ParameterValues::Number => json!({"type": "integer", "minimum": 0}),
    };
    json!({"name": query.name, "in": "query", "required": query.required, "description": query.about, "schema": schema})
}

fn content(success: SuccessBody) -> Value {
    let text = || json!({"schema": {"type": "string"}});
    let of = |schema: &str| json!({"schema": reference(schema)});
    match success {
        SuccessBody::Text => json!({"text/plain": text()}),
        SuccessBody::Named(name) => {
            let object = json!({
                "type": "object",
                "required": [name],
                "properties": {name: {"type": "string"}},
                "additionalProperties": false,
            });
            json!({"text/plain": text(), "application/json": {"schema": object}})
        }
        SuccessBody::UriOr(schema) => {
            let either = json!({"anyOf": [reference("Uri"), reference(schema)]});
            json!({"text/uri-list": text(), "application/json": {"schema": either}})
        }
        SuccessBody::Uri => json!({"text/uri-list": text(), "application/json": of("Uri")}),
        SuccessBody::Uris => json!({"text/uri-list": text(), "application/json": of("UriList")}),
        SuccessBody::Json(schema) => json!({"application/json": of(schema)}),
        SuccessBody::TextOr(schema) => json!({"text/plain": text(), "application/json": of(schema)}),
        SuccessBody::JsonOrCsv(schema) => json!({"application/json": of(schema), "text/csv": text()}),
        SuccessBody::Events => json!({"text/event-stream": text()}),
        SuccessBody::Description => json!({"application/json": {"schema": {"type": "object"}}, "text/html": text()}),
    }
}

/// An object with these properties, all of them, and no others: decoders may be strict.
fn closed(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn schemas() -> Value {
    let string = || json!({"type": "string"});
    let nullable = || json!({"type": "string", "nullable": true});
    let integer = || json!({"type": "integer"});
    let boolean = || json!({"type": "boolean"});
    let list = |items: Value| json!({"type": "array", "items": items});
    let attempt = closed(json!({"number": integer(), "of": integer()}));
    let failure = closed(json!({
        "code": string(),
        "phase": string(),
        "step": {"type": "integer", "nullable": true},
        "recipe": nullable(),
        "task": nullable(),
        "message": string(),
        "module_message": nullable(),
        "rc": {"type": "integer", "nullable": true},
        "stderr": list(string()),
        "attempt": {"allOf": [attempt], "nullable": true},
        "hint": string(),
    }));
    let state = json!({"type": "string", "enum": [
        "pending", "running", "configured", "unconfigured", "stopped", "off", "failed", "unknown", "deleting",
    ]});
    let states = json!({"type": "object", "additionalProperties": reference("State")});
    json!({
        "Description": {"type": "object"},
        "Error": closed(json!({"message": string(), "code": integer()})),
        "State": state,
        "InfrastructureState": closed(json!({"state": closed(json!({"state": reference("State"), "vm_states": states}))})),
        "Uri": closed(json!({"uri": string()})),
        "UriList": closed(json!({"uri-list": list(reference("Uri"))})),
        "Document": list(json!({"type": "object"})),
        "RADL": closed(json!({"radl": list(json!({"type": "object"}))})),
        "Owners": closed(json!({"authorization": list(string())})),
        "MachineError": closed(json!({"error": {"allOf": [failure], "nullable": true}})),
        "Property": {"type": "object", "minProperties": 1, "maxProperties": 1},
        "Data": closed(json!({"data": string()})),
        "Outputs": closed(json!({"outputs": {"type": "object"}})),
        "Export": {"type": "object", "required": ["id", "vm_list", "radl"]},
        "Credentials": {"type": "object", "additionalProperties": {"type": "string"}},
        "Estimate": {"type": "object", "additionalProperties": closed(json!({
            "cloudType": string(),
            "cloudEndpoint": string(),
            "compute": list(json!({"type": "object"})),
            "storage": list(json!({"type": "object"})),
        }))},
        "Images": closed(json!({"images": list(closed(json!({"uri": string(), "name": string()})))})),
        "Quotas": closed(json!({"quotas": {"type": "object", "additionalProperties": closed(json!({
            "used": {"type": "number"},
            "limit": {"type": "number"},
        }))}})),
        "Statistics": closed(json!({"stats": list(closed(json!({
            "creation_date": string(),
            "tosca_name": string(),
            "vm_count": integer(),
            "cpu_count": integer(),
            "memory_size": integer(),
            "cloud_type": nullable(),
            "cloud_host": nullable(),
            "hybrid": boolean(),
            "deleted": boolean(),
            "im_user": string(),
            "inf_id": string(),
            "last_date": string(),
        })))})),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&routes(), "1", "http://x/");
        let mut rest = vec![&document];
        let mut followed = 0;
        while let Some(value) = rest.pop() {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                followed += 1;
            }
            rest.extend(value.as_object().into_iter().flat_map(Map::values));
            rest.extend(value.as_array().into_iter().flatten());
        }
        assert!(followed > 50);
    }
}
