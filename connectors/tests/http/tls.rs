//! Certificates: those of the system, of the line, and of nobody.

use super::*;
use crate::support::{Answer, Server, json};
use connectors::{
    ConnectorError, ErrorClass,
    http::{Method, Route},
};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    ssl::{SslAcceptor, SslMethod, SslVerifyMode},
    symm::Cipher,
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use std::sync::Arc;

fn elliptic_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate for 127.0.0.1 that is its own authority.
fn certificate(key: &PKey<Private>) -> X509 {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "test").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// A cloud over TLS, and the certificate of its authority in PEM form.
async fn cloud() -> (Server, String) {
    cloud_for(&[]).await
}

/// One that serves only clients with one of these certificates, if there are any.
async fn cloud_for(clients: &[&X509]) -> (Server, String) {
    let key = elliptic_key();
    let certificate = certificate(&key);
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(&certificate).unwrap();
    acceptor.set_private_key(&key).unwrap();
    for client in clients {
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        acceptor.cert_store_mut().add_cert((*client).clone()).unwrap();
    }
    let answer: Answer = Arc::new(|_| Box::pin(async { json(200, "hello") }));
    let pem = String::from_utf8(certificate.to_pem().unwrap()).unwrap();
    (Server::start(answer, Some(acceptor.build())).await, pem)
}

async fn ask(settings: &HttpSettings, server: &Server, fields: &[(&str, &str)]) -> Result<String, ConnectorError> {
    ask_as(settings, server, fields, None).await
}

/// Asks with a certificate and its private key.
async fn ask_as(
    settings: &HttpSettings,
    server: &Server,
    fields: &[(&str, &str)],
    identity: Option<(&X509, &[u8])>,
) -> Result<String, ConnectorError> {
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).unwrap();
    let identity = identity.map(|(certificate, key)| (text(&certificate.to_pem().unwrap()), text(key)));
    let line = account("https", server.address, fields);
    let route = Route { identity, ..Route::default() };
    let client = Client::by_route(settings, &line, base_url(&line, "http", None)?, &route)?;
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

#[tokio::test]
async fn clients_are_known_by_their_certificates() {
    let rsa = Rsa::generate(2048).unwrap();
    let (rsa_key, elliptic) = (PKey::from_rsa(rsa.clone()).unwrap(), elliptic_key());
    let (of_rsa, of_elliptic, stranger) = (certificate(&rsa_key), certificate(&elliptic), certificate(&elliptic_key()));
    let pkcs8 = |key: &PKey<Private>| key.private_key_to_pem_pkcs8().unwrap();
    let settings = HttpSettings { read_timeout: Duration::from_secs(10), ..settings() };
    for (certificate, key, begins) in [
        (&of_rsa, rsa.private_key_to_pem().unwrap(), "-----BEGIN RSA PRIVATE KEY"),
        (&of_rsa, pkcs8(&rsa_key), "-----BEGIN PRIVATE KEY"),
        (&of_elliptic, elliptic.ec_key().unwrap().private_key_to_pem().unwrap(), "-----BEGIN EC PRIVATE KEY"),
        (&of_elliptic, pkcs8(&elliptic), "-----BEGIN PRIVATE KEY"),
    ] {
        assert!(key.starts_with(begins.as_bytes()));
        let (server, authority) = cloud_for(&[certificate]).await;
        let trusted = [("ca_cert", authority.as_str())];
        let known = ask_as(&settings, &server, &trusted, Some((certificate, &key))).await;
        assert_eq!(known.unwrap(), "hello", "{begins}");
        assert!(
            ask_as(&settings, &server, &[], Some((certificate, &key))).await.is_err(),
            "the engine is verified, too"
        );
        assert!(ask(&settings, &server, &trusted).await.is_err(), "nobody");
        assert_eq!(server.asked().len(), 1);
    }
    let (server, authority) = cloud_for(&[&of_rsa]).await;
    let trusted = [("ca_cert", authority.as_str())];
    let locked = elliptic.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"phrase").unwrap();
    for (certificate, key) in
        [(&stranger, pkcs8(&elliptic)), (&of_elliptic, locked), (&of_elliptic, b"s3cr3t".to_vec())]
    {
        let error = ask_as(&settings, &server, &trusted, Some((certificate, &key))).await.unwrap_err();
        assert!(error.class == ErrorClass::Invalid && !error.message.contains("s3cr3t"), "{error}");
    }
    assert!(ask_as(&settings, &server, &trusted, Some((&of_elliptic, &pkcs8(&elliptic)))).await.is_err(), "a stranger");
    assert!(server.asked().is_empty());
}
