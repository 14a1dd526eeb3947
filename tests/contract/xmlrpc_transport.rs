//! XML-RPC below the methods: faults, paths, compression, bounds, versions of HTTP, encryption (docs/spec/api.md 3.1).

use crate::{
    support::{Answer, Apis, Server, document, exchange},
    xmlrpc::{PATH, array, auth, string, xml},
};
use dxr::{MethodResponse, Value};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use imd::api::{
    http::{Tls, TlsError},
    xmlrpc::XmlRpcSettings,
};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use std::{
    io::{Read, Write},
    path::Path,
    time::Duration,
};
use tokio::net::TcpStream;

#[tokio::test]
async fn faults_say_that_nothing_was_called() {
    let server = Server::start().await;
    for (body, fault) in [
        (xml("Foo", &[auth()]), "<class 'Exception'>:method \"Foo\" is not supported"),
        (xml("system.listMethods", &[]), "<class 'Exception'>:method \"system.listMethods\" is not supported"),
        (
            xml("GetInfrastructureInfo", &[string("x")]),
            "<class 'TypeError'>:GetInfrastructureInfo() missing 1 required positional argument: 'auth_data'",
        ),
        (xml("GetVersion", &[auth()]), "<class 'TypeError'>:GetVersion() takes 0 positional arguments but 1 was given"),
        (
            "<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall/>".to_owned(),
            "<class 'xml.parsers.expat.ExpatError'>:a document type is not allowed",
        ),
    ] {
        assert_eq!(server.fault(body).await, fault);
    }
    for body in [
        &b""[..],
        b"text",
        b"<methodCall>",
        b"\xff\xfe",
        b"<methodCall><methodName>GetVersion</methodName><params><param/></params></methodCall>",
    ] {
        let fault = server.fault(body.to_vec()).await;
        assert!(fault.starts_with("<class 'xml.parsers.expat.ExpatError'>:"), "{fault}");
    }
    let deep = format!("<methodCall>{}", "<value><array><data>".repeat(100_000));
    assert!(server.fault(deep).await.ends_with("elements in one another"));
    let metrics = server.get("/metrics").await.text;
    for line in [
        "imd_xmlrpc_calls_total{method=\"other\",outcome=\"fault\"} 11",
        "imd_xmlrpc_call_seconds_count{method=\"other\"} 11",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn paths_methods_and_versions_of_http() {
    let server = Server::start().await;
    let body = xml("GetVersion", &[]);
    let version = "<?xml version='1.0'?>\n<methodResponse><params><param><value><array><data><value><boolean>1</boolean>\
                   </value><value><string>1.19.1</string></value></data></array></value></param></params></methodResponse>";
    for path in ["/", "/RPC2", "/RPC2?x=y"] {
        let answer = Answer::of(server.client.post(server.rpc_url(path)).body(body.clone())).await;
        assert_eq!(answer.parts(), (200, "text/xml", version), "{path}");
    }
    let other = Answer::of(server.client.post(server.rpc_url("/other")).body(body.clone())).await;
    assert_eq!(other.parts(), (404, "text/plain; charset=utf-8", "No such page"));
    let get = Answer::of(server.client.get(server.rpc_url(PATH))).await;
    assert_eq!(get.parts(), (501, "text/plain; charset=utf-8", "Unsupported method ('GET')"));

    let head = format!("POST {PATH} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    let old = exchange(&server.xmlrpc, format!("{head}{body}").as_bytes()).await;
    assert!(old.starts_with("HTTP/1.0 200 OK\r\n") && old.ends_with(version), "{old}");
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let answer = exchange(&server.xmlrpc, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(version), "{answer}");
}

#[tokio::test]
async fn calls_in_other_character_sets() {
    let server = Server::start().await;
    let call = |encoding: &str| {
        xml("GetVersion", &[]).replace("version='1.0'", &format!("version='1.0' encoding='{encoding}'"))
    };
    let utf16 = call("UTF-16").encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    for body in [
        call("iso-8859-1").into_bytes(),
        call("utf8").into_bytes(),
        call("windows-1252").into_bytes(),
        call("UTF-16").into_bytes(),
        utf16.clone(),
        [b"\xfe\xff", &utf16[..]].concat(),
    ] {
        let answer = server.post_xml(body.clone()).await;
        assert!(answer.text.contains("<string>1.19.1</string>"), "{body:?}: {}", answer.text);
    }
    // What the request says counts before what the XML says.
    let send = |kind: &'static str, body: String| {
        Answer::of(server.client.post(server.rpc_url(PATH)).header("content-type", kind).body(body))
    };
    assert!(send("text/xml; charset=\"utf-8\"", call("x-unknown")).await.text.contains("<string>1.19.1</string>"));
    for body in [call("x-unknown"), call("UTF-32")] {
        let fault = server.fault(body).await;
        assert!(fault.contains("The character set '") && fault.ends_with("' is not known, send UTF-8."), "{fault}");
    }
    let deep =
        format!("<methodCall>{}", "<a>".repeat(1000)).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    assert!(server.fault(deep).await.ends_with("elements in one another"));
    let secret = xml("GetInfrastructureList", &[auth()]).replace("<string>pass</string>", "<int>pass</int>");
    let fault = server.fault(secret).await;
    assert!(fault.contains("argument 1: expected a whole number of 32 bits (line 2, column "), "{fault}");
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_may_be_compressed() {
    let xmlrpc = XmlRpcSettings { max_body: 100_000, ..XmlRpcSettings::default() };
    let server = Server::serving(Apis { xmlrpc, ..Apis::default() }).await;
    let send = |encoding: &'static str, body: Vec<u8>| {
        Answer::of(server.client.post(server.rpc_url(PATH)).header("content-encoding", encoding).body(body))
    };
    let version = xml("GetVersion", &[]);
    for encoding in ["gzip", "x-gzip", "GZIP"] {
        let answer = send(encoding, compressed(version.as_bytes())).await;
        assert!(answer.text.contains("<string>1.19.1</string>"), "{}", answer.text);
    }
    let text = "text/plain; charset=utf-8";
    assert_eq!(send("gzip", b"plain".to_vec()).await.parts(), (400, text, "error decoding gzip content"));
    assert_eq!(send("br", b"plain".to_vec()).await.parts(), (501, text, "encoding 'br' not supported"));
    let bomb = compressed(&vec![b' '; 10 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(send("gzip", bomb).await.parts(), (413, text, "The request body is larger than 100000 bytes."));

    // Answers are only compressed when that is worth it and wanted.
    let ask = async |method: &str, arguments: &[Value], accept: &str| {
        let request = server.client.post(server.rpc_url(PATH)).header("accept-encoding", accept);
        let response = request.body(xml(method, arguments)).send().await.unwrap();
        let is_compressed = response.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip");
        let length = response.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes.len(), length);
        (is_compressed, bytes)
    };
    assert!(!ask("GetVersion", &[], "gzip").await.0);
    let document = document(1).replace("lab", &"l".repeat(2000));
    let id = server.call_text("CreateInfrastructure", &[string(&document), auth()]).await;
    let (is_compressed, bytes) = ask("GetInfrastructureRADL", &[string(&id), auth()], "gzip").await;
    assert!(is_compressed && bytes.len() < 1400);
    let (is_compressed, plain) = ask("GetInfrastructureRADL", &[string(&id), auth()], "identity").await;
    assert!(!is_compressed && plain.len() > 2000);
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    let Value::Array(pair) = MethodResponse::from_xml(&text).unwrap().value else { panic!("{text}") };
    assert_eq!(pair[1], string(&server.get(&format!("/infrastructures/{id}/radl")).await.text));
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_is_cut() {
    let xmlrpc = XmlRpcSettings {
        max_body: 1000,
        max_head: 8192,
        max_connections: 2,
        head_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        ..XmlRpcSettings::default()
    };
    let server = Server::serving(Apis { xmlrpc, ..Apis::default() }).await;
    let body = xml("GetVersion", &[]);
    let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    assert!(server.post_xml(padded(1000)).await.text.contains("1.19.1"));
    let large = server.post_xml(padded(1001)).await;
    assert_eq!((large.status.as_u16(), large.text.as_str()), (413, "The request body is larger than 1000 bytes."));
    let slow = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n<", body.len());
    let answer = exchange(&server.xmlrpc, slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(10_000));
    assert!(exchange(&server.xmlrpc, head.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    assert_eq!(exchange(&server.xmlrpc, b"").await, "");
    // Connections over the limit wait until there is room, here for the ends of two that say nothing.
    let idle = (TcpStream::connect(&server.xmlrpc).await.unwrap(), TcpStream::connect(&server.xmlrpc).await.unwrap());
    assert!(server.post_xml(padded(1000)).await.text.contains("1.19.1"));
    drop(idle);
}

/// A key, and a certificate of 127.0.0.1 signed by itself.
fn certificate(directory: &Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let key: PKey<Private> = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let (key_file, certificate_file) = (directory.join(format!("{name}.key")), directory.join(format!("{name}.pem")));
    std::fs::write(&key_file, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    std::fs::write(&certificate_file, builder.build().to_pem().unwrap()).unwrap();
    (key_file, certificate_file)
}

#[tokio::test]
async fn both_apis_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (key, own) = certificate(directory.path(), "server");
    let (_, client) = certificate(directory.path(), "client");
    let (_, other) = certificate(directory.path(), "other");
    let tls = Some(Tls::load(&key, &own, Some(&client)).unwrap());
    let mut server = Server::serving(Apis { tls, ..Apis::default() }).await;

    std::fs::write(directory.path().join("call.xml"), xml("GetVersion", &[])).unwrap();
    std::fs::write(directory.path().join("document.radl"), document(1)).unwrap();
    let url = format!("https://{}/RPC2", server.xmlrpc);
    let ask = async |arguments: &str| {
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sS", "--noproxy", "*", "--max-time", "20"]).args(arguments.split(' '));
        let output = command.current_dir(directory.path()).output().await.unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let version = async |options: &str| {
        let answer = ask(&format!("{options} --data-binary @call.xml {url}")).await;
        answer.is_some_and(|answer| answer.contains("1.19.1"))
    };
    assert!(version("--cacert server.pem").await);
    assert!(!version("--cacert other.pem").await, "a certificate of somebody else was shown");
    assert!(!version("--cacert server.pem --tls-max 1.1").await, "TLS 1.1 was accepted");
    assert!(version("--cacert server.pem --cert client.pem --key client.key").await);
    assert!(!version("--cacert server.pem --cert other.pem --key other.key").await, "an unknown client was accepted");

    // Addresses in answers of REST begin with what the client used.
    let list = format!("https://{}/infrastructures", server.address);
    let authorization = format!("Authorization: {}", crate::support::USER);
    std::fs::write(directory.path().join("headers"), format!("{authorization}\nContent-Type: text/plain\n")).unwrap();
    let created = ask(&format!("--cacert server.pem -H @headers --data-binary @document.radl {list}")).await.unwrap();
    assert!(created.starts_with(&format!("{list}/")), "{created}");

    // Who speaks plainly is hung up on, and who says nothing does not keep the server from ending.
    assert!(
        !exchange(&server.xmlrpc, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.contains("200")
    );
    let _idle = TcpStream::connect(&server.xmlrpc).await.unwrap();
    assert!(server.stop().await < Duration::from_secs(5));

    let missing = directory.path().join("missing");
    assert!(matches!(Tls::load(&missing, &own, None), Err(TlsError::File { what: "the private key", .. })));
    assert!(matches!(Tls::load(&key, &missing, None), Err(TlsError::File { what: "the certificate", .. })));
    assert!(matches!(Tls::load(&key, &own, Some(&key)), Err(TlsError::File { .. })));
    assert!(matches!(Tls::load(&key, &other, None), Err(TlsError::Pair { .. })));
}

#[tokio::test]
async fn a_stop_lets_calls_finish() {
    let mut server = Server::start().await;
    let slow = array([crate::xmlrpc::user("user"), crate::xmlrpc::item(&[("type", "Dummy"), ("latency_ms", "300")])]);
    let body = xml("CreateInfrastructure", &[string(&document(1)), slow]);
    let (client, url) = (server.client.clone(), server.rpc_url(PATH));
    let call = tokio::spawn(async move { client.post(url).body(body).send().await.unwrap().text().await.unwrap() });
    while !server.get("/metrics").await.text.contains("imd_xmlrpc_connections 1") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(server.stop().await < Duration::from_secs(8));
    let answer = call.await.unwrap();
    assert!(answer.contains("<boolean>1</boolean>"), "{answer}");
}
