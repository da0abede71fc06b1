//! Signed notes and checkpoints.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(note) = tlog::note::Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = tlog::checkpoint::Checkpoint::parse(text);
        let _ = tlog::note::VerifierKey::parse(text);
    }
}
