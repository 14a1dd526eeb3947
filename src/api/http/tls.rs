//! Encryption of connections: TLS 1.2 or later, with certificates of clients if they show one.

use openssl::{
    error::ErrorStack,
    ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode},
    x509::X509,
};
use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

/// Key, certificate and rules of a server.
#[derive(Clone)]
pub struct Tls(SslAcceptor);

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is missing or holds something else.
    #[error("{what} cannot be read from {}: {reason}", path.display())]
    File {
        /// What was expected in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system or OpenSSL said.
        reason: String,
    },
    /// The key is not that of the certificate.
    #[error("the private key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Pair {
        /// File of the key.
        key: PathBuf,
        /// File of the certificate.
        certificate: PathBuf,
    },
    /// OpenSSL itself.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] ErrorStack),
}

/// Digest of the public key of a certificate, in the form of curl's `--pinnedpubkey`: machines know the server by it where
/// no authority that they trust has signed it.
///
/// # Errors
/// A file that cannot be used.
pub fn pinned_key(certificate: &Path) -> Result<String, TlsError> {
    let unreadable = |reason| TlsError::File { what: "the certificate", path: certificate.to_owned(), reason };
    let pem = std::fs::read(certificate).map_err(|error| unreadable(error.to_string()))?;
    let key = X509::from_pem(&pem).map_err(|error| unreadable(error.to_string()))?.public_key()?.public_key_to_der()?;
    Ok(format!("sha256//{}", openssl::base64::encode_block(&openssl::sha::sha256(&key))))
}

impl Tls {
    /// Reads PEM files: the private key, the certificate with those between it and its root, and, unless none is given,
    /// the authorities that sign clients' certificates. A client may show one; it must then be signed by one of them.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn load(key: &Path, certificate: &Path, authorities: Option<&Path>) -> Result<Self, TlsError> {
        let unreadable = |what, path: &Path, reason: String| TlsError::File { what, path: path.to_owned(), reason };
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor
            .set_private_key_file(key, SslFiletype::PEM)
            .map_err(|error| unreadable("the private key", key, error.to_string()))?;
        acceptor
            .set_certificate_chain_file(certificate)
            .map_err(|error| unreadable("the certificate", certificate, error.to_string()))?;
        acceptor
            .check_private_key()
            .map_err(|_| TlsError::Pair { key: key.to_owned(), certificate: certificate.to_owned() })?;
        if let Some(file) = authorities {
            const WHAT: &str = "the authorities of clients' certificates";
            let pem = std::fs::read(file).map_err(|error| unreadable(WHAT, file, error.to_string()))?;
            let known = X509::stack_from_pem(&pem).map_err(|error| unreadable(WHAT, file, error.to_string()))?;
            if known.is_empty() {
                return Err(unreadable(WHAT, file, "there is no certificate in it".to_owned()));
            }
            for authority in known {
                acceptor.add_client_ca(&authority)?;
                acceptor.cert_store_mut().add_cert(authority)?;
            }
            acceptor.set_verify(SslVerifyMode::PEER);
            // Sessions are only resumed under a name once clients are verified.
            acceptor.set_session_id_context(b"imd")?;
        }
        Ok(Self(acceptor.build()))
    }

    /// Agrees on the encryption of a connection that a client opened.
    ///
    /// # Errors
    /// The client speaks something else, or does not accept us, or we not its certificate.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<SslStream<S>> {
        let mut stream = SslStream::new(Ssl::new(self.0.context())?, stream)?;
        Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
        Ok(stream)
    }
}
