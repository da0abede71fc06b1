//! Where actions are seen: the MCP proxy behind `deeds wrap`, and the client of the server's API.
//!
//! Nothing here decides and nothing here writes to the log: each source maps its protocol to calls of the
//! server's API (`docs/api.md`), whose wire types are in [`api`] and whose client is [`client::Client`].

#![forbid(unsafe_code)]

pub mod api;
pub mod client;
pub mod command;
pub mod files;
pub mod limits;
pub mod mcp;
pub mod run;
