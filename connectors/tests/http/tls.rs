//! Certificates: those of the system, of the line, and of nobody.

use super::*;
use crate::support::{Answer, Server, json};
use connectors::{ConnectorError, ErrorClass, http::Method};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{SslAcceptor, SslMethod},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use std::sync::Arc;

/// A certificate for 127.0.0.1 that is its own authority.
fn certificate() -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "test").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

/// A cloud over TLS, and the certificate of its authority in PEM form.
async fn cloud() -> (Server, String) {
    let (certificate, key) = certificate();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(&certificate).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let answer: Answer = Arc::new(|_| Box::pin(async { json(200, "hello") }));
    let pem = String::from_utf8(certificate.to_pem().unwrap()).unwrap();
    (Server::start(answer, Some(acceptor.build())).await, pem)
}

async fn ask(settings: &HttpSettings, server: &Server, fields: &[(&str, &str)]) -> Result<String, ConnectorError> {
    let line = account("https", server.address, fields);
    let client = Client::new(settings, &line, base_url(&line, "http", None)?)?;
    client.send(client.request(Method::GET, ["x"])).await?.json()
}

#[tokio::test]
async fn a_certificate_counts_by_its_authority() {
    let (server, authority) = cloud().await;
    let (_, other) = cloud().await;
    let verifying = HttpSettings { read_timeout: Duration::from_secs(10), ..settings() };
    for fields in [&[][..], &[("ca_cert", other.as_str())], &[("verify_ssl", "yes")]] {
        let error = ask(&verifying, &server, fields).await.unwrap_err();
        assert!(error.class == ErrorClass::Invalid && error.message.contains("ca_cert"), "never retried: {error}");
    }
    assert!(server.asked().is_empty());
    assert_eq!(ask(&verifying, &server, &[("ca_cert", &authority)]).await.unwrap(), "hello");
    assert_eq!(ask(&verifying, &server, &[("verify_ssl", "no")]).await.unwrap(), "hello");
    let trusting = HttpSettings { verify: false, ..verifying };
    assert_eq!(ask(&trusting, &server, &[]).await.unwrap(), "hello", "VERIFI_SSL = False");
    assert!(ask(&trusting, &server, &[("verify_ssl", "yes")]).await.is_err(), "the line has the last word");
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_named() {
    let (server, _) = cloud().await;
    for (key, value) in [("ca_cert", "s3cr3t"), ("verify_ssl", "s3cr3t")] {
        let error = ask(&settings(), &server, &[(key, value)]).await.unwrap_err();
        assert!(error.class == ErrorClass::Invalid && error.message.contains(key), "{error}");
        assert!(!error.message.contains("s3cr3t"), "{error}");
    }
}
