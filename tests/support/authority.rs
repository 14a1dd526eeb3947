//! A certification authority of a test.

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509Builder, X509Name, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut builder = certificate(name, &key);
        builder.set_issuer_name(&subject(name)).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { key, certificate: builder.build() }
    }

    /// Its own certificate, in a file.
    pub fn write(&self, path: PathBuf) -> PathBuf {
        fs::write(&path, self.certificate.to_pem().unwrap()).unwrap();
        path
    }

    /// Files of a key and the certificate of a server at this address.
    pub fn issue(&self, directory: &Path, address: &str) -> (PathBuf, PathBuf) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut builder = certificate("server", &key);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let names = SubjectAlternativeName::new().ip(address).build(&context).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let (key_file, certificate_file) = (directory.join("server.key"), directory.join("server.pem"));
        fs::write(&key_file, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        fs::write(&certificate_file, builder.build().to_pem().unwrap()).unwrap();
        (key_file, certificate_file)
    }
}

fn subject(name: &str) -> X509Name {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    subject.build()
}

fn certificate(name: &str, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject(name)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder
}
