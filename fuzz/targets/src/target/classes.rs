//! The class table of a policy directory.

use policy::{CLASSES_FILE, PolicyFile, PolicySet};

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        let file = |path: &str, text: &str| PolicyFile { path: path.into(), text: text.to_owned() };
        // without a policy beside it the table would not be looked at
        let policy = file("fuzz.cedar", "@id(\"all\") permit (principal, action, resource);\n");
        let _ = PolicySet::from_files(vec![policy, file(CLASSES_FILE, text)]);
    }
}
