//! Reading a body within its bounds, and what its sender says that it is. Small ones are always read; all others share what
//! the daemon has for them.

use crate::{
    bounds::{Budget, Full, Holder},
    charset::utf8_or_latin1,
};
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use std::{fmt::Display, net::IpAddr, pin::Pin, sync::Arc, time::Duration};
use warp::http::{HeaderMap, StatusCode, header};

/// Bytes of a body that nobody counts.
pub(crate) const SMALL: usize = 16 << 10;
/// Bytes taken from the common memory at a time.
const STEP: usize = 64 << 10;

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
    /// All memory for bodies is in use.
    #[error("Too many large requests are being read, try again later.")]
    Busy,
}

impl BodyError {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Full> for BodyError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// The chunks of a body.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// The chunks of a body as warp gives them.
pub(crate) fn chunks<B: Buf>(stream: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static) -> Chunks {
    Box::pin(stream.map(|chunk| chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))))
}

/// Bounds of a body.
pub(crate) struct Intake<'a> {
    /// Most bytes.
    pub(crate) limit: usize,
    /// Time to arrive.
    pub(crate) time: Duration,
    /// The memory for all bodies.
    pub(crate) memory: &'a Arc<Budget>,
    /// Who sends it.
    pub(crate) address: IpAddr,
}

/// What is held of the memory for bodies, until it is dropped.
#[derive(Default)]
pub(crate) struct Held(Option<Holder>);

impl Held {
    /// Takes what a body of so many bytes needs, more than it has taken already.
    async fn grow(&mut self, intake: &Intake<'_>, from: usize, to: usize) -> Result<(), BodyError> {
        if to <= SMALL {
            return Ok(());
        }
        let steps = |bytes: usize| if bytes <= SMALL { 0 } else { bytes.div_ceil(STEP) };
        let more = steps(to) - steps(from);
        if more > 0 {
            let holder = self.0.get_or_insert_with(|| intake.memory.join(intake.address));
            // What it waits for now is not its client.
            holder.claim().work();
            holder.take(more * STEP).await?;
        }
        Ok(())
    }

    /// Takes what another text of so many bytes needs.
    ///
    /// # Errors
    /// There is not so much for too long.
    pub(crate) async fn take(&mut self, intake: &Intake<'_>, bytes: usize) -> Result<(), BodyError> {
        self.grow(intake, 0, bytes).await
    }

    /// Gives back all but what a text of so many bytes needs.
    pub(crate) fn keep(&mut self, bytes: usize) {
        match &self.0 {
            Some(holder) if bytes > SMALL => holder.keep(bytes),
            _ => self.0 = None,
        }
    }
}

/// The whole body, and what it holds of the memory for bodies.
///
/// # Errors
/// Too large (as soon as the headers say so), too slow, broken, or no memory for it.
pub(crate) async fn collect<E: Display>(
    headers: &HeaderMap,
    mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
    intake: &Intake<'_>,
) -> Result<(Bytes, Held), BodyError> {
    let limit = intake.limit;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let announced = usize::try_from(announced.unwrap_or_default()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(BodyError::TooLarge(limit));
    }
    let collect = async {
        let (mut whole, mut held, mut counted) = (BytesMut::new(), Held::default(), 0);
        loop {
            let chunk = match &held.0 {
                None => chunks.next().await,
                Some(holder) => {
                    holder.claim().ask_more();
                    let chunk = tokio::select! {
                        chunk = chunks.next() => chunk,
                        () = holder.claim().lost() => return Err(BodyError::Busy),
                    };
                    holder.claim().work();
                    chunk
                }
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk.map_err(|error| BodyError::Broken(error.to_string()))?;
            let length = whole.len() + chunk.len();
            if length > limit {
                return Err(BodyError::TooLarge(limit));
            }
            if length > SMALL && length > counted {
                // All of it at once: many that have a part each would wait for each other.
                let whole = length.max(announced);
                held.grow(intake, counted, whole).await?;
                counted = whole;
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.freeze(), held))
    };
    tokio::time::timeout(intake.time, collect).await.unwrap_or(Err(BodyError::TooSlow(intake.time)))
}

/// The character set that the `Content-Type` names, if it names one (RFC 9110, 8.3.2).
pub(crate) fn charset(headers: &HeaderMap) -> Option<String> {
    let kind = utf8_or_latin1(headers.get(header::CONTENT_TYPE)?.as_bytes());
    let named = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    };
    kind.split(';').skip(1).find_map(named)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_character_set_is_a_parameter_of_the_type() {
        for (kind, expected) in [
            ("text/plain", None),
            ("text/plain; charset=utf-8", Some("utf-8")),
            ("text/xml;version=1 ; CharSet = \"ISO-8859-1\"", Some("ISO-8859-1")),
            ("charset=utf-8", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(charset(&headers).as_deref(), expected, "{kind}");
        }
        assert_eq!(charset(&HeaderMap::new()), None);
    }
}
