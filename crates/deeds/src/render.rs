//! Text for people: from the server's JSON to tables and pages. Pure: a value and a width give a string.
//!
//! Whatever comes from outside goes through [`text::safe`], so that no tool name, argument or error can repaint a
//! terminal or pass for something else.

pub(crate) mod allowed;
pub(crate) mod authority;
mod beside;
mod chain;
pub(crate) mod definitions;
pub(crate) mod delegations;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod doubt;
pub(crate) mod fact;
pub(crate) mod findings;
pub(crate) mod gaps;
pub(crate) mod halts;
pub(crate) mod identities;
pub(crate) mod init;
pub(crate) mod install;
pub(crate) mod limits;
pub(crate) mod lists;
pub(crate) mod pin;
pub(crate) mod report;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod tasks;
pub(crate) mod text;
pub(crate) mod trace;
pub(crate) mod tree;

#[cfg(test)]
mod tests;
