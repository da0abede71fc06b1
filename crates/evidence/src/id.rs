//! 16-byte identifiers (UUIDs) and their text form: lower case, hyphenated.

use uuid::{Builder, Uuid};

/// The bytes of a UUID.
pub type Id = [u8; 16];

/// The run of log-level entries.
pub const LOG_LEVEL: Id = [0; 16];

/// A UUIDv7 from a time in ms and 10 random bytes (RFC 9562 §5.7).
pub fn uuid_v7(time_ms: u64, random: &[u8; 10]) -> Id {
    *Builder::from_unix_timestamp_millis(time_ms, random).into_uuid().as_bytes()
}

/// Lower-case, hyphenated text.
pub fn text(id: &Id) -> String {
    Uuid::from_bytes(*id).hyphenated().to_string()
}

/// Parses lower-case, hyphenated text; nothing for any other spelling.
pub fn parse(text: &str) -> Option<Id> {
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().to_string() == text).then(|| *id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        let id = uuid_v7(1_767_225_600_000, &[7; 10]);
        let spelled = text(&id);
        assert_eq!(parse(&spelled), Some(id));
        assert_eq!(id[6] >> 4, 7);
        assert_eq!(parse(&spelled.to_uppercase()), None);
        assert_eq!(parse(&spelled.replace('-', "")), None);
    }
}
