//! How a connection goes on: whose turn it is, whether its client reads what it asked for, and how long that may take.

use crate::bounds::Claim;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// Bytes per second that a client must take of an answer that fills its buffers.
const SLOWEST: u32 = 4096;

/// A connection whose client must take what is sent to it.
pub(super) struct Watched<S> {
    stream: S,
    claim: Arc<Claim>,
    limit: Duration,
    /// Until when something must be taken; none while everything is.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, claim: Arc<Claim>, limit: Duration) -> Self {
        Self { stream, claim, limit, until: None }
    }

    /// Looks at what became of a write of `wanted` bytes.
    fn look(&mut self, cx: &mut Context<'_>, wanted: usize, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Ok(written)) if written < wanted => {
                self.claim.block(true);
                if let Some(until) = &mut self.until {
                    // Whoever takes little at a time has little time.
                    let more = Duration::from_secs(1) * u32::try_from(written).unwrap_or(u32::MAX) / SLOWEST;
                    let next = (until.deadline() + more).min(Instant::now() + self.limit);
                    until.as_mut().reset(next);
                }
                wrote
            }
            Poll::Pending => {
                self.claim.block(true);
                let limit = self.limit;
                let until = self.until.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
                match until.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
            Poll::Ready(_) => {
                self.claim.block(false);
                self.until = None;
                wrote
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.look(cx, bytes.len(), wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.look(cx, pieces.iter().map(|piece| piece.len()).sum(), wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of a request; until its end it is the client's turn.
pub(crate) struct RequestBody {
    body: Incoming,
    claim: Arc<Claim>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, claim: &Arc<Claim>) -> Self {
        if body.is_end_stream() {
            claim.work();
        } else {
            claim.ask();
        }
        Self { body, claim: claim.clone() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.claim.work();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    /// Nobody waits for the rest.
    fn drop(&mut self) {
        self.claim.work();
    }
}

/// The body of an answer, that of the service or one of the connection's own; after it the client is to send its next request.
pub(super) struct AnswerBody<B> {
    body: Either<B, Full<Bytes>>,
    claim: Arc<Claim>,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: Either<B, Full<Bytes>>, claim: &Arc<Claim>) -> Self {
        Self { body, claim: claim.clone() }
    }
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for AnswerBody<B> {
    fn drop(&mut self) {
        self.claim.ask();
    }
}
