//! Answers that come line by line: the lease that never ends, and the two lines of an outcome.

use core::fmt;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Incoming};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connection::{Connection, Pool};
use super::{ClientError, decode};
use crate::api::{EnqueuedLine, Finished, LeaseLine};
use crate::limits::{ANSWER_TIMEOUT, LEASE_SILENCE, LINE_MAX};

/// A held lease: while it lives, the run lives.
#[derive(Debug)]
pub struct Lease {
    lines: Lines,
    _connection: Connection,
}

impl Lease {
    pub(super) fn new(body: Incoming, connection: Connection) -> Self {
        Self { lines: Lines::new(body), _connection: connection }
    }

    /// Waits for the next sign that the lease is held; an error when it is lost.
    pub async fn held(&mut self) -> Result<(), ClientError> {
        let silent = || ClientError::Lost(format!("the lease was silent for {} s", LEASE_SILENCE.as_secs()));
        let line: LeaseLine = timeout(LEASE_SILENCE, self.lines.next()).await.map_err(|_| silent())??;
        if line.lease == "held" {
            Ok(())
        } else {
            Err(ClientError::Lost(format!("the lease is `{}`", line.lease)))
        }
    }
}

/// An outcome that the server has enqueued: its effect is certain, its receipt is to come.
#[derive(Debug)]
pub struct Enqueued {
    lines: Lines,
    connection: Connection,
    pool: Arc<Pool>,
}

impl Enqueued {
    /// Reads the first line.
    pub(super) async fn read(
        body: Incoming,
        connection: Connection,
        pool: Arc<Pool>,
    ) -> Result<Self, ClientError> {
        let mut lines = Lines::new(body);
        let first: EnqueuedLine =
            timeout(ANSWER_TIMEOUT, lines.next()).await.map_err(|_| super::late())??;
        if !first.enqueued {
            return Err(ClientError::Answer("an outcome that is not enqueued".into()));
        }
        Ok(Self { lines, connection, pool })
    }

    /// Waits for the receipt. An error means that the outcome must be sent again with the same event id.
    pub async fn durable(mut self) -> Result<Finished, ClientError> {
        let finished = timeout(ANSWER_TIMEOUT, self.lines.next()).await.map_err(|_| super::late())??;
        if timeout(ANSWER_TIMEOUT, self.lines.ended()).await.unwrap_or(false) {
            self.pool.keep(self.connection);
        }
        Ok(finished)
    }
}

/// The lines of a streamed body.
#[derive(Debug)]
struct Lines<B = Incoming> {
    body: B,
    buffer: Vec<u8>,
}

impl<B> Lines<B>
where
    B: Body<Data = Bytes, Error: fmt::Display> + Unpin,
{
    fn new(body: B) -> Self {
        Self { body, buffer: Vec::new() }
    }

    async fn next<T: DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.buffer.len()) > LINE_MAX {
                return Err(ClientError::Answer(format!("a line of more than {LINE_MAX} bytes")));
            }
            if let Some(end) = end {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return decode(&line);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(ClientError::Lost(error.to_string())),
                None => return Err(ClientError::Lost("its answer ended".into())),
            }
        }
    }

    /// Whether the body ends here, as it should; the connection can be used again then.
    async fn ended(&mut self) -> bool {
        self.buffer.is_empty() && self.body.frame().await.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use serde_json::{Value, json};

    use super::*;

    fn lines(text: &str) -> Lines<Full<Bytes>> {
        Lines::new(Full::new(Bytes::from(text.to_owned())))
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_an_end_before_a_newline_is_a_loss() {
        let mut two = lines("{\"a\":1}\n{\"b\":2}\n");
        assert_eq!(two.next::<Value>().await.unwrap(), json!({"a": 1}));
        assert!(!two.ended().await);
        assert_eq!(two.next::<Value>().await.unwrap(), json!({"b": 2}));
        assert!(two.ended().await);
        let cut = lines("{\"a\":1}").next::<Value>().await.unwrap_err();
        assert!(matches!(cut, ClientError::Lost(_)), "{cut}");
        let other = lines("<html>\n").next::<Value>().await.unwrap_err();
        assert!(matches!(other, ClientError::Answer(_)), "{other}");
    }

    #[tokio::test]
    async fn length_is_limited_at_the_boundary() {
        let line = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
        assert!(lines(&format!("{}\n", line(LINE_MAX))).next::<Value>().await.is_ok());
        let error = lines(&format!("{}\n", line(LINE_MAX + 1))).next::<Value>().await.unwrap_err();
        assert!(error.to_string().contains("a line of more than"), "{error}");
    }
}
