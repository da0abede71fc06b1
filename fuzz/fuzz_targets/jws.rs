//! Signed objects are parsed before any key is known.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data) {
        for typ in [evidence::jws::DELEGATION, evidence::jws::ROOT_REQUEST, evidence::jws::POP] {
            let _ = evidence::jws::Signed::parse(text, typ);
        }
    }
});
