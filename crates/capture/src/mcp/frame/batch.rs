//! A JSON-RPC batch, which one revision of MCP has (2025-03-26): several messages in one line.

use serde_json::value::RawValue;

use super::{Flaw, not_utf8, wrong};
use crate::limits::BATCH_MAX;

/// Whether a line is a batch, if it is anything.
pub(crate) fn is_batch(line: &[u8]) -> bool {
    line.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// The exact bytes of each of its messages. The whole must be strict JSON; what each message is is not looked at.
pub(crate) fn elements(line: &[u8]) -> Result<Vec<Vec<u8>>, Flaw> {
    let text = core::str::from_utf8(line).map_err(|error| not_utf8(&error))?;
    evidence::json::parse(line).map_err(|error| Flaw::NotJson(error.to_string()))?;
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| wrong("it is not an array"))?;
    match elements.len() {
        0 => Err(wrong("a batch without a message")),
        count if count > BATCH_MAX => {
            Err(wrong(&format!("a batch of {count} messages, more than the {BATCH_MAX} allowed")))
        }
        _ => Ok(elements.into_iter().map(|element| element.get().as_bytes().to_vec()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_bytes() {
        let line = br#" [{"a": 1.0} ,{"b":"]"}, 7]"#;
        assert!(is_batch(line));
        assert_eq!(elements(line).unwrap(), [&br#"{"a": 1.0}"#[..], br#"{"b":"]"}"#, b"7"]);
        assert!(!is_batch(br#"{"a":[1]}"#) && !is_batch(b"  "));
    }

    #[test]
    fn what_is_no_acceptable_batch_is_refused() {
        for wrong in [&b"[]"[..], b"{}", b"[1", b"[1] 2", br#"[{"a":1,"a":2}]"#, b"[\"\xff\"]"] {
            assert!(elements(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        let many = |count: usize| elements(format!("[{}]", vec!["{}"; count].join(",")).as_bytes());
        assert_eq!(many(BATCH_MAX).unwrap().len(), BATCH_MAX);
        assert!(many(BATCH_MAX + 1).is_err());
    }
}
