//! Paths of the log's static files.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(resource) = tlog::tile::Resource::parse(text)
    {
        assert_eq!(resource.path(), text);
    }
    let _ = tlog::tile::decode_bundle(data, 256);
}
