//! What decodes as an entry encodes to the same bytes.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(entry) = evidence::Entry::decode(data) {
        assert_eq!(entry.encode(), data);
    }
}
