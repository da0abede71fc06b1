//! Signed objects are parsed before any key is known.
#![no_main]

use evidence::jws::{self, Signed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data) {
        for typ in [
            jws::DELEGATION,
            jws::ROOT_REQUEST,
            jws::POP,
            jws::MANDATE,
            jws::REVOCATION,
            jws::HALT,
            jws::KEY_PROOF,
        ] {
            let _ = Signed::parse(text, typ);
        }
    }
});
