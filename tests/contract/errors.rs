//! Refusals: credentials, media types, parameters, documents, and what this version does not offer
//! (docs/spec/api.md 1.11, 2.2 to 2.5).

use crate::support::{Answer, STRANGER, Server, TEXT, USER, document};
use reqwest::{Method, header};

#[tokio::test]
async fn bad_credentials_are_401_everywhere_and_before_anything_else() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let cases = [
        (Method::GET, "/infrastructures".to_owned(), "Error Getting Inf. List: "),
        (Method::POST, "/infrastructures?async=maybe".to_owned(), "Error Creating Inf. info: "),
        (Method::PUT, "/infrastructures".to_owned(), "Error Impporting Inf.: "),
        (Method::GET, path.clone(), "Error Getting Inf. info: "),
        (Method::GET, format!("{path}/state"), "Error Getting Inf. prop: "),
        (Method::POST, path.clone(), "Error Adding resources: "),
        (Method::DELETE, path.clone(), "Error Destroying Inf: "),
        (Method::PUT, format!("{path}/stop"), "Error in stop operation: "),
        (Method::PUT, format!("{path}/reconfigure"), "Error reconfiguring infrastructure: "),
        (Method::POST, format!("{path}/authorization"), "Error modifying infrastructure owner: "),
        (Method::GET, format!("{path}/vms/0"), "Error Getting VM. info: "),
        (Method::PUT, format!("{path}/vms/0"), "Error modifying resources: "),
        (Method::GET, format!("{path}/vms/0/cpu.count"), "Error Getting VM. property: "),
        (Method::PUT, format!("{path}/vms/0/disks/0/snapshot"), "Error creating snapshot: "),
        (Method::GET, "/clouds/dummy/images".to_owned(), "Error getting cloud info: "),
        (Method::GET, "/stats".to_owned(), "Error getting stats: "),
    ];
    for (method, path, prefix) in cases {
        let request = || server.client.request(method.clone(), server.url(&path)).body("{ not a document");
        let missing = Answer::of(request()).await;
        assert_eq!(missing.parts(), (401, TEXT, "No authentication data provided"), "{method} {path}");
        let invalid = Answer::of(request().header(header::AUTHORIZATION, "type = Dummy")).await;
        let message = format!("{prefix}No credentials provided for the InfrastructureManager.");
        assert_eq!(invalid.parts(), (401, TEXT, message.as_str()), "{method} {path}");
        assert!(!invalid.header("www-authenticate").is_empty());
    }
    assert_eq!(server.get("/infrastructures").await.text.lines().count(), 1);
}

#[tokio::test]
async fn media_types_are_refused_before_acting() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let send = |method: Method, path: &str, name: header::HeaderName, value: &'static str| {
        Answer::of(server.request(method, path).header(name, value).body(document(1)))
    };
    let list = format!("{path}/state");
    let vm = format!("{path}/vms/0");
    let cases = [
        (Method::GET, "/infrastructures", header::ACCEPT, "text/plain", "Unsupported Accept Media Types: text/plain"),
        (Method::POST, "/infrastructures", header::ACCEPT, "text/plain", "Unsupported Accept Media Types: text/plain"),
        (Method::POST, &path, header::ACCEPT, "a/b;q=1, c/d", "Unsupported Accept Media Types: a/b,c/d"),
        (Method::GET, &list, header::ACCEPT, "text/plain", "Unsupported Accept Media Types: ['text/plain']"),
        (Method::GET, &vm, header::ACCEPT, "text/uri-list", "Unsupported Accept Media Types: text/uri-list"),
        (
            Method::POST,
            "/infrastructures",
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded",
            "Unsupported Media Type ['application/x-www-form-urlencoded']",
        ),
        (Method::POST, &path, header::CONTENT_TYPE, "image/png", "Unsupported Media Type ['image/png']"),
        (Method::PUT, &vm, header::CONTENT_TYPE, "image/png", "Unsupported Media Type ['image/png']"),
    ];
    for (method, path, name, value, message) in cases {
        let answer = send(method.clone(), path, name, value).await;
        assert_eq!(answer.parts(), (415, TEXT, message), "{method} {path} {value}");
    }
    let reconfigure = format!("{path}/reconfigure");
    let refused = send(Method::PUT, &reconfigure, header::CONTENT_TYPE, "image/png").await;
    assert_eq!(refused.parts(), (415, TEXT, "Unsupported Media Type ['image/png']"));
    let ignored = Answer::of(server.request(Method::PUT, &reconfigure).header(header::CONTENT_TYPE, "image/png"));
    assert_eq!(ignored.await.status, 200);
    // Nothing was created or added on the way.
    assert_eq!(server.get("/infrastructures").await.text.lines().count(), 1);
    assert_eq!(server.get(&path).await.text.lines().count(), 1);
    // Operations answer text whatever is accepted.
    let stopped = send(Method::PUT, &format!("{path}/stop"), header::ACCEPT, "image/png").await;
    assert_eq!(stopped.parts(), (200, TEXT, ""));
}

