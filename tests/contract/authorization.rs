//! Who is calling: forms of the header, files of users, administrators, the modes of tokens (docs/spec/api.md 1), in both APIs.

use crate::{
    support::{Answer, Server, TEXT, document},
    xmlrpc::{array, item, string},
};
use imd::api::rest::RestSettings;
use reqwest::{Method, header};
use std::{fs, time::Duration};

const PASS: &str = "type = InfrastructureManager; username = user; password = pass";

async fn by(server: &Server, method: Method, path: &str, authorization: &str) -> Answer {
    let request = server.client.request(method, server.url(path)).header(header::AUTHORIZATION, authorization);
    Answer::of(request).await
}

/// What the list of a caller is answered with, over REST and over XML-RPC.
async fn login(server: &Server, username: &str, password: &str) -> (u16, Result<(), String>) {
    let header = format!("type = InfrastructureManager; username = {username}; password = {password}");
    let rest = by(server, Method::GET, "/infrastructures", &header).await.status.as_u16();
    let auth = array([item(&[("type", "InfrastructureManager"), ("username", username), ("password", password)])]);
    (rest, server.try_call("GetInfrastructureList", &[auth]).await.map(|_| ()))
}

#[tokio::test]
async fn every_form_of_the_header_is_the_same_user() {
    let server = Server::start().await;
    let path = server.create(1).await;
    for header in [
        "type = InfrastructureManager; username = user; password = pass\\nid = d; type = Dummy",
        "type=InfrastructureManager;username=user;password=pass",
        "type = InfrastructureManager; username = user; password = pass;\\n",
        "\\n# a comment\\ntype = InfrastructureManager; username = user; password = pass",
        "type = InfrastructureManager; username = 'user'; password = \"pass\"",
        "password = pass; unknown = 1; username = user; type = InfrastructureManager",
        "type = InfrastructureManager; username = x; username = user; password = pass",
        r#"[{"type": "InfrastructureManager", "username": "user", "password": "pass"}]"#,
        r#"{"type": "InfrastructureManager", "username": "user", "password": "pass"}"#,
        "Basic dXNlcjpwYXNz",
        "type = InfrastructureManager; username = other; password = x\\n\
         type = InfrastructureManager; username = user; password = pass",
    ] {
        let answer = by(&server, Method::GET, &format!("{path}/authorization"), header).await;
        assert_eq!(answer.parts(), (200, TEXT, "user"), "{header}");
    }
    // Values with everything that has a meaning elsewhere, one form for the other; new lines in both ways to say them.
    for (line, json) in [
        (r#"type = InfrastructureManager; username = n; password = "a;'b=c""#, r#"a;'b=c"#),
        ("type = InfrastructureManager; username = n; password = pa=ss==", "pa=ss=="),
        (r"type = InfrastructureManager; username = n; password = a\\nb", r"a\nb"),
    ] {
        let create = server.client.post(server.url("/infrastructures")).header(header::AUTHORIZATION, line).body("");
        let made = Answer::of(create).await;
        assert_eq!(made.status, 200, "{line}: {}", made.text);
        let path = made.text.replace(&server.url(""), "");
        let same = format!(r#"[{{"type": "InfrastructureManager", "username": "n", "password": "{json}"}}]"#);
        assert_eq!(by(&server, Method::GET, &path, &same).await.status, 200, "{json}");
        let cut = "type = InfrastructureManager; username = n; password = pa";
        assert_eq!(by(&server, Method::GET, &path, cut).await.status, 403);
        let none = "type = InfrastructureManager; username = n";
        assert_eq!(by(&server, Method::GET, &path, none).await.status, 403);
    }
    // All users of a header own what it makes; the order of the clouds is that of preference, and they have names.
    let two = format!("{PASS}\\ntype = InfrastructureManager; username = second; password = p\\ntype = Dummy");
    let create = server.client.post(server.url("/infrastructures")).header(header::AUTHORIZATION, two);
    let made = Answer::of(create.body(document(1).replace("node 1", "node 1 Dummy2"))).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let owners = server.get(&format!("{}/authorization", made.text.replace(&server.url(""), ""))).await;
    assert_eq!(owners.text, "user\nsecond");
}

/// What is sent in Latin-1, as the HTTP client of Python does, and in UTF-8 is one user; another letter is another one.
#[tokio::test]
async fn a_name_is_the_same_in_every_character_set_and_never_another_one() {
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
    let line = |name: &str, password: &str| {
        format!("type = InfrastructureManager; username = {name}; password = {password}\\nid = clé; type = Dummy")
    };
    let json = |name: &str, password: &str| {
        format!(r#"[{{"type": "InfrastructureManager", "username": "{name}", "password": "{password}"}}]"#)
    };
    let basic = |pair: &[u8]| format!("Basic {}", openssl::base64::encode_block(pair)).into_bytes();
    let by = async |server: &Server, method: Method, path: &str, header: &[u8]| {
        let header = header::HeaderValue::from_bytes(header).unwrap();
        Answer::of(server.client.request(method, server.url(path)).header(header::AUTHORIZATION, header).body("")).await
    };
    let server = Server::start().await;
    let made = by(&server, Method::POST, "/infrastructures", &latin1(&line("josé", "señal"))).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let path = made.text.replace(&server.url(""), "");
    for header in [
        line("josé", "señal").into_bytes(),
        json("josé", "señal").into_bytes(),
        latin1(&json("josé", "señal")),
        basic("josé:señal".as_bytes()),
        basic(&latin1("josé:señal")),
    ] {
        assert_eq!(by(&server, Method::GET, "/infrastructures", &header).await.text, made.text, "{header:?}");
    }
    let rpc = |password: &str| {
        array([item(&[("type", "InfrastructureManager"), ("username", "josé"), ("password", password)])])
    };
    assert_eq!(server.call("GetInfrastructureList", &[rpc("señal")]).await, array([string(&path[17..])]));
    let call = crate::xmlrpc::xml("GetInfrastructureList", &[rpc("señal")]);
    let call = call.replace("version='1.0'", "version='1.0' encoding='ISO-8859-1'");
    assert!(server.post_xml(latin1(&call)).await.text.contains(&path[17..]));
    for (name, password) in [("josé", "seéal"), ("josè", "señal"), ("jos\u{fffd}", "señal"), ("josé", "se\u{fffd}al")]
    {
        let headers = [line(name, password).into_bytes(), basic(format!("{name}:{password}").as_bytes())];
        let latin = [line(name, password), json(name, password)].map(|text| {
            if name.contains('\u{fffd}') || password.contains('\u{fffd}') { text.into_bytes() } else { latin1(&text) }
        });
        for header in headers.iter().chain(&latin) {
            assert_eq!(by(&server, Method::GET, "/infrastructures", header).await.text, "", "{header:?}");
            assert_eq!(by(&server, Method::DELETE, &path, header).await.status, 403, "{header:?}");
        }
    }
    assert_eq!(server.call("GetInfrastructureList", &[rpc("se\u{fffd}al")]).await, array([]));

    // The same in addresses.
    for path in ["/clouds/cl%C3%A9/quotas", "/clouds/cl%e9/quotas"] {
        assert_eq!(by(&server, Method::GET, path, line("josé", "señal").as_bytes()).await.status, 200, "{path}");
    }
    assert_eq!(by(&server, Method::GET, "/clouds/cl%E8/quotas", line("josé", "señal").as_bytes()).await.status, 400);
    let uri = server.url(&server.create(1).await);
    for (filter, found) in [("Lab%20%C3%A9", uri.as_str()), ("Lab+%E9", &uri), ("Lab+%E8", ""), ("Lab+%EF%BF%BD", "")] {
        assert_eq!(server.get(&format!("/infrastructures?filter={filter}")).await.text, found, "{filter}");
    }

    // The same with a file of users, whatever it is written in.
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"users": [{"username": "josé", "password": "señal"}]}"#;
    for (number, content) in [text.as_bytes().to_vec(), latin1(text)].into_iter().enumerate() {
        let file = directory.path().join(format!("users{number}"));
        fs::write(&file, content).unwrap();
        let server = Server::configured(RestSettings::default(), &format!("USER_DB = {}", file.display())).await;
        for (password, status) in [("señal", 200), ("seéal", 401)] {
            for header in [latin1(&line("josé", password)), line("josé", password).into_bytes()] {
                assert_eq!(by(&server, Method::GET, "/infrastructures", &header).await.status, status, "{header:?}");
            }
        }
    }
}

/// A list that was asked for before is the one of now: after a create, another owner, a deletion, and in every form.
#[tokio::test]
async fn lists_are_those_of_now() {
    let server = Server::start().await;
    let second = "type = InfrastructureManager; username = second; password = p";
    let lists = async || {
        let mine = server.get("/infrastructures").await.text;
        let others = by(&server, Method::GET, "/infrastructures", second).await.text;
        let json = server.get_json("/infrastructures").await.json()["uri-list"].as_array().unwrap().len();
        assert_eq!(json, mine.lines().count());
        (mine.lines().count(), others.lines().count())
    };
    assert_eq!(lists().await, (0, 0));
    let (first, other) = (server.create(1).await, server.create(1).await);
    assert_eq!(lists().await, (2, 0));
    let owner = r#"{"username": "second", "password": "p"}"#;
    for (query, expected) in [("", (2, 1)), ("?overwrite=yes", (1, 1))] {
        assert_eq!(server.post(&format!("{first}/authorization{query}"), owner.to_owned()).await.status, 200);
        assert_eq!(lists().await, expected);
    }
    let elsewhere = server.request(Method::GET, "/infrastructures").header("host", "another.example");
    assert_eq!(Answer::of(elsewhere).await.text, format!("http://another.example{other}"));
    assert_eq!(server.delete(&other).await.status, 200);
    assert_eq!(lists().await, (0, 1));
}

#[tokio::test]
async fn only_users_of_the_file_are_let_in_as_it_is_now() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.json");
    let option = format!("USER_DB = {}", file.display());
    let server = Server::configured(RestSettings::default(), &option).await;
    let refused = || (401, Err("Invalid InfrastructureManager credentials".to_owned()));
    assert_eq!(login(&server, "user", "pass").await, refused());
    fs::write(&file, r#"{"users": [{"username": "user", "password": "pass"}]}"#).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while login(&server, "user", "pass").await != (200, Ok(())) {
        assert!(std::time::Instant::now() < deadline);
    }
    for (username, password) in [("user", ""), ("user", "pas"), ("User", "pass"), ("%", "%")] {
        assert_ne!(login(&server, username, password).await.0, 200, "{username}");
    }
    fs::write(&file, r#"{"users": [{"username": "somebody", "password": "pass"}, {"username": "x"}]}"#).unwrap();
    while login(&server, "user", "pass").await != refused() {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(login(&server, "somebody", "pass").await, (200, Ok(())));
}

#[tokio::test]
async fn administrators_reach_everything_and_nobody_calls_oneself_one() {
    let server = Server::start().await;
    let path = server.create(1).await;
    let option = r#"ADMIN_USER = [{"username": "root", "password": "r"}, {"username": "second", "password": "s"}]"#;
    let server = server.restarted(option).await;
    for (name, password) in [("root", "r"), ("second", "s")] {
        let header = format!("type = InfrastructureManager; username = {name}; password = {password}");
        assert_eq!(by(&server, Method::GET, "/infrastructures", &header).await.text, server.url(&path));
        assert_eq!(by(&server, Method::GET, &format!("{path}/state"), &header).await.status, 200);
        let stats = by(&server, Method::GET, "/stats", &header).await.json();
        assert_eq!(stats["stats"][0]["im_user"], "user");
        let auth = array([item(&[("type", "InfrastructureManager"), ("username", name), ("password", password)])]);
        assert_eq!(server.call("GetInfrastructureOwners", &[string(&path[17..]), auth]).await, array([string("user")]));
    }
    for header in [
        "type = InfrastructureManager; username = root; password = x",
        "type = InfrastructureManager; username = root; password = x; admin = true",
        r#"[{"type": "InfrastructureManager", "username": "x", "password": "r", "admin": "true"}]"#,
    ] {
        assert_eq!(by(&server, Method::GET, "/infrastructures", header).await.text, "");
        assert_eq!(by(&server, Method::GET, &path, header).await.status, 403);
    }
    let server = server.restarted("FORCE_OIDC_AUTH = True").await;
    let message = "No token provided for the InfrastructureManager.".to_owned();
    assert_eq!(login(&server, "user", "pass").await, (401, Err(message)));
}
