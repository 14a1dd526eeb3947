//! Another HTTP contract beside REST on the same port: its routes, errors and authentication are its own.

use crate::support::{Answer, Apis, Server, TEXT};
use imd::api::http::{MountError, Refusal, Response, Route, Site, SiteRequest, Sites};
use std::sync::Arc;
use warp::{
    Reply,
    http::{HeaderMap, HeaderValue, Method, StatusCode},
};

/// A contract that greets who knows the password, and speaks XML.
struct Greeter {
    password: &'static str,
}

/// What it says instead of a greeting.
struct Regret(StatusCode, String, Option<HeaderValue>);

impl From<Refusal> for Regret {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self(StatusCode::NOT_FOUND, "nobody is here".to_owned(), None),
            Refusal::MethodNotAllowed(allow) => Self(StatusCode::METHOD_NOT_ALLOWED, "not so".to_owned(), Some(allow)),
            Refusal::TooManyChanges => Self(StatusCode::SERVICE_UNAVAILABLE, "later".to_owned(), None),
            Refusal::Defect => Self(StatusCode::INTERNAL_SERVER_ERROR, "unwell".to_owned(), None),
        }
    }
}

impl Site for Greeter {
    type Failure = Regret;
    /// How a route calls who asks.
    type Metadata = &'static str;

    fn routes(&self) -> Vec<Route<Self>> {
        vec![
            Route::new(Method::GET, "/", index, "reader"),
            Route::new(Method::GET, "/people/{name}", greet, "friend"),
            Route::new(Method::PUT, "/people/{name}", greet, "friend"),
            Route::new(Method::GET, "/letters/{*path}", letter, "pen friend"),
            Route::new(Method::POST, "/faints", faint, "witness"),
        ]
    }

    fn options(&self, allow: Option<&HeaderValue>) -> Response {
        allow.and_then(|allow| allow.to_str().ok()).unwrap_or("nothing").to_owned().into_response()
    }

    async fn failed(
        &self,
        Regret(status, why, allow): Regret,
        metadata: Option<&&'static str>,
        _: &HeaderMap,
    ) -> Response {
        let text = format!("<regret to=\"{}\">{why}</regret>", metadata.unwrap_or(&"stranger"));
        let mut response = warp::reply::with_header(text, "content-type", "text/xml").into_response();
        *response.status_mut() = status;
        if let Some(allow) = allow {
            response.headers_mut().insert("allow", allow);
        }
        response
    }

    fn finish(&self, mut response: Response, method: &Method, _: &HeaderMap) -> Response {
        response.headers_mut().insert("x-greeter", HeaderValue::from_str(method.as_str()).unwrap());
        response
    }
}

impl Greeter {
    fn admit(&self, headers: &HeaderMap) -> Result<(), Regret> {
        match headers.get("x-password") {
            Some(password) if *password == self.password => Ok(()),
            _ => Err(Regret(StatusCode::FORBIDDEN, "say the word".to_owned(), None)),
        }
    }
}

async fn index(request: SiteRequest<Greeter>) -> Result<Response, Regret> {
    Ok(format!("{}people/", request.base_url()).into_response())
}

async fn greet(request: SiteRequest<Greeter>) -> Result<Response, Regret> {
    request.site.admit(&request.headers)?;
    Ok(format!("Hello {}", request.parameters.get("name")).into_response())
}

async fn letter(request: SiteRequest<Greeter>) -> Result<Response, Regret> {
    request.site.admit(&request.headers)?;
    Ok(format!("{} {}", request.parameters.get("path"), request.query).into_response())
}

async fn faint(_: SiteRequest<Greeter>) -> Result<Response, Regret> {
    panic!("a defect")
}

fn with_greeter(sites: &mut Sites) -> Result<(), MountError> {
    sites.mount("/greetings/v1", Arc::new(Greeter { password: "please" }))
}

