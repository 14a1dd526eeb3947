//! The dynamic DNS service: a fake on loopback that takes nothing but the requests of the contract.

use super::{
    line, record,
    support::{Body, Server, json},
};
use bytes::Bytes;
use connectors::{
    ErrorClass,
    dns::{DnsRecord, RecordProvider, dydns::DyDns},
    http::HttpSettings,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use serde_json::{Value, json as value};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Registered hosts: comment, wildcard, addresses.
type Hosts = Arc<Mutex<BTreeMap<String, Value>>>;

fn text(status: u16, body: &str) -> Response<Body> {
    Response::builder().status(status).body(Full::new(Bytes::from(body.to_owned())).boxed_unsync()).unwrap()
}

/// The service, with the domain `lab.org`, for the bearer of the token `t0ken`, and of hosts with the secret `123`.
async fn service(hosts: Hosts) -> Server {
    Server::answering(move |request: &Request<Bytes>| {
        let mut hosts = hosts.lock().unwrap();
        let url = connectors::http::Url::parse(&format!("http://h{}", request.uri())).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        let bearer = authorization == Some("Bearer t0ken");
        let keys: Vec<&str> = query.keys().map(String::as_str).collect();
        match (url.path(), &keys[..]) {
            ("/nic/update", ["hostname", "myip"]) => {
                let (name, ip) = (&query["hostname"], &query["myip"]);
                // `hostname.domain:123`
                let secret = authorization == Some("Basic aG9zdG5hbWUuZG9tYWluOjEyMw==") && name == "hostname.domain";
                if !bearer && !secret {
                    return text(200, "badauth");
                }
                let Some(host) = hosts.get_mut(name) else { return text(200, "nohost") };
                host[if ip.contains(':') { "ipv6" } else { "ipv4" }] = value!(ip);
                text(200, &format!("good {ip}"))
            }
            _ if !bearer => text(401, "no"),
            ("/nic/domains", []) => json(
                200,
                value!({"status": "ok", "private": [{"name": "closed.org", "available": false}],
                    "public": [{"name": "lab.org", "available": true}]}),
            ),
            ("/nic/hosts", ["domain"]) => {
                let below = format!(".{}", query["domain"]);
                let of_domain = hosts.iter().filter(|(name, _)| name.ends_with(&below));
                let list: Vec<Value> = of_domain.map(|(_, host)| host.clone()).collect();
                json(200, value!({"status": "ok", "hosts": list}))
            }
            ("/nic/register", ["comment", "fqdn"] | ["comment", "fqdn", "wildcard"]) => {
                let name = &query["fqdn"];
                if name == "foreign.lab.org" || hosts.contains_key(name) {
                    return json(200, value!({"status": "error"}));
                }
                let host = value!({"name": name, "comment": query["comment"], "ipv4": null, "ipv6": null,
                    "wildcard": query.contains_key("wildcard")});
                hosts.insert(name.clone(), host);
                json(200, value!({"status": "ok"}))
            }
            ("/nic/unregister", ["fqdn"]) => match hosts.remove(&query["fqdn"]) {
                Some(_) => json(200, value!({"status": "ok"})),
                None => text(404, "no such host"),
            },
            _ => text(400, "not of the contract"),
        }
    })
    .await
}

fn settings() -> HttpSettings {
    HttpSettings { environment_proxy: false, ..HttpSettings::default() }
}

#[tokio::test]
async fn hosts_are_registered_once_and_go_if_they_are_ours() {
    let hosts = Hosts::default();
    let server = service(hosts.clone()).await;
    let account = line("http", server.address.port(), &[("driver", "dydns"), ("token", "t0ken")]);
    let provider = DyDns::new(&settings(), &account).unwrap();
    let ip = |name: &str| hosts.lock().unwrap().get(name).map(|host| host["ipv4"].clone());
    let [first, second] = ["192.0.2.1", "192.0.2.2"].map(|address| record("node", "lab.org.", address));

    provider.ensure(&first).await.unwrap();
    let steps = ["/nic/domains", "/nic/hosts?domain=lab.org"].map(|step| format!("GET {step}"));
    assert_eq!(server.asked()[..2], steps);
    assert_eq!(server.asked()[2], "GET /nic/register?fqdn=node.lab.org&comment=IM+created+DNS+entry");
    assert_eq!(server.asked()[3], "GET /nic/update?hostname=node.lab.org&myip=192.0.2.1");
    let before = server.asked().len();
    provider.ensure(&first).await.unwrap();
    assert_eq!(server.asked()[before..], steps, "what is there is left as it is");
    provider.ensure(&second).await.unwrap();
    assert_eq!(ip("node.lab.org"), Some(value!("192.0.2.2")));
    provider.delete(&first).await.unwrap();
    assert_eq!(ip("node.lab.org"), Some(value!("192.0.2.2")), "it leads elsewhere");

    // Both addresses are of one host, which goes with the first of them.
    let sixth = record("node", "lab.org.", "2001:db8::1");
    provider.ensure(&sixth).await.unwrap();
    provider.delete(&sixth).await.unwrap();
    assert!(ip("node.lab.org").is_some());
    provider.delete(&second).await.unwrap();
    provider.delete(&second).await.unwrap();
    assert_eq!(ip("node.lab.org"), None);

    let all = record("*", "hostname.lab.org.", "192.0.2.3");
    provider.ensure(&all).await.unwrap();
    assert_eq!(hosts.lock().unwrap()["hostname.lab.org"]["wildcard"], value!(true));
    provider.delete(&all).await.unwrap();
    assert_eq!(ip("hostname.lab.org"), None);

    let own = value!({"name": "own.lab.org", "comment": "mine", "ipv4": "192.0.2.9"});
    hosts.lock().unwrap().insert("own.lab.org".to_owned(), own);
    provider.delete(&record("own", "lab.org.", "192.0.2.9")).await.unwrap();
    assert!(ip("own.lab.org").is_some(), "what somebody registered by hand stays");
}

#[tokio::test]
async fn refusals_come_with_the_status_of_a_success() {
    let hosts = Hosts::default();
    let server = service(hosts.clone()).await;
    let provider =
        |fields: &[(&str, &str)]| DyDns::new(&settings(), &line("http", server.address.port(), fields)).unwrap();
    let with_token = provider(&[("token", "t0ken")]);
    let refused = async |provider: &DyDns, record: &DnsRecord| {
        let error = provider.ensure(record).await.unwrap_err();
        (error.class, error.message)
    };
    for domain in ["closed.org.", "unknown.org."] {
        let (class, message) = refused(&with_token, &record("a", domain, "192.0.2.1")).await;
        let expected = format!("Domain {} not found in DyDNS service", domain.trim_end_matches('.'));
        assert_eq!((class, message), (ErrorClass::NotFound, expected));
    }
    let foreign = record("foreign", "lab.org.", "192.0.2.1");
    assert_eq!(refused(&with_token, &foreign).await.0, ErrorClass::Conflict);
    assert_eq!(refused(&provider(&[("token", "old")]), &foreign).await.0, ErrorClass::Auth);
    assert_eq!(refused(&provider(&[]), &foreign).await.0, ErrorClass::Auth);

    // A host with a secret is only updated, and nobody unregisters it.
    let mut secret = record("hostname", "domain.", "192.0.2.1");
    secret.name.secret = Some("123".to_owned());
    let (class, message) = refused(&provider(&[]), &secret).await;
    assert!(class == ErrorClass::NotFound && message.contains("nohost"), "{message}");
    hosts.lock().unwrap().insert("hostname.domain".to_owned(), value!({}));
    let before = server.asked().len();
    provider(&[]).ensure(&secret).await.unwrap();
    provider(&[]).delete(&secret).await.unwrap();
    assert_eq!(server.asked()[before..], ["GET /nic/update?hostname=hostname.domain&myip=192.0.2.1"]);
    secret.name.secret = Some("wrong".to_owned());
    let (class, message) = refused(&provider(&[]), &secret).await;
    assert!(class == ErrorClass::Auth && !message.contains("wrong"), "{message}");
}
