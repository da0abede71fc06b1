//! Ids, digests and tool names have one spelling each.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        if let Some(id) = evidence::id::parse(text) {
            assert_eq!(evidence::id::text(&id), text);
        }
        if let Ok(digest) = evidence::Digest::parse(text) {
            assert_eq!(digest.to_string(), text);
        }
        let _ = evidence::tool::split(text);
        let _ = policy::normalise_path(text, Some("/root"));
    }
}
