//! The class table of a policy directory.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        let file = policy::PolicyFile { path: policy::CLASSES_FILE.into(), text: text.to_owned() };
        let _ = policy::PolicySet::from_files(vec![file]);
    }
}
