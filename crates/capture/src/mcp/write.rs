//! Writing frames: one task owns each output, everyone else queues.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::frame::Id;

/// What is queued for an output.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame, written with a newline after it.
    Frame {
        /// Its exact bytes.
        bytes: Vec<u8>,
        /// The decided call it carries, where it carries one.
        call: Option<Id>,
    },
    /// Nothing comes after what was queued before: the output is closed.
    Close,
}

impl Item {
    /// A frame that is no decided call.
    pub(crate) fn plain(bytes: Vec<u8>) -> Self {
        Self::Frame { bytes, call: None }
    }
}

/// How far the write of a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its first byte is written next.
    Starting,
    /// The write failed before its first byte.
    NothingWritten,
}

/// Writes what is queued until it is closed or broken. `progress` is told about calls, so that it is known of
/// each whether the server may have seen a byte of it.
pub(crate) async fn write_frames<W: AsyncWrite + Unpin>(
    mut queue: mpsc::Receiver<Item>,
    mut sink: W,
    progress: impl Fn(&Id, Progress),
) -> io::Result<()> {
    while let Some(Item::Frame { mut bytes, call }) = queue.recv().await {
        bytes.push(b'\n');
        if let Some(id) = &call {
            progress(id, Progress::Starting);
        }
        let first = match sink.write(&bytes).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        };
        let written = first.inspect_err(|_| {
            if let Some(id) = &call {
                progress(id, Progress::NothingWritten);
            }
        })?;
        sink.write_all(bytes.get(written..).unwrap_or_default()).await?;
        sink.flush().await?;
    }
    sink.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    async fn written(
        items: Vec<Item>,
        room: usize,
        close_reader: bool,
    ) -> (io::Result<()>, Vec<u8>, Vec<Progress>) {
        let (queue, items_out) = mpsc::channel(16);
        for item in items {
            queue.try_send(item).unwrap();
        }
        drop(queue);
        let (sink, mut source) = tokio::io::duplex(room);
        let told = Mutex::new(Vec::new());
        if close_reader {
            drop(source);
            let result =
                write_frames(items_out, sink, |_, progress| told.lock().unwrap().push(progress)).await;
            return (result, Vec::new(), told.into_inner().unwrap());
        }
        let mut bytes = Vec::new();
        let (result, _) = tokio::join!(
            write_frames(items_out, sink, |_, progress| told.lock().unwrap().push(progress)),
            tokio::io::AsyncReadExt::read_to_end(&mut source, &mut bytes),
        );
        (result, bytes, told.into_inner().unwrap())
    }

    #[tokio::test]
    async fn frames_are_lines_and_nothing_follows_a_close() {
        let items = vec![
            Item::plain(b"a".to_vec()),
            Item::Frame { bytes: b"call".to_vec(), call: Some(Id::Number(1)) },
            Item::Close,
            Item::plain(b"late".to_vec()),
        ];
        let (result, bytes, told) = written(items, 3, false).await;
        assert!(result.is_ok());
        assert_eq!(bytes, b"a\ncall\n");
        assert_eq!(told, [Progress::Starting]);
    }

    #[tokio::test]
    async fn a_write_that_fails_at_once_is_known_to_have_carried_nothing() {
        let items = vec![Item::Frame { bytes: b"call".to_vec(), call: Some(Id::Number(1)) }];
        let (result, _, told) = written(items, 3, true).await;
        assert!(result.is_err());
        assert_eq!(told, [Progress::Starting, Progress::NothingWritten]);
    }
}
