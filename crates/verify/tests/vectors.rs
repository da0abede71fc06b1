//! The committed vectors: they are what the catalogue writes, the verifier finds in each what is written beside it, and
//! no byte of a verified one can change unnoticed.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests stop where something impossible was set up"
)]

#[path = "../examples/vectors/catalogue/mod.rs"]
mod catalogue;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use catalogue::Vector;
use evidence::Digest;
use serde_json::{Value, json};
use verify::{Bundle, Code, Report, TrustRoots, Verdict, verify_bundle};

/// Bundles up to this size are flipped byte by byte.
const FLIPPED_MAX_BYTES: usize = 8_192;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/v0")
}

fn trust(vector: &Vector) -> TrustRoots {
    let mut trust = TrustRoots::default();
    for key in &vector.log_keys {
        trust.pin_log(key).expect("a log key");
    }
    for key in &vector.pin_keys {
        trust.pin(key).expect("a thumbprint");
    }
    trust
}

fn found(report: &Report) -> Value {
    let finding = |finding: &verify::Finding| json!({"severity": finding.severity, "code": finding.code, "index": finding.index});
    json!({"verdict": report.verdict, "findings": report.findings.iter().map(finding).collect::<Vec<_>>()})
}

#[test]
fn the_verifier_finds_what_is_expected() {
    for vector in catalogue::all() {
        let expected: Value = serde_json::from_str(&vector.expectation()).unwrap();
        let report = verify_bundle(&vector.bundle, &trust(&vector));
        assert_eq!(found(&report), expected["expect"], "{}: {:#?}", vector.name, report.findings);
        assert_eq!(report.verdict.as_str(), vector.verdict, "{}", vector.name);
    }
}

#[test]
fn the_committed_files_are_what_the_catalogue_writes() {
    let mut expected = BTreeSet::new();
    for vector in catalogue::all() {
        for (ending, bytes) in [("deeds", vector.bundle.clone()), ("json", vector.expectation().into_bytes())]
        {
            let name = format!("{}.{ending}", vector.name);
            let committed = fs::read(dir().join(&name)).unwrap_or_default();
            assert!(committed == bytes, "{name} differs: cargo run -p verify --example vectors");
            assert!(expected.insert(name), "two vectors are called {}", vector.name);
        }
    }
    let committed = fs::read_dir(dir()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(committed.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn every_code_is_in_a_vector_where_nothing_else_is_wrong() {
    let mut alone = BTreeSet::new();
    for vector in catalogue::all() {
        let report = verify_bundle(&vector.bundle, &trust(&vector));
        let error = |finding: &&verify::Finding| finding.severity == verify::Severity::Error;
        let errors: Vec<Code> = report.findings.iter().filter(error).map(|finding| finding.code).collect();
        match errors.as_slice() {
            [] => alone.extend(report.findings.iter().map(|finding| finding.code)),
            [code] => drop(alone.insert(*code)),
            _ => {}
        }
    }
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !alone.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn readable_vectors_encode_to_the_bytes_they_were_read_from() {
    let mut read = 0;
    for vector in catalogue::all() {
        if let Ok(bundle) = Bundle::decode(&vector.bundle) {
            assert_eq!(bundle.encode(), vector.bundle, "{}", vector.name);
            read += 1;
        }
    }
    assert!(read > 45);
}

#[test]
fn no_byte_of_a_verified_bundle_changes_unnoticed() {
    let small: Vec<Vector> = catalogue::all()
        .into_iter()
        .filter(|vector| vector.verdict == "verified" && vector.bundle.len() <= FLIPPED_MAX_BYTES)
        .collect();
    assert!(small.iter().any(|vector| vector.name == "action-pinned"));
    thread::scope(|scope| {
        for vector in &small {
            scope.spawn(|| flip_all(vector));
        }
    });
}

fn flip_all(vector: &Vector) {
    let trust = trust(vector);
    for at in 0..vector.bundle.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = vector.bundle.clone();
            bytes[at] ^= bit;
            assert_ne!(
                verify_bundle(&bytes, &trust).verdict,
                Verdict::Verified,
                "{} byte {at} ^ {bit:#x}",
                vector.name
            );
            let content = bytes.len() - 32;
            if at < content {
                let digest = Digest::of(&bytes[..content]).0;
                bytes[content..].copy_from_slice(&digest);
                let verdict = verify_bundle(&bytes, &trust).verdict;
                assert_ne!(
                    verdict,
                    Verdict::Verified,
                    "{} byte {at} ^ {bit:#x}, digest recomputed",
                    vector.name
                );
            }
        }
    }
}
