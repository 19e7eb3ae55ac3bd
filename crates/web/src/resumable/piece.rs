//! The body of one request, of which counts what came.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use client::Error;
use futures::Stream;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::error::{Kind, Problem};

/// How a request's body ended.
#[derive(Debug)]
pub(super) enum End {
    Clean,
    /// Another request came.
    Stopped,
    Broken(io::Error),
}

impl End {
    pub(super) fn check(self) -> Result<(), Problem> {
        match self {
            Self::Clean => Ok(()),
            Self::Stopped => Err(Problem::new(
                Kind::Locked,
                "another request goes on with this upload; what came with this one is stored",
            )),
            // A laptop slept, and will hear this when it wakes.
            Self::Broken(error) if error.kind() == io::ErrorKind::TimedOut => Err(Problem::new(
                Kind::Locked,
                format!("{error}; what came is stored: go on when the line is better"),
            )),
            Self::Broken(error) => Err(Error::Read(error).into()),
        }
    }
}

/// A body that ends early rather than to fail: what came of it counts.
#[derive(Debug)]
pub(super) struct Piece<S> {
    body: S,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    end: Arc<Mutex<End>>,
}

impl<S> Piece<S> {
    /// Ends early, too, when it is stopped. How it ended is told at the end.
    pub(super) fn new(body: S, stop: CancellationToken, end: &Arc<Mutex<End>>) -> Self {
        Self {
            body,
            stopped: Box::pin(stop.cancelled_owned()),
            end: Arc::clone(end),
        }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Piece<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            *self.end.lock() = End::Stopped;
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.body).poll_next(context)) {
            Some(Err(error)) => {
                *self.end.lock() = End::Broken(error);
                Poll::Ready(None)
            }
            other => Poll::Ready(other),
        }
    }
}
