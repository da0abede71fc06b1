//! The dependency table: what each crate may use of ours. Dev-dependencies are free.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::root;

const TABLE: &[(&str, &[&str])] = &[
    ("evidence", &["tlog"]),
    ("tlog", &[]),
    ("verify", &["evidence", "tlog"]),
    ("identity", &["evidence", "verify"]),
    ("policy", &["evidence"]),
    ("store", &["tlog"]),
    ("recorder", &["evidence", "verify", "identity", "policy", "store"]),
    ("capture", &["evidence", "recorder"]),
    ("lineage", &["evidence", "verify", "policy", "store"]),
    ("report", &["evidence", "verify", "store", "lineage"]),
    ("web", &["evidence", "recorder", "capture", "store", "lineage", "report"]),
    (
        "deeds",
        &[
            "evidence", "tlog", "verify", "identity", "policy", "store", "recorder", "capture", "lineage",
            "report", "web",
        ],
    ),
    ("testkit", &["evidence", "tlog", "store"]),
    ("tidy", &[]),
];

fn manifests() -> BTreeMap<String, toml::Table> {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    crates
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap();
            (name, text.parse().unwrap())
        })
        .collect()
}

fn used(manifest: &toml::Table) -> BTreeSet<String> {
    let plain = manifest.get("dependencies");
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, target)| target.get("dependencies"));
    plain
        .into_iter()
        .chain(of_targets)
        .filter_map(toml::Value::as_table)
        .flat_map(|t| t.keys().cloned())
        .collect()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let ours: BTreeSet<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    for (name, manifest) in manifests() {
        let (_, allowed) = TABLE.iter().find(|(known, _)| *known == name).unwrap_or_else(|| {
            panic!("the crate `{name}` is not in the dependency table: add it here and to the design")
        });
        for dependency in used(&manifest).iter().filter(|dependency| ours.contains(dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "`{name}` may not use `{dependency}`");
        }
    }
}

#[test]
fn every_crate_is_named_after_its_folder_and_keeps_the_workspace_lints() {
    let manifests = manifests();
    assert_eq!(manifests.len(), TABLE.len(), "each row of the table is a crate");
    for (name, manifest) in manifests {
        assert_eq!(manifest["package"]["name"].as_str(), Some(name.as_str()));
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "`{name}` does not inherit the lints"
        );
    }
}

#[test]
fn versions_stand_in_the_workspace_manifest_alone() {
    for (name, manifest) in manifests() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten();
            for (dependency, value) in dependencies {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherited, "`{name}` gives `{dependency}` a version of its own");
            }
        }
    }
}
