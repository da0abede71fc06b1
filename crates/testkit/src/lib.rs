//! For tests only: a clock moved by hand, randomness from a seed, and a log built in memory.
//!
//! Everything is a function of its seed, so a test that fails once fails always, and the committed vectors can be
//! written again byte for byte. Nothing here may be used by a product: its keys are public.
//!
//! [`LogBuilder`] writes entries as `docs/format.md` says, but takes orders: any part of an entry can be replaced
//! before it is appended, and any part of a [`Parts`] bundle before it is encoded. It shares no code with `verify`,
//! so that a misreading of the format in one of them shows.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that sets up something impossible should stop there"
)]

mod authority;
mod clock;
mod log;
mod orders;
mod parts;
mod program;
mod random;
mod story;

pub use authority::source_under;
pub use clock::HandClock;
pub use ed25519_dalek::SigningKey;
pub use log::{Draft, LogBuilder, Written};
pub use parts::{PartField, PartItem, Parts};
pub use program::copy_program;
pub use random::{SeededRandom, signing_key};
pub use story::{
    Call, Person, TestRun, named, policy_digest, resigned, signed_text, source_of, token_digest,
};
