//! What decodes as an entry encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = evidence::Entry::decode(data) {
        assert_eq!(entry.encode(), data);
    }
});
