//! The API over a real recorder, a real index and a real Unix socket.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "lints excuse tests, but not the functions that tests in `tests/` share"
)]

mod acts;
mod agent;
mod answers;
mod attempts;
mod chains;
mod limits;
mod many;
mod owners;
mod problems;
mod stop;
mod support;
mod things;
mod wraps;
