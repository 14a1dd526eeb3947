//! Which certificates are trusted. An account has connections and a token of its own; the authorities behind them, nearly a
//! megabyte as the library keeps them, are there once for all accounts that trust the same.

use native_tls::{Certificate, Identity, TlsConnector, TlsConnectorBuilder};
use openssl::{pkey::PKey, sha::sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Kinds of trust that are kept: users may write any certificate into their lines.
const MOST_KEPT: usize = 64;

/// Why there can be no trust.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    /// What the line says is trusted is no certificate.
    #[error("no certificate in PEM form")]
    NoCertificate,
    /// The client's own certificate or key cannot be read, or the two are not of each other.
    #[error("no certificate with its private key in PEM form")]
    NoIdentity,
    /// The library refuses a certificate, or finds none of the system's.
    #[error(transparent)]
    Library(#[from] native_tls::Error),
}

/// Whether certificates are verified, and a digest of those trusted besides the system's.
type Kind = (bool, Option<[u8; 32]>);

/// What is trusted, by its kind. Clones share it; all of them are equal, since what they hold is a memory of work done.
#[derive(Clone, Default)]
pub struct Trust(Arc<Mutex<HashMap<Kind, TlsConnector>>>);

impl PartialEq for Trust {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Trust {}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// Trust in the authorities of the system and in those of `pem`, or in everybody.
    ///
    /// # Errors
    /// When `pem` has no certificate, or the library cannot use what is to be trusted.
    pub(super) fn of(&self, verify: bool, pem: Option<&str>) -> Result<TlsConnector, TrustError> {
        let kind = (verify, pem.map(|pem| sha256(pem.as_bytes())));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&kind) {
            return Ok(known.clone());
        }
        let made = builder(verify, pem)?.build()?;
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(kind, made.clone());
        Ok(made)
    }
}

/// Trust of one account alone, which shows the server a certificate of its own (PEM, with its private key).
///
/// # Errors
/// As those of [`Trust::of`]; when certificate and key are not of each other.
pub(super) fn with_identity(
    verify: bool,
    pem: Option<&str>,
    (certificate, key): (&str, &str),
) -> Result<TlsConnector, TrustError> {
    // A key with a pass phrase is refused, and nobody is asked for it on a terminal.
    let key = PKey::private_key_from_pem_callback(key.as_bytes(), |_| Ok(0));
    let key = key.and_then(|key| key.private_key_to_pem_pkcs8());
    let key = key.map_err(|_| TrustError::NoIdentity)?;
    let identity = Identity::from_pkcs8(certificate.as_bytes(), &key).map_err(|_| TrustError::NoIdentity)?;
    Ok(builder(verify, pem)?.identity(identity).build()?)
}

fn builder(verify: bool, pem: Option<&str>) -> Result<TlsConnectorBuilder, TrustError> {
    let mut builder = TlsConnector::builder();
    builder.danger_accept_invalid_certs(!verify).danger_accept_invalid_hostnames(!verify);
    let Some(pem) = pem else { return Ok(builder) };
    let authorities = Certificate::stack_from_pem(pem.as_bytes()).map_err(|_| TrustError::NoCertificate)?;
    if authorities.is_empty() {
        return Err(TrustError::NoCertificate);
    }
    for authority in authorities {
        builder.add_root_certificate(authority);
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn authorities_are_there_once_and_what_users_write_is_bounded() {
        let trust = Trust::default();
        let kept = || trust.0.lock().unwrap().len();
        for _ in 0..3 {
            trust.of(true, None).unwrap();
            trust.of(false, None).unwrap();
        }
        assert_eq!(kept(), 2);
        assert!(matches!(trust.of(true, Some("none")), Err(TrustError::NoCertificate)));
        let pair = openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
        let mut builder = openssl::x509::X509::builder().unwrap();
        builder.set_pubkey(&pair).unwrap();
        builder.set_not_before(&openssl::asn1::Asn1Time::from_unix(0).unwrap()).unwrap();
        builder.set_not_after(&openssl::asn1::Asn1Time::from_unix(1).unwrap()).unwrap();
        builder.sign(&pair, openssl::hash::MessageDigest::sha256()).unwrap();
        let pem = String::from_utf8(builder.build().to_pem().unwrap()).unwrap();
        for number in 0..2 * MOST_KEPT {
            trust.of(true, Some(&format!("# {number}\n{pem}"))).unwrap();
            assert!(kept() <= MOST_KEPT);
        }
    }
}
