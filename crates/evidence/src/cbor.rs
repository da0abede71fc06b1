//! The deterministic CBOR (RFC 8949 §4.2.1) that entries and bundles are written in.
//!
//! Only what the format uses: unsigned integers, byte and text strings, arrays, and maps with unsigned
//! keys. The decoder accepts exactly what the encoder writes.

/// Why bytes are not the deterministic CBOR expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not deterministic CBOR at byte {offset}: {what}")]
pub struct CborError {
    /// Where, counted from the start of the input.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// Appends items to a buffer.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        let [.., b4, b5, b6, b7] = bytes;
        // the shortest form, as deterministic encoding demands
        match value {
            0..24 => self.0.push(major | b7),
            24..0x100 => self.0.extend([major | 0x18, b7]),
            0x100..0x1_0000 => self.0.extend([major | 0x19, b6, b7]),
            0x1_0000..0x1_0000_0000 => self.0.extend([major | 0x1a, b4, b5, b6, b7]),
            _ => {
                self.0.push(major | 0x1b);
                self.0.extend(bytes);
            }
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value);
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(BYTES, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(TEXT, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// The head of an array of `len` items.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.head(ARRAY, len as u64);
        self
    }

    /// The head of a map of `len` pairs; the caller writes keys in ascending order.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.head(MAP, len as u64);
        self
    }
}

/// What kind of item comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// An unsigned integer.
    Uint,
    /// A byte string.
    Bytes,
    /// A text string.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// Anything else; no decoder method accepts it.
    Other,
}

/// Reads items from a slice, strictly.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// An error at the present position.
    pub fn error(&self, what: &'static str) -> CborError {
        CborError { offset: self.at, what }
    }

    /// Succeeds when every byte has been read.
    pub fn end(&self) -> Result<(), CborError> {
        if self.at == self.input.len() { Ok(()) } else { Err(self.error("bytes after the end")) }
    }

    /// The type of the next item.
    pub fn peek(&self) -> Type {
        match self.input.get(self.at).map(|byte| byte >> 5) {
            Some(UINT) => Type::Uint,
            Some(BYTES) => Type::Bytes,
            Some(TEXT) => Type::Text,
            Some(ARRAY) => Type::Array,
            Some(MAP) => Type::Map,
            _ => Type::Other,
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CborError> {
        let end = self.at.checked_add(len).ok_or_else(|| self.error("a length beyond the input"))?;
        let taken = self.input.get(self.at..end).ok_or_else(|| self.error("a length beyond the input"))?;
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, CborError> {
        let start = self.clone();
        let first = self.take(1)?.first().copied().unwrap_or_default();
        if first >> 5 != major {
            return Err(start.error(expected));
        }
        let info = first & 31;
        let (extra, least) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(start.error("an indefinite or reserved length")),
        };
        let value = self.take(extra)?.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        if value < least {
            return Err(start.error("a number that is not in its shortest form"));
        }
        Ok(value)
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.head(UINT, "expected an unsigned integer")
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head(BYTES, "expected a byte string")?;
        let len = usize::try_from(len).map_err(|_| self.error("a length beyond the input"))?;
        self.take(len)
    }

    /// A byte string of exactly `N` bytes.
    pub fn array_of<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let start = self.clone();
        self.bytes()?.try_into().map_err(|_| start.error("a byte string of another length"))
    }

    /// A text string.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let start = self.clone();
        let len = self.head(TEXT, "expected a text string")?;
        let len = usize::try_from(len).map_err(|_| self.error("a length beyond the input"))?;
        core::str::from_utf8(self.take(len)?).map_err(|_| start.error("text that is not UTF-8"))
    }

    /// The length of an array that starts here; refused where it is more than `max`.
    pub fn array(&mut self, max: usize) -> Result<usize, CborError> {
        let start = self.clone();
        let len = self.head(ARRAY, "expected an array")?;
        usize::try_from(len)
            .ok()
            .filter(|len| *len <= max)
            .ok_or_else(|| start.error("an array that is too long"))
    }

    /// The number of pairs of a map that starts here; refused where it is more than `max`.
    pub fn map(&mut self, max: usize) -> Result<usize, CborError> {
        let start = self.clone();
        let len = self.head(MAP, "expected a map")?;
        usize::try_from(len)
            .ok()
            .filter(|len| *len <= max)
            .ok_or_else(|| start.error("a map that is too long"))
    }

    /// The next map key, which must be greater than `last`.
    pub fn key_after(&mut self, last: Option<u64>) -> Result<u64, CborError> {
        let start = self.clone();
        let key = self.uint()?;
        if last.is_some_and(|last| key <= last) {
            return Err(start.error("map keys that are not ascending"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn longer_forms_of_a_number_are_refused() {
        for wrong in [
            &[0x18, 23][..],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
        ] {
            assert!(Decoder::new(wrong).uint().is_err(), "{wrong:?}");
        }
        for wrong in [0x1c_u8, 0x1f, 0x5f, 0x9f, 0xbf] {
            assert!(Decoder::new(&[wrong]).uint().is_err());
            assert!(Decoder::new(&[wrong]).bytes().is_err());
        }
    }

    #[test]
    fn lengths_beyond_the_input_are_refused() {
        assert!(Decoder::new(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).bytes().is_err());
        assert!(Decoder::new(&[0x42, 0]).bytes().is_err());
        assert!(Decoder::new(&[0x81]).array(0).is_err());
    }

    proptest! {
        #[test]
        fn numbers_round_trip(n in any::<u64>()) {
            let mut encoder = Encoder::new();
            encoder.uint(n).bytes(&n.to_be_bytes()).text("é");
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            prop_assert_eq!(decoder.uint(), Ok(n));
            prop_assert_eq!(decoder.array_of::<8>(), Ok(n.to_be_bytes()));
            prop_assert_eq!(decoder.text(), Ok("é"));
            prop_assert_eq!(decoder.end(), Ok(()));
        }
    }
}
