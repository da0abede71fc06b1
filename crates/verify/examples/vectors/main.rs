//! Writes `vectors/v0/`: bundles good and tampered with, chains and acts under them, and what a verifier has to find in
//! each.
//!
//! `cargo run -p verify --example vectors`. The same bytes come out on every machine; a test compares them with the
//! committed files. Expectations are written by hand beside each case, never taken from the verifier.

#![expect(
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "the cases are tables, and stop where something impossible was set up"
)]

mod catalogue;
mod delegation;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

fn main() -> io::Result<()> {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/v0");
    let chains = bundles.join("delegation");
    fs::create_dir_all(&chains)?;
    let (vectors, cases) = (catalogue::all(), delegation::all());
    for vector in &vectors {
        fs::write(bundles.join(format!("{}.deeds", vector.name)), &vector.bundle)?;
        fs::write(bundles.join(format!("{}.json", vector.name)), vector.expectation())?;
    }
    for case in &cases {
        fs::write(chains.join(format!("{}.json", case.name)), case.text())?;
    }
    let (bundles, chains) = (bundles.display(), chains.display());
    writeln!(io::stdout(), "{} vectors in {bundles}, {} in {chains}", vectors.len(), cases.len())
}
