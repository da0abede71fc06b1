//! The server's API (`docs/api.md`): JSON under `/v1` and the log's static files under `/log`, over a Unix socket.
//!
//! Nothing here decides and nothing here writes: routes turn requests into calls of the recorder, the index and the
//! report, and their answers into JSON. [`serve_unix`] owns the connections, [`router`] the paths.

#![forbid(unsafe_code)]

mod arrival;
mod connection;
mod extract;
pub mod limits;
mod owners;
mod problem;
mod process;
mod routes;
mod state;
mod stream;

pub use connection::serve_unix;
pub use limits::Limits;
pub use problem::{Code, Problem};
pub use routes::router;
pub use state::{About, Activate, Activation, AppState, Parts, Shutdown};
