//! Signed objects are parsed before any key is known.

use evidence::jws::{self, Signed};

/// Takes one input.
pub fn input(data: &[u8]) {
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
}
