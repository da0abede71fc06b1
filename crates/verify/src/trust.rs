//! What a verifier trusts: log keys by origin, and keys of principals and issuers by thumbprint.

use evidence::base64url;
use tlog::note::{KeyMaterial, NoteError, VerifierKey};

use crate::limits::{TRUST_LOGS_MAX, TRUST_MAX_BYTES, TRUST_PINS_MAX};

/// Why a trust policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// More than [`TRUST_MAX_BYTES`].
    #[error("the trust policy has {0} bytes, more than the {TRUST_MAX_BYTES} allowed")]
    TooLong(usize),
    /// A line that is not understood. Counted from 1.
    #[error("line {line} of the trust policy: {what}")]
    Line {
        /// Which.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// No `quorum` line.
    #[error("the trust policy does not say `quorum none`: add that line (no witness is demanded)")]
    NoQuorum,
    /// Not a thumbprint.
    #[error(
        "`{0}` is not a key thumbprint: expected the 43 base64url characters that `deeds principal list` shows"
    )]
    Thumbprint(String),
    /// More than [`TRUST_PINS_MAX`].
    #[error("more than {TRUST_PINS_MAX} keys are pinned")]
    TooManyPins,
}

/// The keys that a verifier pins; both lists may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustRoots {
    /// Log keys; the name of each is the origin of its log.
    pub log_keys: Vec<VerifierKey>,
    /// RFC 7638 thumbprints of principals' and issuers' keys.
    pub pinned_keys: Vec<String>,
}

impl TrustRoots {
    /// Reads a trust policy (C2SP tlog-policy): `log <vkey> [url]` lines, `#` comments and `quorum none`.
    ///
    /// Witnesses, groups and other quorums are refused: ignoring them would verify less than the file demands.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        if text.len() > TRUST_MAX_BYTES {
            return Err(TrustError::TooLong(text.len()));
        }
        let mut trust = Self::default();
        let mut quorums = 0;
        for (number, line) in (1..).zip(text.split('\n')) {
            let wrong = |what: String| TrustError::Line { line: number, what };
            if line.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
                return Err(wrong("it has a control character".into()));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["log", key] | ["log", key, _] => trust.add_log(key).map_err(wrong)?,
                ["quorum", "none"] if quorums == 0 => quorums += 1,
                ["quorum", "none"] => return Err(wrong("`quorum` stands twice".into())),
                [word @ ("witness" | "group" | "quorum"), ..] => {
                    return Err(wrong(format!(
                        "this version checks no witnesses, so it cannot honour `{word}`: remove it and write \
                         `quorum none`, or use a newer version"
                    )));
                }
                _ => return Err(wrong("expected `log <vkey> [url]`, `quorum none` or a comment".into())),
            }
        }
        if quorums == 1 { Ok(trust) } else { Err(TrustError::NoQuorum) }
    }

    /// Pins the key of a principal or issuer by its thumbprint.
    pub fn pin(&mut self, thumbprint: &str) -> Result<(), TrustError> {
        if base64url::decode_32(thumbprint).is_none() {
            return Err(TrustError::Thumbprint(thumbprint.chars().take(80).collect()));
        }
        if self.pinned_keys.len() >= TRUST_PINS_MAX {
            return Err(TrustError::TooManyPins);
        }
        self.pinned_keys.push(thumbprint.to_owned());
        Ok(())
    }

    /// Pins a log key: a C2SP vkey, Ed25519.
    pub fn pin_log(&mut self, key: &str) -> Result<(), TrustError> {
        self.add_log(key).map_err(|what| TrustError::Line { line: self.log_keys.len() + 1, what })
    }

    /// Whether a key is pinned.
    pub(crate) fn pins(&self, thumbprint: &str) -> bool {
        self.pinned_keys.iter().any(|pinned| pinned == thumbprint)
    }

    fn add_log(&mut self, key: &str) -> Result<(), String> {
        let key = VerifierKey::parse(key).map_err(|error: NoteError| error.to_string())?;
        if !matches!(key.material(), KeyMaterial::Ed25519(_)) {
            return Err(
                "the log key is of a type that this version does not check: pin its Ed25519 key".into()
            );
        }
        if self.log_keys.iter().any(|known| known.material() == key.material()) {
            return Err("the same log key stands twice".into());
        }
        if self.log_keys.len() >= TRUST_LOGS_MAX {
            return Err(format!("more than {TRUST_LOGS_MAX} logs"));
        }
        self.log_keys.push(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::signing_key;

    use super::*;

    fn vkey(n: u16) -> String {
        let key = signing_key(&n.to_string()).verifying_key();
        VerifierKey::ed25519("log.example", key).unwrap().to_string()
    }

    #[test]
    fn a_policy_with_logs_and_no_witnesses_is_read() {
        let text = format!("# ours\n\nlog {}\nlog\t{} https://log.example/\nquorum none\n", vkey(1), vkey(2));
        let trust = TrustRoots::parse(&text).unwrap();
        assert_eq!(trust.log_keys.iter().map(ToString::to_string).collect::<Vec<_>>(), [vkey(1), vkey(2)]);
    }

    #[test]
    fn what_this_version_cannot_honour_is_refused() {
        let refused = |text: &str| TrustRoots::parse(text).unwrap_err().to_string();
        assert!(refused("witness w w+1+A\nquorum w\n").contains("checks no witnesses"));
        assert!(refused("group g all w\nquorum none\n").contains("line 1"));
        assert!(refused("quorum none\nquorum none\n").contains("twice"));
        assert!(refused(&format!("log {}\n", vkey(1))).contains("quorum none"));
        assert!(refused(&format!("log {0}\nlog {0}\nquorum none\n", vkey(1))).contains("line 2"));
        assert!(refused("log nonsense\nquorum none\n").contains("verifier key"));
        assert!(refused("logs x\nquorum none\n").contains("expected"));
        assert!(refused("quorum none\r\n").contains("control character"));
    }

    #[test]
    fn limits_hold_at_and_past_the_boundary() {
        let logs = |n: u16| {
            let lines: Vec<String> = (0..n).map(|i| format!("log {}\n", vkey(i))).collect();
            lines.concat() + "quorum none\n"
        };
        assert!(TrustRoots::parse(&logs(64)).is_ok());
        assert!(TrustRoots::parse(&logs(65)).is_err());
        let padded = |len: usize| format!("quorum none\n#{}", "x".repeat(len - 13));
        assert!(TrustRoots::parse(&padded(TRUST_MAX_BYTES)).is_ok());
        assert_eq!(
            TrustRoots::parse(&padded(TRUST_MAX_BYTES + 1)),
            Err(TrustError::TooLong(TRUST_MAX_BYTES + 1))
        );
        let mut trust = TrustRoots::default();
        let thumbprint = base64url::encode(&[1; 32]);
        for _ in 0..TRUST_PINS_MAX {
            trust.pin(&thumbprint).unwrap();
        }
        assert_eq!(trust.pin(&thumbprint), Err(TrustError::TooManyPins));
        assert!(trust.pin("short").is_err());
    }
}
