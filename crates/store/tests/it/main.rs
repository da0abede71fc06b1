//! The store on real files, with real syncs and real processes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "lints excuse tests, but not the functions that tests in `tests/` share"
)]

mod append;
mod crash;
mod damage;
mod log;
mod process;
mod recovery;
mod tiles;