/// What is not there or not the caller's says so, whatever form of answer would be taken.
#[tokio::test]
async fn errors_are_told_whatever_is_accepted() {
    let server = Server::start().await;
    let mine = server.create(1).await;
    let unknown = "/infrastructures/00000000-0000-0000-0000-000000000000".to_owned();
    let resources = [
        (Method::GET, ""),
        (Method::POST, ""),
        (Method::GET, "/state"),
        (Method::GET, "/contmsg"),
        (Method::GET, "/radl"),
        (Method::GET, "/tosca"),
        (Method::GET, "/outputs"),
        (Method::GET, "/data"),
        (Method::GET, "/authorization"),
        (Method::POST, "/authorization"),
        (Method::GET, "/events"),
        (Method::PUT, "/reconfigure"),
        (Method::GET, "/vms/0"),
        (Method::PUT, "/vms/0"),
        (Method::GET, "/vms/0/contmsg"),
        (Method::GET, "/vms/0/error"),
        (Method::GET, "/vms/0/command"),
        (Method::GET, "/vms/0/state"),
    ];
    for (method, end) in resources {
        for (path, who, status) in [(&unknown, USER, 404), (&mine, STRANGER, 403)] {
            for accept in ["text/plain", "image/png"] {
                let request = server.client.request(method.clone(), server.url(&format!("{path}{end}")));
                let request = request.header(header::AUTHORIZATION, who).header(header::ACCEPT, accept);
                let answer = Answer::of(request.header(header::CONTENT_TYPE, "image/png").body("x")).await;
                let told = (answer.status.as_u16(), answer.header("content-type"));
                assert_eq!(told, (status, TEXT), "{method} {path}{end} {accept}: {}", answer.text);
            }
        }
    }
    let ask = |path: &str| Answer::of(server.request(Method::GET, path).header(header::ACCEPT, "text/plain"));
    for (path, status) in [
        ("/clouds/unknown/images".to_owned(), 400),
        ("/clouds/unknown/quotas".to_owned(), 400),
        (format!("{mine}/vms/7"), 404),
        (format!("{mine}/vms/0/nothing"), 404),
        ("/clouds/dummy/images".to_owned(), 415),
        (format!("{mine}/state"), 415),
    ] {
        assert_eq!(ask(&path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn error_bodies_have_three_forms() {
    let server = Server::start().await;
    let path = "/infrastructures/%3Cb%3E/vms/0/%3Ci%3E";
    let form = |accept: &'static str| Answer::of(server.request(Method::GET, path).header(header::ACCEPT, accept));
    let message = "Error Getting VM. property: Invalid infrastructure ID or access not granted.";
    assert_eq!(form("text/plain").await.parts(), (404, TEXT, message));
    let answer = form("text/html, application/json;q=0.1").await;
    let expected = format!(r#"{{"message": "{message}", "code": 404}}"#);
    assert_eq!(answer.parts(), (404, "application/json", expected.as_str()));
    let answer = form("text/html, */*").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "text/html; charset=utf-8"));
    for part in ["<title>Error 404.</title>", "<h1>Code: 404.</h1>", &format!("<h1>Message: {message}</h1>")] {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    // What the user wrote is escaped.
    let created = server.create(1).await;
    let request = server.request(Method::GET, &format!("{created}/vms/0/%3Ci%3E"));
    let answer = Answer::of(request.header(header::ACCEPT, "text/html, */*")).await;
    assert!(answer.text.contains("Incorrect property &lt;i&gt; for VM ID 0"), "{}", answer.text);
}

#[tokio::test]
async fn parameters_and_documents_are_checked() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let cases = [
        (Method::POST, "/infrastructures?async=maybe".to_owned(), "Incorrect value in async parameter"),
        (Method::POST, "/infrastructures?dry_run=".to_owned(), "Incorrect value in dry_run parameter"),
        (Method::POST, format!("{path}?context=2"), "Incorrect value in context parameter"),
        (Method::DELETE, format!("{path}?force=x"), "Incorrect value in force parameter"),
        (Method::DELETE, format!("{path}?async=x"), "Incorrect value in async parameter"),
        (Method::DELETE, format!("{path}/vms/0?context=x"), "Incorrect value in context parameter"),
        (Method::GET, format!("{path}/contmsg?headeronly=x"), "Incorrect value in headeronly parameter"),
        (Method::PUT, format!("{path}/reconfigure?vm_list=a"), "Incorrect vm_list format."),
        (Method::PUT, format!("{path}/reconfigure?vm_list="), "Incorrect vm_list format."),
        (Method::GET, format!("{path}/events?after=x"), "Incorrect value in after parameter"),
    ];
    for (method, path, message) in cases {
        let answer = Answer::of(server.request(method.clone(), &path).body(document(1))).await;
        assert_eq!(answer.parts(), (400, TEXT, message), "{method} {path}");
    }

    let typed = |method: Method, path: &str, kind: &'static str, body: &'static [u8]| {
        Answer::of(server.request(method, path).header(header::CONTENT_TYPE, kind).body(body))
    };
    let documents: [(Method, &str, &'static str, &'static [u8], &str); 6] = [
        (Method::POST, "/infrastructures", "text/plain", b"bad radl", "Error Creating Inf.: Line 1: Parse error"),
        (Method::POST, "/infrastructures", "text/plain", b"\xff\xfe", "Error Creating Inf.: The request body is not"),
        (Method::POST, "/infrastructures", "application/json", b"{", "Error Creating Inf.: "),
        (
            Method::POST,
            "/infrastructures",
            "text/yaml",
            b"tosca_definitions_version: x",
            "Error Creating Inf.: Error parsing",
        ),
        (Method::POST, &path, "text/plain", b"bad radl", "Error Adding resources: Line 1: Parse error"),
        (
            Method::PUT,
            &format!("{path}/reconfigure"),
            "text/plain",
            b"bad radl",
            "Error reconfiguring infrastructure: ",
        ),
    ];
    for (method, path, kind, body, start) in documents {
        let answer = typed(method.clone(), path, kind, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, TEXT), "{method} {path} {kind}");
        assert!(answer.text.starts_with(start), "{}", answer.text);
    }
    // A refused document leaves the infrastructure as it was.
    server.wait_for(&path, "configured").await;
    assert_eq!(server.get("/infrastructures").await.text.lines().count(), 1);
}

#[tokio::test]
async fn what_this_version_does_not_offer_says_so() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let fixed = [
        (format!("{path}/tosca"), 403, "'tosca' infrastructure property is not valid in this infrastructure"),
        (format!("{path}/outputs"), 403, "'outputs' infrastructure property is not valid in this infrastructure"),
        ("/clouds/dummy/other".to_owned(), 404, "Incorrect cloud property"),
        ("/oai".to_owned(), 400, "OAI-PMH not enabled."),
        ("/static/file".to_owned(), 404, "Static files not enabled."),
    ];
    for (path, status, message) in fixed {
        assert_eq!(server.get(&path).await.parts(), (status, TEXT, message), "{path}");
    }
    for (path, message) in
        [(format!("{path}/foo"), "Error in foo operation: "), (format!("{path}/vms/0/foo"), "Error in foo op in VM: ")]
    {
        let answer = server.put(&path).await;
        assert_eq!(answer.status, 404);
        assert!(answer.text.starts_with(message), "{}", answer.text);
    }
    let denied = Answer::of(server.client.get(server.url(&format!("{path}/foo"))).header(header::AUTHORIZATION, ""));
    assert_eq!(denied.await.status, 401);
    let allowed = Answer::of(server.client.get(server.url(&path)).header(header::AUTHORIZATION, USER)).await;
    assert_eq!(allowed.status, 200);
}
