//! What is fuzzed: a function for each parser that takes bytes from outside, which panics when something that must
//! hold of them does not. `fuzz_targets` runs each under libFuzzer, a test of the workspace on all committed inputs.

pub mod draw;
#[allow(dead_code, reason = "the target for the configuration needs it; the program uses all of it")]
#[rustfmt::skip]
#[path = "../../../crates/deeds/src/environment.rs"]
mod environment;
pub mod target;
