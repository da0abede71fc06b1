//! Canonical JSON is a fixed point.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(value) = evidence::json::parse_i_json(data) {
        let once = evidence::json::jcs(&value);
        let again = evidence::json::parse(&once).expect("canonical JSON parses");
        assert_eq!(evidence::json::jcs(&again), once);
    }
}
