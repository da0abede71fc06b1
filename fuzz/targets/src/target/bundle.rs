//! A bundle is whatever somebody sends: judged or called unreadable, never a crash.

/// Takes one input.
pub fn input(data: &[u8]) {
    let report = verify::verify_bundle(data, &verify::TrustRoots::default());
    assert!(!report.findings.is_empty());
    if let Ok(bundle) = verify::Bundle::decode(data) {
        assert_eq!(bundle.encode(), data);
    }
}
