//! Every committed input of every fuzz target, through the same code, without libFuzzer: what was found once is found
//! again by `cargo test`. How inputs get there: `fuzz/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use evidence::base64url;
use fuzz_targets::target::{ALL, Target};

fn fuzz(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(below)
}

fn names(below: &str, extension: &str) -> BTreeSet<String> {
    let names = std::fs::read_dir(fuzz(below))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(extension).map(str::to_owned)).collect()
}

#[test]
fn every_committed_input_passes_its_target() {
    let failed: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> =
            ALL.iter().map(|(name, target)| scope.spawn(|| failures(name, *target))).collect();
        running.into_iter().flat_map(|one| one.join().expect("its panics are caught")).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The lines of a corpus that its target does not take.
fn failures(name: &str, target: Target) -> Vec<String> {
    let path = fuzz("corpus").join(format!("{name}.b64"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!text.is_empty(), "`{}` has an input to begin with", path.display());
    let mut failed = Vec::new();
    for (line, input) in text.lines().enumerate() {
        let bytes = base64url::decode(input).unwrap_or_else(|| panic!("{name}.b64, line {}", line + 1));
        if std::panic::catch_unwind(|| target(&bytes)).is_err() {
            failed.push(format!("fuzz/corpus/{name}.b64, line {}: {input:.200}", line + 1));
        }
    }
    eprintln!("{name}: {} inputs", text.lines().count());
    failed
}

#[test]
fn every_target_has_its_program_and_its_corpus() {
    let known: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("targets/src/target", ".rs"), known, "targets/src/target.rs names every file beside it");
    assert_eq!(names("fuzz_targets", ".rs"), known, "fuzz_targets has a program for each");
    assert_eq!(names("corpus", ".b64"), known, "corpus has a file for each");
    let manifest = std::fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for name in known {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "a [[bin]] for `{name}`");
    }
}
