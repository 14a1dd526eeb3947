//! Encrypted connections to database servers, whose certificate an authority of the test has signed.

use crate::{
    authority::Authority,
    behaviour::{payload, row},
    mariadb::MariaDb,
    mongo_server::Mongo,
    sqlite::keyring,
    sqlite_faults::child,
};
use imd::store::open;
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What the program below says when everything is well.
const WELL: &str = "the store is open";

/// Key and certificate of a server at 127.0.0.1, who signed it, and another authority.
fn files() -> (TempDir, PathBuf, PathBuf, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    // The server runs as another user.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (ours, other) = (Authority::new("authority of the test"), Authority::new("another authority"));
    let (key, certificate) = ours.issue(directory.path(), "127.0.0.1");
    let (ours, other) =
        (ours.write(directory.path().join("ours.pem")), other.write(directory.path().join("other.pem")));
    (directory, key, certificate, ours, other)
}

/// What opening a store says, where the system knows these authorities.
fn opened(url: &str, authorities: &Path) -> String {
    let knows = format!("SSL_CERT_FILE={}", authorities.display());
    let mut open = child(&["env", &knows, "SSL_CERT_DIR=/nonexistent"], "tls::opening_child", Path::new(url));
    String::from_utf8_lossy(&open.output().unwrap().stdout).into_owned()
}

#[tokio::test]
#[ignore = "the child of the tests here"]
async fn opening_child() {
    let url = env::var("STORE_TEST_CHILD").unwrap();
    match open(&url, keyring()).await {
        Ok(store) => {
            store.check().await.unwrap();
            println!("{WELL}");
        }
        Err(error) => println!("{error}"),
    }
}

#[test]
fn mariadb_with_a_certificate_of_its_own_authority() {
    let (_directory, key, certificate, ours, other) = files();
    let options = [format!("--ssl-key={}", key.display()), format!("--ssl-cert={}", certificate.display())];
    let server = MariaDb::start_with(&[&options[0], &options[1]], |_| ());
    server.sql("ALTER USER im@'127.0.0.1' REQUIRE SSL");
    let url = format!("{}?require_ssl=true", server.url());
    let elsewhere = url.replace("@127.0.0.1", "@localhost");
    for (url, authorities, said) in [
        (url.clone(), &ours, WELL),
        (url.clone(), &other, "certificate verify failed"),
        (elsewhere.clone(), &ours, "certificate verify failed"),
        (format!("{elsewhere}&verify_identity=false"), &ours, WELL),
        (format!("{url}&verify_ca=false"), &other, WELL),
        (server.url(), &ours, "refuses the user"),
    ] {
        let text = opened(&url, authorities);
        assert!(text.contains(said) && !text.contains("s@same"), "{url} with {}: {text}", authorities.display());
    }
}

#[tokio::test]
async fn mongodb_with_a_certificate_of_its_own_authority() {
    let (_directory, key, certificate, ours, other) = files();
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let server = Mongo::start_with(&["--tls-key-file", &key, "--tls-cert-file", &certificate]);
    let with = |authorities: &Path| format!("{}&tls=true&tlsCAFile={}", server.url(), authorities.display());
    let store = open(&with(&ours), keyring()).await.unwrap();
    store.create(row("a", 1), payload("one")).await.unwrap();
    assert_eq!(store.load("a").await.unwrap().unwrap().infrastructure, b"one");
    let refused = [
        (with(&other), "certificate verify failed"),
        (with(&ours).replace("127.0.0.1", "localhost"), "certificate verify failed"),
        (server.url(), "connection"),
        (with(Path::new("/nonexistent.pem")), "/nonexistent.pem"),
    ];
    // Each tries for as long as a server may be starting.
    let errors = refused.map(|(url, said)| async move {
        let error = open(&url, keyring()).await.map(drop).unwrap_err().to_string();
        assert!(error.contains(said), "{url}: {error}");
    });
    futures::future::join_all(errors).await;
    // Known to the system instead of named.
    assert!(opened(&format!("{}&tls=true", server.url()), &ours).contains(WELL));
}
