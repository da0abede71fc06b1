//! The API over a real recorder, a real index and a real Unix socket.

mod acts;
mod answers;
mod limits;
mod problems;
mod stop;
mod support;
