//! Version, description, probes and metrics: nobody needs credentials for them.

use crate::support::{Answer, Server, TEXT};
use reqwest::header;

#[tokio::test]
async fn version_and_description() {
    let server = Server::start().await;
    let get = |path: &str| server.client.get(server.url(path));
    assert_eq!(Answer::of(get("/version")).await.parts(), (200, TEXT, "1.19.1"));
    let version = Answer::of(get("/version").header(header::ACCEPT, "application/json")).await;
    assert_eq!(version.parts(), (200, "application/json", r#"{"version": "1.19.1"}"#));
    let description = Answer::of(get("/").header(header::ACCEPT, "text/plain")).await;
    assert_eq!((description.status.as_u16(), description.header("content-type")), (200, "application/json"));
    assert_eq!(Answer::of(get("/openapi.json")).await.text, description.text);
    let description = description.json();
    assert_eq!(description["openapi"], "3.0.0");
    assert_eq!(description["servers"][0]["url"], server.url("/"));
    let state = &description["paths"]["/infrastructures/{id}/state"];
    assert_eq!(
        (&state["get"]["operationId"], &state["parameters"][0]["name"]),
        (&"GetInfrastructureState".into(), &"id".into(),)
    );
    let page = Answer::of(get("/").header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text.contains("/infrastructures/{id}/vms/{vm}/disks/{disk}/snapshot"), "{}", page.text);
}

#[tokio::test]
async fn probes_and_metrics() {
    let server = Server::start().await;
    let get = |path: &str| Answer::of(server.client.get(server.url(path)));
    assert_eq!(get("/healthz").await.parts(), (200, TEXT, "ok"));
    assert_eq!(get("/readyz").await.parts(), (200, TEXT, "ok"));
    let path = server.create(1).await;
    assert_eq!(get(&format!("{path}/nothing")).await.status, 401);
    assert_eq!(get("/made/up/path").await.status, 404);

    let page = get("/metrics").await;
    assert!(page.header("content-type").starts_with("text/plain; version=0.0.4; charset=utf-8"), "{page:?}");
    let value = |start: &str| {
        let line = page.text.lines().find(|line| line.starts_with(start));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let counter = |method: &str, route: &str, status: u16| {
        value(&format!("imd_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"))
    };
    assert_eq!(counter("POST", "/infrastructures", 200), 1.0);
    assert!(counter("GET", "/infrastructures/{id}/state", 200) >= 1.0);
    assert_eq!(counter("GET", "/infrastructures/{id}/{name}", 401), 1.0);
    assert_eq!(counter("GET", "other", 404), 1.0);
    assert_eq!(value("imd_http_request_seconds_count{method=\"GET\",route=\"/healthz\"}"), 1.0);
    assert_eq!(value("imd_infrastructures "), 1.0);
    assert!(value("imd_http_connections ") >= 1.0);
    let id = path.rsplit('/').next().unwrap();
    assert!(!page.text.contains(id), "ids make unbounded labels");
}
