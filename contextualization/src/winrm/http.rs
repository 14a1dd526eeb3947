//! One connection to a WinRM service: TLS on a stream through SSH, requests one after the other.

use super::WinRmError;
use crate::ssh::{Endpoint, SshError, SshSession, Tunnel};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use std::pin::Pin;
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

/// The longest answer that is read.
const ANSWER: usize = 1 << 20;

/// Opens a TLS connection. The certificate is not checked: there is nothing to check it against.
pub async fn connect(via: &SshSession, endpoint: &Endpoint) -> Result<SslStream<Tunnel>, WinRmError> {
    let unreachable = |reason: String| SshError::Unreachable { target: endpoint.to_string(), reason };
    let tunnel = via.tunnel(endpoint).await?;
    let configured = || {
        let mut connector = SslConnector::builder(SslMethod::tls_client())?;
        connector.set_verify(SslVerifyMode::NONE);
        let mut configuration = connector.build().configure()?;
        configuration.set_verify_hostname(false);
        SslStream::new(configuration.into_ssl(&endpoint.host)?, tunnel)
    };
    let mut stream = configured().map_err(|e| unreachable(e.to_string()))?;
    Pin::new(&mut stream).connect().await.map_err(|e| unreachable(format!("no TLS: {e}")))?;
    Ok(stream)
}

/// Credentials as bytes: Latin-1 where that can hold them, which is what Ansible's client sends and western Windows reads,
/// else UTF-8 (RFC 7617, 2 leaves it open).
fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>().unwrap_or_else(|| text.into())
}

/// A connection with its credentials.
pub struct Http {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
    endpoint: Endpoint,
    user: String,
    authorization: HeaderValue,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Http {
    /// Connects.
    pub async fn open(via: &SshSession, endpoint: &Endpoint, user: &str, password: &str) -> Result<Self, WinRmError> {
        let stream = connect(via, endpoint).await?;
        let failed = |reason: String| WinRmError::Failed { target: endpoint.to_string(), reason };
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| failed(e.to_string()))?;
        let pair = openssl::base64::encode_block(&octets(&format!("{user}:{password}")));
        let mut authorization = HeaderValue::from_str(&format!("Basic {pair}")).map_err(|e| failed(e.to_string()))?;
        authorization.set_sensitive(true);
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a WinRM connection broke");
            }
        });
        let (endpoint, user) = (endpoint.clone(), user.to_owned());
        Ok(Self { sender, connection, endpoint, user, authorization })
    }

    /// What is said of an answer that makes no sense.
    pub fn failed(&self, reason: impl Into<String>) -> WinRmError {
        WinRmError::Failed { target: self.endpoint.to_string(), reason: reason.into() }
    }

    /// Address of the service as messages name it.
    pub fn url(&self) -> String {
        format!("https://{}/wsman", self.endpoint)
    }

    /// Sends a message; the status and the text of the answer.
    pub async fn post(&mut self, message: String) -> Result<(StatusCode, String), WinRmError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/wsman")
            .header(HOST, self.endpoint.to_string())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/soap+xml;charset=UTF-8")
            .body(Full::new(Bytes::from(message)))
            .map_err(|e| self.failed(e.to_string()))?;
        self.sender.ready().await.map_err(|e| self.failed(e.to_string()))?;
        let answer = self.sender.send_request(request).await.map_err(|e| self.failed(e.to_string()))?;
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err(WinRmError::Refused { target: self.endpoint.to_string(), user: self.user.clone() });
        }
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        let body = body.map_err(|e| self.failed(e.to_string()))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
