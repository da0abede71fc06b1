//! Writes `vectors/v0/`: bundles good and tampered with, and what a verifier has to find in each.
//!
//! `cargo run -p verify --example vectors`. The same bytes come out on every machine; a test compares them with the
//! committed files. Expectations are written by hand beside each bundle, never taken from the verifier.

mod catalogue;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

fn main() -> io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/v0");
    fs::create_dir_all(&dir)?;
    let vectors = catalogue::all();
    for vector in &vectors {
        fs::write(dir.join(format!("{}.deeds", vector.name)), &vector.bundle)?;
        fs::write(dir.join(format!("{}.json", vector.name)), vector.expectation())?;
    }
    writeln!(io::stdout(), "{} vectors in {}", vectors.len(), dir.display())
}
