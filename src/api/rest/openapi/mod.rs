//! The description of the API (OpenAPI 3.0, docs/spec/api.md 6.5), made from the table of routes: a document for programs and a
//! page for people.
//!
//! | module | subject |
//! |---|---|
//! | `operations` | what is said of each operation |
//! | `page` | the page |

mod operations;
mod page;

use super::{
    error::Failure,
    negotiation::mentions,
    reply::{self, Response},
    request::{Request, accept},
    routes::{Operation, RESOURCES, Resource},
};
use operations::{About, Answer, Body, Query, QueryKind, about};
use serde_json::{Map, Value, json};

/// `GET /` and `GET /openapi.json`: the document; at `/` a page for who accepts HTML and not JSON.
pub(super) fn describe(request: &Request, for_programs: bool) -> Result<Response, Failure> {
    let accept = accept(&request.headers);
    let is_browser = mentions(accept.as_deref(), "text/html") && !mentions(accept.as_deref(), "application/json");
    let version = &request.shared.state.settings.version;
    if is_browser && !for_programs {
        return Ok(reply::with_type("text/html; charset=utf-8", page::page(version)));
    }
    Ok(reply::value(&document(version, &request.base_url()))?)
}

/// Operations of a resource that are offered, with what is said of them.
fn offered(resource: &Resource) -> impl Iterator<Item = (&'static str, Operation, &'static str, About)> {
    resource.methods.iter().filter_map(|(verb, operation)| {
        Some((verb.name(), *operation, operation.published_name()?, about(*operation)?))
    })
}

fn document(version: &str, base: &str) -> Value {
    let mut paths = Map::new();
    for resource in RESOURCES {
        let mut item = Map::new();
        for (verb, operation, id, about) in offered(resource) {
            item.insert(verb.to_ascii_lowercase(), operation_object(operation, id, &about));
        }
        if item.is_empty() {
            continue;
        }
        let parameters: Vec<Value> = resource.template.split('/').filter_map(path_parameter).collect();
        if !parameters.is_empty() {
            item.insert("parameters".to_owned(), Value::Array(parameters));
        }
        paths.insert(resource.template.to_owned(), Value::Object(item));
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

fn operation_object(operation: Operation, id: &str, about: &About) -> Value {
    let mut object = json!({
        "operationId": id,
        "summary": about.summary,
        "responses": {
            "200": {"description": "Success", "content": content(operation, about.answer)},
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    if !about.query.is_empty() {
        object["parameters"] = about.query.iter().map(query_parameter).collect();
    }
    match about.body {
        Body::None => {}
        Body::Document => {
            let text = json!({"schema": {"type": "string"}});
            let content = json!({"text/plain": text, "application/json": {"schema": reference("Document")}});
            object["requestBody"] = json!({"required": false, "content": content});
        }
        Body::Json(schema) => {
            let content = json!({"application/json": {"schema": reference(schema)}});
            object["requestBody"] = json!({"required": true, "content": content});
        }
    }
    if matches!(
        operation,
        Operation::Describe
            | Operation::DescribeForPrograms
            | Operation::Version
            | Operation::Health
            | Operation::Readiness
            | Operation::Metrics
    ) {
        object["security"] = json!([]);
    }
    object
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn path_parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
}

fn query_parameter(query: &Query) -> Value {
    let schema = match query.kind {
        QueryKind::Flag(default) => {
            json!({"type": "string", "enum": ["yes", "no", "true", "false", "1", "0"], "default": if default { "yes" } else { "no" }})
        }
        QueryKind::Text => json!({"type": "string"}),
        QueryKind::Number => json!({"type": "integer", "minimum": 0}),
    };
    json!({"name": query.name, "in": "query", "required": query.required, "description": query.about, "schema": schema})
}

fn content(operation: Operation, answer: Answer) -> Value {
    let text = || json!({"schema": {"type": "string"}});
    let of = |schema: &str| json!({"schema": reference(schema)});
    match answer {
        Answer::Text => json!({"text/plain": text()}),
        Answer::Named(name) => {
            let object = json!({
                "type": "object",
                "required": [name],
                "properties": {name: {"type": "string"}},
                "additionalProperties": false,
            });
            json!({"text/plain": text(), "application/json": {"schema": object}})
        }
        Answer::Uri if operation == Operation::Create => {
            let either = json!({"anyOf": [reference("Uri"), reference("Estimate")]});
            json!({"text/uri-list": text(), "application/json": {"schema": either}})
        }
        Answer::Uri => json!({"text/uri-list": text(), "application/json": of("Uri")}),
        Answer::Uris => json!({"text/uri-list": text(), "application/json": of("UriList")}),
        Answer::Json(schema) => json!({"application/json": of(schema)}),
        Answer::TextOr(schema) => json!({"text/plain": text(), "application/json": of(schema)}),
        Answer::JsonOrCsv(schema) => json!({"application/json": of(schema), "text/csv": text()}),
        Answer::Events => json!({"text/event-stream": text()}),
        Answer::Description => json!({"application/json": {"schema": {"type": "object"}}, "text/html": text()}),
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

    /// What has a name in the contract is described, and the other way round.
    #[test]
    fn every_operation_is_described() {
        for (_, operation) in RESOURCES.iter().flat_map(|resource| resource.methods) {
            let is_described = about(*operation).is_some();
            assert_eq!(operation.published_name().is_some(), is_described, "{operation:?}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document("1", "http://x/");
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
