//! Wiring: the MCP clients on this machine, and `deeds wrap` before the commands of their servers.
//!
//! ```text
//! places ─▶ look ─▶ entries (jsonc, toml) ─▶ plan (edit, splice, diff) ─▶ replace, and `wired.json` to take it back
//! ```
//!
//! A configuration belongs to its client and to whoever wrote it: it is edited in the text, at the places where the
//! command and the arguments of a server stand, and everything else stays byte for byte.

mod alias;
mod apply;
mod diff;
mod edit;
mod entries;
mod jsonc;
mod look;
mod places;
mod plan;
mod record;
mod replace;
mod splice;
mod undo;
mod watch;

pub(crate) use apply::{apply, write_own};
pub(crate) use look::{Looked, Seen, look};
pub(crate) use places::{Client, Place, all as places};
pub(crate) use plan::{FilePlan, Program, ServerPlan, ServerState, plan};
pub(crate) use record::Records;
pub(crate) use replace::replace;
pub(crate) use undo::{How, undo};
pub(crate) use watch::{Now, Watched, now_of_all, watched, watched_path};