#[tokio::test]
async fn a_second_contract_has_its_own_routes_errors_and_authentication() {
    let server = Server::serving(Apis { beside: Some(with_greeter), ..Apis::default() }).await;
    let ask = async |method: Method, path: &str| {
        Answer::of(server.client.request(method, server.url(path)).header("x-password", "please")).await
    };
    let get = async |path: &str| ask(Method::GET, path).await;

    // Credentials of one contract mean nothing to the other.
    let unknown = server.get("/greetings/v1/people/Ada").await;
    assert_eq!(unknown.parts(), (403, "text/xml", "<regret to=\"friend\">say the word</regret>"));
    let known = get("/greetings/v1/people/Ada%20L").await;
    assert_eq!((known.parts(), known.header("x-greeter")), ((200, TEXT, "Hello Ada L"), "GET"));
    assert_eq!(get("/infrastructures").await.parts(), (401, TEXT, "No authentication data provided"));
    assert_eq!(ask(Method::PUT, "/greetings//v1/people/Bob").await.text, "Hello Bob");
    assert_eq!(get("/greetings/v1/letters/a/b/c/d/e/f/g/h?i=j").await.text, "a/b/c/d/e/f/g/h i=j");
    for index in ["/greetings/v1", "/greetings/v1/"] {
        assert_eq!(get(index).await.text, server.url("/greetings/v1/people/"));
    }
    let behind = server.client.get(server.url("/greetings/v1")).header("x-forwarded-prefix", "/im");
    assert_eq!(Answer::of(behind).await.text, server.url("/im/greetings/v1/people/"));

    // What the server has to refuse is said in the words of the site.
    let nobody = get("/greetings/v1/people").await;
    assert_eq!(nobody.parts(), (404, "text/xml", "<regret to=\"stranger\">nobody is here</regret>"));
    let wrong = ask(Method::DELETE, "/greetings/v1/people/Ada").await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "GET, HEAD, OPTIONS, PUT"));
    assert_eq!(ask(Method::OPTIONS, "/greetings/v1/people/Ada").await.text, "GET, HEAD, OPTIONS, PUT");
    let unwell = ask(Method::POST, "/greetings/v1/faints").await;
    assert_eq!(unwell.parts(), (500, "text/xml", "<regret to=\"witness\">unwell</regret>"));
    for path in ["/greetings", "/greetings/v1x", "/greetings/v2"] {
        assert_eq!(get(path).await.parts(), (404, TEXT, "The requested URL was not found on the server."), "{path}");
    }

    let page = server.get("/metrics").await.text;
    let counted = "imd_http_requests_total{method=\"GET\",route=\"/greetings/v1/people/{name}\",status=\"200\"} 1";
    assert!(page.contains(counted), "{page}");
}

#[tokio::test]
async fn editors_get_the_schema_of_documents_once() {
    let server = Server::start().await;
    let schema = Answer::of(server.client.get(server.url("/tosca/schema.json"))).await;
    assert_eq!(schema.status.as_u16(), 200);
    assert_eq!(schema.header("cache-control"), "public, max-age=3600");
    assert!(schema.json()["properties"]["topology_template"].is_object());
    let again = server.client.get(server.url("/tosca/schema.json")).header("if-none-match", schema.header("etag"));
    assert_eq!(Answer::of(again).await.status.as_u16(), 304);
}

/// The description says of each route whether it needs credentials, and the route does as it says.
#[tokio::test]
async fn every_route_of_rest_asks_for_credentials_or_says_that_it_needs_none() {
    let server = Server::start().await;
    let description = server.get("/openapi.json").await.json();
    let mut open = Vec::new();
    for (template, item) in description["paths"].as_object().unwrap() {
        let path = template.replace("{vm}", "0").replace(['{', '}'], "");
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = Answer::of(server.client.request(method.clone(), server.url(&path))).await;
            let refused = answer.parts() == (401, TEXT, "No authentication data provided");
            let needs_none = operation["security"] == serde_json::json!([]);
            assert_eq!(refused, !needs_none, "{method} {path}: {}", answer.text);
            if needs_none {
                open.push(path.clone());
            }
        }
    }
    assert_eq!(open, ["/", "/openapi.json", "/version", "/healthz", "/readyz", "/metrics", "/tosca/schema.json"]);
}
