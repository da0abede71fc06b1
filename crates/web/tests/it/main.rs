//! The API over a real recorder, a real index and a real Unix socket.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "lints excuse tests, but not the functions that tests in `tests/` share"
)]

mod acts;
mod answers;
mod limits;
mod many;
mod problems;
mod stop;
mod support;
