//! The nouns of deeds, their canonical bytes, digests and signatures.
//!
//! Nothing here does I/O, reads a clock or draws randomness: the same arguments give the same bytes on any
//! day. The byte layout is specified in `docs/format.md`; module names follow its sections.

#![forbid(unsafe_code)]

pub mod artifact;
pub mod base64url;
#[cfg(not(target_family = "wasm"))]
pub mod body;
pub mod cbor;
mod decimal;
pub mod definition;
pub mod delegation;
pub mod digest;
pub mod entry;
pub mod field;
pub mod id;
pub mod json;
pub mod jws;
pub mod kind;
pub mod label;
pub mod limits;
pub mod outcome;
pub mod principal;
pub mod scope;
pub mod span;
#[cfg(test)]
mod testing;
pub mod tool;

pub use digest::Digest;
pub use entry::{Cause, Entry, EntryError};
pub use field::{Field, FieldSet};
pub use kind::{Kind, Vantage};
pub use outcome::{Status, Verdict};
pub use principal::{Holder, Principal};
pub use scope::Scope;
