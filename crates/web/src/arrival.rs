//! The time that a request takes to arrive, counted from its first byte: a connection may be idle for as long as it
//! likes, but a request that has begun must come to its end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Where the request that is arriving now has got to. Shared by a connection and whoever serves it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival(Arc<Mutex<Stage>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// No byte of a further request is here.
    #[default]
    Between,
    /// The head is arriving, since then.
    Head(Instant),
    /// The head is here; its body has its own time limit.
    Body,
}

impl Arrival {
    /// The head is here: when its first byte was.
    pub(crate) fn head_is_here(&self) -> Instant {
        match std::mem::replace(&mut *self.stage(), Stage::Body) {
            Stage::Head(began) => began,
            // its bytes came together with those of the request before
            Stage::Between | Stage::Body => Instant::now(),
        }
    }

    /// The whole request is here: what comes now belongs to another one.
    pub(crate) fn request_is_here(&self) {
        *self.stage() = Stage::Between;
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose reads fail when the head of a request takes longer than the limit.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    arrival: Arrival,
    limit: Duration,
    /// When the head must be here.
    due: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(crate) fn new(stream: S, arrival: Arrival, limit: Duration) -> Self {
        Self { stream, arrival, limit, due: None }
    }

    /// The first byte of a head starts the clock; no other does.
    fn bytes_came(&mut self) {
        let mut stage = self.arrival.stage();
        if *stage == Stage::Between {
            let began = Instant::now();
            *stage = Stage::Head(began);
            self.due = Some(Box::pin(sleep_until(began + self.limit)));
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let arriving = matches!(*self.arrival.stage(), Stage::Head(_));
        match &mut self.due {
            Some(due) if arriving => due.as_mut().poll(cx).is_ready(),
            _ => false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.bytes_came();
        }
        if polled.is_pending() && this.is_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
