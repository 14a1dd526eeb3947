//! Dynamic updates of BIND.

use super::{line, record};
use connectors::{
    CloudAccount, ErrorClass,
    dns::{RecordProvider, rfc2136::Rfc2136},
};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA==";

/// A name server with the zone example.org, which the key `imd` may change, and the zone locked.org, which nobody may.
struct NameServer {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl NameServer {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let soa = "$TTL 60\n@ SOA ns admin 1 60 60 600 60\n@ NS ns\nns A 127.0.0.1\ntaken A 192.0.2.99\n";
        fs::write(path.join("example.zone"), soa).unwrap();
        fs::write(path.join("locked.zone"), soa).unwrap();
        let configuration = format!(
            "key imd {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\ncontrols {{ }};\n\
             options {{ directory \"{0}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             pid-file none; session-keyfile none; recursion no; dnssec-validation no; }};\n\
             zone example.org {{ type primary; file \"example.zone\"; allow-update {{ key imd; }}; }};\n\
             zone locked.org {{ type primary; file \"locked.zone\"; }};\n",
            path.display()
        );
        fs::write(path.join("named.conf"), configuration).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let process = Command::new("named")
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .args(["-g", "-n", "1", "-c"])
            .arg(path.join("named.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("named is missing: apt-get install bind9");
        let server = Self { process, port, _directory: directory };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("named does not listen: {}", fs::read_to_string(server._directory.path().join("log")).unwrap());
    }

    fn account(&self, fields: &[(&str, &str)]) -> CloudAccount {
        line("", self.port, &[&[("driver", "rfc2136")], fields].concat())
    }

    /// What a name leads to.
    fn resolve(&self, name: &str, kind: RecordType) -> Vec<String> {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let query = query.to_vec().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(&[&u16::try_from(query.len()).unwrap().to_be_bytes(), &query[..]].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).unwrap();
        Message::from_vec(&answer).unwrap().answers.iter().map(|record| record.data.to_string()).collect()
    }
}

#[tokio::test]
async fn names_lead_where_the_machine_is_and_nowhere_after_it() {
    let server = NameServer::start();
    let account = server.account(&[("username", "imd"), ("password", SECRET)]);
    let provider = Rfc2136::try_from(&account).unwrap();
    let [first, second] = ["192.0.2.1", "192.0.2.2"].map(|address| record("node", "example.org.", address));
    let resolve = |name: &str| server.resolve(&format!("{name}.example.org."), RecordType::A);

    provider.ensure(&first).await.unwrap();
    provider.ensure(&first).await.unwrap();
    assert_eq!(resolve("node"), ["192.0.2.1"]);
    provider.ensure(&second).await.unwrap();
    assert_eq!(resolve("node"), ["192.0.2.2"], "a changed address takes the place of the old one");
    provider.delete(&first).await.unwrap();
    assert_eq!(resolve("node"), ["192.0.2.2"], "a name that leads elsewhere is left alone");

    let sixth = record("node", "example.org.", "2001:db8::1");
    provider.ensure(&sixth).await.unwrap();
    provider.delete(&second).await.unwrap();
    provider.delete(&second).await.unwrap();
    assert_eq!(resolve("node"), <[&str; 0]>::default());
    assert_eq!(server.resolve("node.example.org.", RecordType::AAAA), ["2001:db8::1"]);
    provider.delete(&sixth).await.unwrap();
    assert_eq!(server.resolve("node.example.org.", RecordType::AAAA), <[&str; 0]>::default());

    // A name below a subdomain is in the zone of the line.
    let zoned = server.account(&[("username", "imd"), ("password", SECRET), ("zone", "example.org")]);
    let zoned = Rfc2136::try_from(&zoned).unwrap();
    let deep = record("*", "sub.example.org.", "192.0.2.7");
    assert!(zoned.serves(&deep.name) && !zoned.serves(&record("a", "example.net.", "192.0.2.7").name));
    zoned.ensure(&deep).await.unwrap();
    assert_eq!(resolve("any.sub"), ["192.0.2.7"]);
    zoned.delete(&deep).await.unwrap();
    assert_eq!(resolve("taken"), ["192.0.2.99"], "what is in the zone otherwise stays");
}

#[tokio::test]
async fn refusals_say_why() {
    let server = NameServer::start();
    let key = [("username", "imd"), ("password", SECRET)];
    let refusal = async |fields: &[(&str, &str)], domain: &str| {
        let provider = Rfc2136::try_from(&server.account(fields)).unwrap();
        let error = provider.ensure(&record("node", domain, "192.0.2.1")).await.unwrap_err();
        assert!(!error.message.contains(SECRET));
        (error.class, error.message)
    };
    let wrong = [("username", "imd"), ("password", "b3RoZXI=")];
    for (fields, domain, class, why) in [
        (&wrong[..], "example.org.", ErrorClass::Auth, "does not take the key"),
        (&[("username", "other"), key[1]], "example.org.", ErrorClass::Auth, "does not take the key"),
        (&[], "example.org.", ErrorClass::Denied, "does not allow"),
        (&key, "locked.org.", ErrorClass::Denied, "does not allow"),
        (&key, "nowhere.org.", ErrorClass::Invalid, "no such zone"),
    ] {
        let (got, message) = refusal(fields, domain).await;
        assert!(got == class && message.contains(why), "{fields:?} {domain}: {got:?} {message}");
    }
    for (fields, class) in [
        (&[("username", "imd")][..], ErrorClass::Auth),
        (&[("username", "imd"), ("password", "no base64!")], ErrorClass::Auth),
        (&[key[0], key[1], ("algorithm", "hmac-md5")], ErrorClass::Invalid),
    ] {
        let error = Rfc2136::try_from(&server.account(fields)).err().unwrap();
        assert_eq!(error.class, class, "{fields:?}");
    }
    assert!(server.resolve("node.example.org.", RecordType::A).is_empty());
}
