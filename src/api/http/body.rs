//! Reading a body within its bounds.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use std::{fmt::Display, time::Duration};
use warp::http::{HeaderMap, header};

/// Why a body was not read; the text is for the client. The rest of it is still on its way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It has more bytes than allowed.
    #[error("The request body is larger than {0} bytes.")]
    TooLarge(usize),
    /// It did not come in time.
    #[error("The request body did not arrive within {} s.", .0.as_secs())]
    TooSlow(Duration),
    /// The connection or its framing broke.
    #[error("The request body cannot be read: {0}")]
    Broken(String),
}

/// The whole body, of at most `limit` bytes, within `time`.
///
/// # Errors
/// Too large (as soon as the headers say so), too slow, or broken.
pub(crate) async fn collect<E: Display>(
    headers: &HeaderMap,
    mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
    limit: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge(limit));
    }
    let collect = async {
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| BodyError::Broken(error.to_string()))?;
            if whole.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge(limit));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(time, collect).await.unwrap_or(Err(BodyError::TooSlow(time)))
}
