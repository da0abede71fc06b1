//! base64url without padding (RFC 4648 §5), strict: no padding, no white space, zero trailing bits.

use base64ct::{Base64UrlUnpadded, Encoding as _};

/// Encodes without padding.
pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Decodes; nothing where the text is not the one canonical encoding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok()?;
    // the one spelling of these bytes, or two texts would name one token
    (encode(&bytes) == text).then_some(bytes)
}

/// Decodes exactly 32 bytes.
pub fn decode_32(text: &str) -> Option<[u8; 32]> {
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_decodes() {
        assert_eq!(decode("AA").as_deref(), Some(&[0][..]));
        for wrong in ["AB", "AA==", "A", " AA", "AA\n", "+/"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
        assert_eq!(decode("").as_deref(), Some(&[][..]));
    }
}
