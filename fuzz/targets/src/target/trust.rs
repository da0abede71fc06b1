//! What a verifier pins.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = verify::TrustRoots::parse(text);
    }
}
