//! Text for people: from the server's JSON to tables and pages. Pure: a value and a width give a string.
//!
//! Whatever comes from outside goes through [`text::safe`], so that no tool name, argument or error can repaint a
//! terminal or pass for something else.

pub(crate) mod authority;
pub(crate) mod describe;
pub(crate) mod fact;
pub(crate) mod lists;
pub(crate) mod report;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod tree;

#[cfg(test)]
mod tests;
