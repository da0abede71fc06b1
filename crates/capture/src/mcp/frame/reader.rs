//! Splits a byte stream into lines, keeping their bytes and never more than [`FRAME_MAX`] of them.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::time::timeout;

use super::scan::{Scan, Skipped};
use crate::limits::{FRAME_MAX, FRAME_SILENCE};

/// What the stream gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its newline. The last one may have had none.
    Complete(Vec<u8>),
    /// The end of a line longer than [`FRAME_MAX`], and what was seen of it while it was skipped.
    TooLong(Skipped),
    /// A line has begun and then nothing came for [`FRAME_SILENCE`]. Told once for a line, which may still go on.
    Stalled {
        /// Bytes of it so far.
        bytes: u64,
    },
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader<R> {
    source: BufReader<R>,
    line: Vec<u8>,
    /// Where the line is being skipped.
    scan: Option<Scan>,
    /// Bytes of the line so far.
    bytes: u64,
    stalled: bool,
    max: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads frames of at most [`FRAME_MAX`] bytes.
    pub fn new(source: R) -> Self {
        Self::with_max(source, FRAME_MAX)
    }

    fn with_max(source: R, max: usize) -> Self {
        let source = BufReader::with_capacity(64 * 1_024, source);
        Self { source, line: Vec::new(), scan: None, bytes: 0, stalled: false, max }
    }

    /// The next line that is not blank; nothing at the end of the stream. Safe to cancel: what was read of a
    /// line is kept for the next call.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = if self.bytes > 0 && !self.stalled {
                let Ok(chunk) = timeout(FRAME_SILENCE, self.source.fill_buf()).await else {
                    self.stalled = true;
                    return Ok(Some(Line::Stalled { bytes: self.bytes }));
                };
                chunk?
            } else {
                self.source.fill_buf().await?
            };
            if chunk.is_empty() {
                return Ok(self.finish());
            }
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..newline.unwrap_or(chunk.len())).unwrap_or_default();
            let used = part.len() + usize::from(newline.is_some());
            self.bytes += part.len() as u64;
            match &mut self.scan {
                Some(scan) => scan.take(part),
                None if self.line.len() + part.len() <= self.max => self.line.extend_from_slice(part),
                None => {
                    // from here on the line is only looked at
                    let mut scan = Scan::default();
                    scan.take(&core::mem::take(&mut self.line));
                    scan.take(part);
                    self.scan = Some(scan);
                }
            }
            self.source.consume(used);
            if newline.is_some()
                && let Some(line) = self.finish()
            {
                return Ok(Some(line));
            }
        }
    }

    /// The line has ended.
    fn finish(&mut self) -> Option<Line> {
        (self.bytes, self.stalled) = (0, false);
        let line = core::mem::take(&mut self.line);
        match self.scan.take() {
            Some(scan) => Some(Line::TooLong(scan.end())),
            None if is_blank(&line) => None,
            None => Some(Line::Complete(line)),
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::mcp::Id;

    async fn lines(bytes: &[u8], max: usize) -> Vec<Line> {
        let mut reader = LineReader::with_max(bytes, max);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(line);
        }
        lines
    }

    fn too_long() -> Line {
        Line::TooLong(Skipped::default())
    }

    fn complete(text: &str) -> Line {
        Line::Complete(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_keep_their_bytes_and_blank_ones_are_skipped() {
        let got = lines(b"{\"a\":1}\r\n\n \r\nlast", 16).await;
        assert_eq!(got, [complete("{\"a\":1}\r"), complete("last")]);
    }

    #[tokio::test]
    async fn the_limit_holds_at_the_boundary_and_the_rest_is_skipped() {
        assert_eq!(lines(b"12345678\nok\n", 8).await, [complete("12345678"), complete("ok")]);
        assert_eq!(lines(b"123456789\nok\n", 8).await, [too_long(), complete("ok")]);
        assert_eq!(lines(b"123456789", 8).await, [too_long()]);
    }

    #[tokio::test]
    async fn a_line_of_the_whole_limit_is_read_and_one_byte_more_is_not() {
        let long = vec![b'x'; FRAME_MAX + 1];
        assert_eq!(lines(&long[..FRAME_MAX], FRAME_MAX).await, [Line::Complete(long[..FRAME_MAX].to_vec())]);
        assert_eq!(lines(&long, FRAME_MAX).await, [too_long()]);
    }

    #[tokio::test]
    async fn a_long_line_is_not_kept_and_told_at_its_end_with_what_it_answers() {
        let (mut ours, theirs) = tokio::io::duplex(1_024);
        let mut reader = LineReader::with_max(theirs, 8);
        ours.write_all(b"{\"result\":{},").await.unwrap();
        let told = tokio::time::timeout(Duration::from_millis(1), reader.next()).await;
        assert!(told.is_err(), "it has not ended: {told:?}");
        assert_eq!((reader.line.capacity(), reader.scan.is_some()), (0, true));
        ours.write_all(b"\"id\":7}\nok\n").await.unwrap();
        let Some(Line::TooLong(skipped)) = reader.next().await.unwrap() else { panic!("it is too long") };
        assert_eq!(skipped.answers(), Some(&Id::Number(7)));
        assert_eq!(reader.next().await.unwrap(), Some(complete("ok")));
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_line_and_silence_is_told_once_and_the_line_may_go_on() {
        let (mut ours, theirs) = tokio::io::duplex(1_024);
        let mut reader = LineReader::with_max(theirs, 16);
        let begin = tokio::time::Instant::now();
        ours.write_all(b"whole\nhalf").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(complete("whole")));
        assert_eq!(reader.next().await.unwrap(), Some(Line::Stalled { bytes: 4 }));
        assert_eq!(begin.elapsed().as_secs(), FRAME_SILENCE.as_secs());
        assert!(tokio::time::timeout(10 * FRAME_SILENCE, reader.next()).await.is_err(), "it is told once");
        ours.write_all(b" and half\nnext").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(complete("half and half")));
        assert_eq!(reader.next().await.unwrap(), Some(Line::Stalled { bytes: 4 }));
        drop(ours);
        assert_eq!(reader.next().await.unwrap(), Some(complete("next")));
        assert_eq!(reader.next().await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_last_byte_and_between_lines_not_at_all() {
        let (mut ours, theirs) = tokio::io::duplex(1_024);
        let mut reader = LineReader::with_max(theirs, 4);
        let almost = FRAME_SILENCE.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(tokio::time::timeout(10 * FRAME_SILENCE, reader.next()).await.is_err());
        for _ in 0..8 {
            ours.write_all(b"x").await.unwrap();
            assert!(tokio::time::timeout(almost, reader.next()).await.is_err(), "a byte came in time");
        }
        // a line that is skipped can stall too
        assert_eq!(reader.next().await.unwrap(), Some(Line::Stalled { bytes: 8 }));
    }

    proptest! {
        #[test]
        fn any_bytes_come_out_as_split_at_newlines(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let got = runtime.block_on(lines(&bytes, 20));
            let expected: Vec<Line> = bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !is_blank(line) || line.len() > 20)
                .map(|line| if line.len() > 20 { too_long() } else { Line::Complete(line.to_vec()) })
                .collect();
            prop_assert_eq!(got, expected);
        }
    }
}
