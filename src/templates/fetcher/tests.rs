#![allow(clippy::unwrap_used)]
use super::*;
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    ssl::{Ssl, SslAcceptor, SslMethod},
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_openssl::SslStream;

/// A server over TLS on loopback, which its clients know as `*.example`.
struct Server {
    port: u16,
    authority: Certificate,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "test").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(64, MsbOption::MAYBE_ZERO, false).unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        let context = builder.x509v3_context(None, None);
        let names = SubjectAlternativeName::new()
            .dns("files.example")
            .dns("other.example")
            .ip("127.0.0.1")
            .build(&context)
            .unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&key).unwrap();
        acceptor.set_certificate(&certificate).unwrap();
        let acceptor = acceptor.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, requests) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = SslStream::new(Ssl::new(acceptor.context()).unwrap(), stream).unwrap();
                if Pin::new(&mut stream).accept().await.is_err() {
                    continue;
                }
                counted.fetch_add(1, SeqCst);
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let answer = answer(request.split(' ').nth(1).unwrap_or_default(), port);
                // A client that has enough hangs up.
                drop(stream.write_all(&answer).await);
                drop(stream.shutdown().await);
            }
        });
        let authority = Certificate::from_pem(&certificate.to_pem().unwrap()).unwrap();
        Self { port, authority, requests }
    }

    /// A fetcher for which loopback is public, and of which `files.example` and `other.example` are there.
    fn fetcher(&self, hosts: &[&str]) -> Fetcher {
        let names = |name: String| -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let addresses: &[[u8; 4]] = match name.as_str() {
                "files.example" => &[[127, 0, 0, 1]],
                // What is refused is left out, and the connection goes to the rest.
                "other.example" => &[[10, 0, 0, 1], [127, 0, 0, 1]],
                "inside.example" => &[[169, 254, 169, 254], [10, 0, 0, 1]],
                _ => &[],
            };
            let addresses = addresses.iter().map(|address| IpAddr::from(*address)).collect();
            Box::pin(async move { Ok(addresses) })
        };
        let refuses = |found: IpAddr| address::refusal(found).filter(|_| found != IpAddr::from([127, 0, 0, 1]));
        let network =
            Network { resolve: Arc::new(names), refuses: Arc::new(refuses), authorities: vec![self.authority.clone()] };
        let hosts: Vec<String> = hosts.iter().map(|host| format!("{host}:{}", self.port)).collect();
        Fetcher::new(Permission::new(&hosts, None), None, network)
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }
}

fn answer(path: &str, port: u16) -> Vec<u8> {
    let (head, body) = match path {
        "/types.yaml" => ("200 OK".to_owned(), b"node_types: {}".to_vec()),
        "/fresh.yaml" => ("200 OK\r\nCache-Control: max-age=0".to_owned(), b"fresh".to_vec()),
        "/large" => ("200 OK".to_owned(), vec![b'x'; MOST_BYTES + 1]),
        "/bytes" => ("200 OK".to_owned(), vec![0xff]),
        "/circle" => ("302 Found\r\nLocation: /circle".to_owned(), Vec::new()),
        "/moved" => (format!("301 Moved\r\nLocation: https://other.example:{port}/types.yaml"), Vec::new()),
        "/clear" => (format!("302 Found\r\nLocation: http://files.example:{port}/types.yaml"), Vec::new()),
        "/inside" => (format!("302 Found\r\nLocation: https://inside.example:{port}/types.yaml"), Vec::new()),
        "/literal" => (format!("302 Found\r\nLocation: https://169.254.169.254:{port}/latest"), Vec::new()),
        "/mapped" => (format!("302 Found\r\nLocation: https://[::ffff:a00:1]:{port}/latest"), Vec::new()),
        _ => ("404 Not Found".to_owned(), Vec::new()),
    };
    let mut answer =
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}

#[tokio::test]
async fn files_are_fetched_and_kept() {
    let server = Server::start().await;
    let fetcher = server.fetcher(&["files.example", "other.example"]);
    for _ in 0..3 {
        assert_eq!(
            fetcher.fetch(&server.url("files.example", "/types.yaml")).await.unwrap().as_ref(),
            "node_types: {}"
        );
    }
    assert_eq!(server.requests.load(SeqCst), 1);
    for _ in 0..2 {
        assert_eq!(fetcher.fetch(&server.url("files.example", "/fresh.yaml")).await.unwrap().as_ref(), "fresh");
    }
    assert_eq!(server.requests.load(SeqCst), 3);
    assert!(fetcher.fetch(&server.url("files.example", "/moved")).await.is_ok());
    assert_eq!(server.requests.load(SeqCst), 5);
}

#[tokio::test]
async fn nothing_leads_to_where_the_configuration_or_the_address_says_no() {
    let server = Server::start().await;
    let fetcher =
        server.fetcher(&["files.example", "inside.example", "169.254.169.254", "[::ffff:a00:1]", "gone.example"]);
    let cases = [
        ("files.example", "/moved", "it leads to https://other.example"),
        ("files.example", "/clear", "only https is fetched"),
        ("files.example", "/inside", "the address 10.0.0.1 is private"),
        ("files.example", "/literal", "the address 169.254.169.254 is link-local"),
        ("files.example", "/mapped", "the address ::ffff:10.0.0.1 is private"),
        ("inside.example", "/types.yaml", "only public addresses are fetched from"),
        ("169.254.169.254", "/latest", "the address 169.254.169.254 is link-local"),
        ("gone.example", "/types.yaml", "the name gone.example cannot be resolved"),
        ("other.example", "/types.yaml", "add other.example"),
        ("files.example", "/large", "more than 1048576 bytes"),
        ("files.example", "/bytes", "no text in UTF-8"),
        ("files.example", "/circle", "leads on more than 5 times"),
        ("files.example", "/none", "404 Not Found: look at the URL"),
    ];
    for (host, path, expected) in cases {
        let error = fetcher.fetch(&server.url(host, path)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{host}{path}: {error}");
    }
    // Nobody answered but the server that may be asked: six redirections of the circle, and one request for each other path.
    assert_eq!(server.requests.load(SeqCst), 5 + 3 + 6);
    // A server without a certificate that somebody trusts is none.
    let stranger = Fetcher {
        network: Network { authorities: Vec::new(), ..fetcher.network.clone() },
        ..server.fetcher(&["files.example"])
    };
    let error = stranger.fetch(&server.url("files.example", "/types.yaml")).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn servers_say_how_long_a_file_is_kept() {
    let cases = [
        ("max-age=300", 300),
        ("public, MAX-AGE=\"7\"", 7),
        ("max-age=99999", 3600),
        ("no-store", 0),
        ("max-age=x", 0),
    ];
    for (control, seconds) in cases {
        assert_eq!(age(control).as_secs(), seconds, "{control}");
    }
}
