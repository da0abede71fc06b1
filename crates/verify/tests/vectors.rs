//! The committed vectors: they are what the catalogue writes, the verifier finds in each what is written beside it, and
//! no byte of a verified one can change unnoticed.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "the cases are tables, and helpers of tests stop where something impossible was set up"
)]

#[path = "../examples/vectors/catalogue/mod.rs"]
mod catalogue;
#[path = "../examples/vectors/delegation/mod.rs"]
mod delegation;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use catalogue::Vector;
use evidence::Digest;
use serde_json::{Value, json};
use verify::{Bundle, Code, Report, TrustRoots, Verdict, verify_bundle};

/// Bundles up to this size are flipped byte by byte, and one about an action.
const FLIPPED_MAX_BYTES: usize = 4_096;
const FLIPPED_ACTION: &str = "action-pinned";

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
    assert_eq!(committed(&dir()), expected);
}

/// Names of the files in a directory.
fn committed(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir).expect("the vectors").map(|file| file.expect("a file"));
    let files = files.filter(|file| file.file_type().expect("a type").is_file());
    files.map(|file| file.file_name().into_string().expect("a name")).collect()
}

#[test]
fn the_committed_chains_are_what_the_catalogue_writes() {
    let dir = dir().join("delegation");
    let mut expected = BTreeSet::new();
    for case in delegation::all() {
        let name = format!("{}.json", case.name);
        let committed = fs::read_to_string(dir.join(&name)).unwrap_or_default();
        assert!(committed == case.text(), "{name} differs: cargo run -p verify --example vectors");
        assert!(expected.insert(name), "two chains are called {}", case.name);
    }
    assert_eq!(committed(&dir), expected);
    assert!(expected.len() >= 70);
}

#[test]
fn the_verifier_judges_every_committed_chain_as_expected() {
    let dir = dir().join("delegation");
    let mut wrong = Vec::new();
    let names = committed(&dir);
    assert!(names.len() >= 70);
    for name in names {
        let text = fs::read(dir.join(&name)).unwrap();
        let case: Value = evidence::json::parse(&text).unwrap();
        let found = judged::expectation(&case);
        if found != case["expect"] {
            wrong.push(format!("{name}: {found}, expected {}", case["expect"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
    // what is said of arguments in a bundle is `scope`: the step has a name of its own only where an act is refused
    let refused = |case: &delegation::Case| case.json["expect"]["step"] == Code::Arguments.name();
    assert!(delegation::all().iter().any(refused));
    alone.insert(Code::Arguments);
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
        .filter(|vector| vector.verdict == "verified")
        .filter(|vector| vector.bundle.len() <= FLIPPED_MAX_BYTES || vector.name == FLIPPED_ACTION)
        .collect();
    assert!(small.len() > 5 && small.iter().any(|vector| vector.name == FLIPPED_ACTION));
    thread::scope(|scope| {
        for vector in &small {
            scope.spawn(|| flip_all(vector));
        }
    });
}

/// The check of format §11: the chain, then the act, without the counter.
mod judged {
    use evidence::delegation::{On, Target, What};
    use evidence::jws::Jwk;
    use evidence::{id, json};
    use serde_json::{Value, json};
    use verify::Code;
    use verify::chain::{self, Act, Anchor, Chain, Failure, Known};
    use verify::orders::Orders;

    /// What a case should expect, in the form of its file.
    pub(super) fn expectation(case: &Value) -> Value {
        match judge(case) {
            Ok(chain) => json!({"allowed": true, "notes": notes(&chain)}),
            Err(failure) => json!({"allowed": false, "step": failure.step}),
        }
    }

    fn notes(chain: &Chain) -> Vec<Code> {
        let shared = chain.shares_key().then_some(Code::KeyReused);
        let broken = (chain.root().purpose == "break-glass").then_some(Code::BreakGlass);
        shared.into_iter().chain(broken).collect()
    }

    fn judge(case: &Value) -> Result<Chain, Failure> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let list = |name: &str| case[name].as_array().expect("an array").clone();
        let key = Jwk::parse(&case["issuer_key"]).expect("a key");
        let anchor =
            Anchor { issuer: &text(&case["issuer"]), issuer_key: &key, tenant: &text(&case["tenant"]) };
        let tokens: Vec<String> = list("chain").iter().map(text).collect();
        let registered: Vec<String> = list("registered").iter().map(text).collect();
        let orders = orders(&list("revocations"), &list("halts"));
        let known = Known {
            registered: &|kid| registered.iter().any(|known| known == kid),
            owner: &|_| None,
            orders: &orders,
            root_logged_s: case["root_logged_at"].as_u64(),
        };
        let at_s = case["at"].as_u64().expect("a time");
        let act = &case["act"];
        let (tool, pop) = (text(&act["tool"]), text(&act["pop"]));

        let chain = chain::chain(&tokens, &anchor)?;
        chain::signed_proof(&chain, &pop)?;
        chain::in_force(&chain, at_s, &known)?;
        let Ok(Value::Object(args)) = json::parse_i_json(text(&act["args"]).as_bytes()) else {
            return Err(Failure { step: Code::Arguments, text: String::new() });
        };
        let wanted = Act {
            tool: &tool,
            args: Some(&args),
            args_digest: &evidence::delegation::args_digest(&args),
            act_id: id::parse(&text(&act["act_id"])).expect("an id"),
            at_ms: at_s * 1_000,
        };
        chain::act(&chain, &pop, &wanted, &known)?;
        Ok(chain)
    }

    fn orders(revocations: &[Value], halts: &[Value]) -> Orders {
        let mut orders = Orders::default();
        for (index, order) in (0..).zip(revocations) {
            let what = What::parse(order["what"].as_str().expect("a word")).expect("a kind");
            let target = Target::from_json(&order["target"], what).expect("a target");
            orders.revoke(index, what, target, order["eff"].as_u64().expect("a time"));
        }
        for (index, on) in (100..).zip(halts) {
            orders.halt(index, On::from_json(on).expect("somebody"));
        }
        orders
    }
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
