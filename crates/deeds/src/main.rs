//! The `deeds` binary.
fn main() {}
