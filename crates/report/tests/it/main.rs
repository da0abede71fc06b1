//! From a real log on disk to a bundle and back through the verifier.

// lints excuse tests, and what is compiled for tests alone; not every helper that the index is tested with is needed here
#[cfg(test)]
mod chains;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests of `lineage`")]
#[path = "../../../lineage/tests/it/held.rs"]
mod held;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests of `lineage`")]
#[path = "../../../lineage/tests/it/log.rs"]
mod log;
#[cfg(test)]
mod prove;
