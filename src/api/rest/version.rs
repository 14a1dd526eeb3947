//! The version and the description of the API, which anybody may ask for: balancers use them as probes.

use super::{
    error::Failure,
    negotiation::Media,
    reply::{self, Response},
    request::Request,
    routes::RESOURCES,
};
use serde_json::{Map, Value, json};

/// `GET /version`
pub(super) fn version(request: &Request) -> Result<Response, Failure> {
    let form = request.form(Media::Text)?;
    Ok(reply::named_text(form, "version", request.shared.state.settings.version.clone())?)
}

/// `GET /`: an OpenAPI 3.0 document, made from the table of routes, of what this version offers.
pub(super) fn describe(request: &Request) -> Result<Response, Failure> {
    let mut paths = Map::new();
    for resource in RESOURCES {
        let parameters: Vec<Value> = resource.template.split('/').filter_map(parameter).collect();
        let mut item = Map::new();
        for (verb, operation) in resource.methods {
            let Some(id) = operation.published_name() else { continue };
            let responses = json!({"200": {"description": "Success"}, "default": {"description": "Error"}});
            item.insert(verb.name().to_ascii_lowercase(), json!({"operationId": id, "responses": responses}));
        }
        if !item.is_empty() {
            if !parameters.is_empty() {
                item.insert("parameters".to_owned(), Value::Array(parameters));
            }
            paths.insert(resource.template.to_owned(), Value::Object(item));
        }
    }
    let scheme = json!({"type": "apiKey", "in": "header", "name": "Authorization"});
    Ok(reply::value(&json!({
        "openapi": "3.0.0",
        "info": {"title": "Infrastructure Manager", "version": request.shared.state.settings.version},
        "servers": [{"url": request.base_url()}],
        "paths": paths,
        "components": {"securitySchemes": {"IMAuth": scheme}},
        "security": [{"IMAuth": []}],
    }))?)
}

fn parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
}
