//! Reading fixed and length-prefixed fields from bytes that may be damaged.

use std::ops::Range;

/// Where a parser stands in a slice. Every read is checked; `None` means the bytes end too early.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The place of the next `length` bytes.
    pub(crate) fn span(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let span = self.at..end;
        self.at = end;
        Some(span)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let span = self.span(length)?;
        self.bytes.get(span)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Whether everything was read.
    pub(crate) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// `u64` of a length or position in memory.
pub(crate) fn to_u64(length: usize) -> u64 {
    // `usize` has at most 64 bits on every platform that has these files
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Position in memory of an offset that was checked against a length in memory.
pub(crate) fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
