//! Splits a byte stream into lines, keeping their bytes and never more than [`FRAME_MAX`] of them.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::limits::FRAME_MAX;

/// What the stream gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its newline. The last one may have had none.
    Complete(Vec<u8>),
    /// A line longer than [`FRAME_MAX`]; told as soon as that is known, the rest is skipped.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader<R> {
    source: BufReader<R>,
    line: Vec<u8>,
    skipping: bool,
    max: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads frames of at most [`FRAME_MAX`] bytes.
    pub fn new(source: R) -> Self {
        Self::with_max(source, FRAME_MAX)
    }

    fn with_max(source: R, max: usize) -> Self {
        Self { source: BufReader::with_capacity(64 * 1_024, source), line: Vec::new(), skipping: false, max }
    }

    /// The next line that is not blank; nothing at the end of the stream. Safe to cancel: what was read of a
    /// line is kept for the next call.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.source.fill_buf().await?;
            if chunk.is_empty() {
                let last = core::mem::take(&mut self.line);
                return Ok(if is_blank(&last) { None } else { Some(Line::Complete(last)) });
            }
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..newline.unwrap_or(chunk.len())).unwrap_or_default();
            let used = part.len() + usize::from(newline.is_some());
            let too_long = !self.skipping && self.line.len() + part.len() > self.max;
            if !self.skipping && !too_long {
                self.line.extend_from_slice(part);
            }
            self.source.consume(used);
            if too_long {
                self.line = Vec::new();
                self.skipping = newline.is_none();
                return Ok(Some(Line::TooLong));
            }
            if newline.is_some() {
                let was_skipping = core::mem::take(&mut self.skipping);
                let line = core::mem::take(&mut self.line);
                if !was_skipping && !is_blank(&line) {
                    return Ok(Some(Line::Complete(line)));
                }
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn lines(bytes: &[u8], max: usize) -> Vec<Line> {
        let mut reader = LineReader::with_max(bytes, max);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(line);
        }
        lines
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
        assert_eq!(lines(b"123456789\nok\n", 8).await, [Line::TooLong, complete("ok")]);
        assert_eq!(lines(b"123456789", 8).await, [Line::TooLong]);
    }

    #[tokio::test]
    async fn a_line_of_the_whole_limit_is_read_and_one_byte_more_is_not() {
        let long = vec![b'x'; FRAME_MAX + 1];
        assert_eq!(lines(&long[..FRAME_MAX], FRAME_MAX).await, [Line::Complete(long[..FRAME_MAX].to_vec())]);
        assert_eq!(lines(&long, FRAME_MAX).await, [Line::TooLong]);
    }

    #[tokio::test]
    async fn a_long_line_is_told_before_its_end_and_not_kept() {
        let (mut ours, theirs) = tokio::io::duplex(1_024);
        let mut reader = LineReader::with_max(theirs, 8);
        tokio::io::AsyncWriteExt::write_all(&mut ours, b"123456789").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(Line::TooLong));
        assert_eq!(reader.line.capacity(), 0);
        tokio::io::AsyncWriteExt::write_all(&mut ours, b"more of it\nok\n").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(complete("ok")));
    }

    proptest! {
        #[test]
        fn any_bytes_come_out_as_split_at_newlines(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(lines(&bytes, 20));
            let expected: Vec<Line> = bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !is_blank(line) || line.len() > 20)
                .map(|line| if line.len() > 20 { Line::TooLong } else { Line::Complete(line.to_vec()) })
                .collect();
            prop_assert_eq!(got, expected);
        }
    }
}
