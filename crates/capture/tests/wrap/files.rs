//! `deeds wrap --files`: the files that a call names, before it and after its answer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use capture::files::file_uri;
use capture::limits::{CALL_FILE_BYTES_MAX, CALL_FILES_MAX};
use evidence::Digest;
use serde_json::{Value, json};

use crate::support::wrapped::Wrapped;

/// A wrap that looks at files, and a directory that relative paths start from.
fn start() -> (Wrapped, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    let wrapped = Wrapped::start_with(&[], |options| {
        options.files = true;
        options.root_dir = Some(root.display().to_string());
    });
    (wrapped, dir, root)
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

#[tokio::test]
async fn what_a_call_changes_is_in_its_outcome_before_the_answer_is_relayed() {
    let (mut wrapped, _dir, root) = start();
    let path = root.join("a");
    let uri = file_uri(&path);
    wrapped.call(1, "write", &json!({"path": path, "content": "one"})).await;
    assert_eq!(wrapped.next().await["id"], 1);
    wrapped.call(2, "write", &json!({"path": path, "content": "two"})).await;
    assert_eq!(wrapped.next().await["id"], 2);
    wrapped.call(3, "echo", &json!({"path": "a"})).await;
    assert_eq!(wrapped.next().await["id"], 3);
    let (begins, finishes) = (wrapped.api.bodies("begin"), wrapped.api.bodies("finish"));
    let one = json!({"uri": uri, "digest": digest("one"), "size": 3});
    let two = json!({"uri": uri, "digest": digest("two"), "size": 3});
    let inputs: Vec<&Value> = begins.iter().map(|begin| &begin["inputs"]).collect();
    assert_eq!(inputs, [&Value::Null, &json!([one]), &json!([two])]);
    let with = |artifact: &Value, more: Value| {
        let mut artifact = artifact.clone();
        artifact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([artifact])
    };
    let outputs: Vec<&Value> = finishes.iter().map(|finish| &finish["body"]["outputs"]).collect();
    let created = with(&one, json!({"change": "created"}));
    let modified = with(&two, json!({"change": "modified", "before": digest("one")}));
    assert_eq!(outputs, [&created, &modified, &Value::Null]);
}

#[tokio::test]
async fn without_the_option_no_file_is_looked_at() {
    let mut wrapped = Wrapped::start();
    let path = wrapped.dir.path().join("a");
    wrapped.call(1, "write", &json!({"path": path, "content": "one"})).await;
    wrapped.next().await;
    let finish = wrapped.api.nth("finish", 0).await;
    assert_eq!(
        (&wrapped.api.nth("begin", 0).await["inputs"], &finish["body"]["outputs"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_server_that_dies_has_changed_what_it_has_changed() {
    let (mut wrapped, _dir, root) = start();
    fs::write(root.join("a"), "one").unwrap();
    wrapped.call(1, "remove_and_exit", &json!({"path": root.join("a")})).await;
    wrapped.ended().await;
    let finish = wrapped.api.nth("finish", 0).await["body"].clone();
    assert_eq!(finish["status"], "unknown");
    let gone = json!({"uri": file_uri(&root.join("a")), "change": "deleted", "before": digest("one")});
    assert_eq!(finish["outputs"], json!([gone]));
}

#[tokio::test]
async fn only_regular_files_within_the_limits_are_read() {
    let (mut wrapped, _dir, root) = start();
    let large = fs::File::create(root.join("large")).unwrap();
    large.set_len(CALL_FILE_BYTES_MAX + 1).unwrap();
    fs::File::create(root.join("fits")).unwrap().set_len(CALL_FILE_BYTES_MAX).unwrap();
    fs::write(root.join("real"), "one").unwrap();
    symlink("real", root.join("link")).unwrap();
    let pipe = root.join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    wrapped
        .call(1, "echo", &json!({"paths": ["large", "fits", "link", "pipe", ".", "none", "/dev/null"]}))
        .await;
    wrapped.next().await;
    let inputs = wrapped.api.nth("begin", 0).await["inputs"].clone();
    let sizes: Vec<(Value, bool, Value)> = inputs
        .as_array()
        .unwrap()
        .iter()
        .map(|input| (input["uri"].clone(), input["digest"].is_string(), input["size"].clone()))
        .collect();
    let uri = |name: &str| Value::from(file_uri(&root.join(name)));
    let expected = [
        (uri("large"), false, Value::Null),
        (uri("fits"), true, CALL_FILE_BYTES_MAX.into()),
        // as the server would open it
        (uri("link"), true, 3.into()),
    ];
    assert_eq!(sizes, expected);
}

#[tokio::test]
async fn a_call_that_names_too_many_files_has_the_first_of_them() {
    let (mut wrapped, _dir, root) = start();
    let names: Vec<String> = (0..=CALL_FILES_MAX).map(|n| format!("{n:03}")).collect();
    for name in &names {
        fs::write(root.join(name), "").unwrap();
    }
    for (id, named) in [(1, &names[1..]), (2, &names[..])] {
        wrapped.call(id, "echo", &json!({"paths": named})).await;
        wrapped.next().await;
    }
    let counts: Vec<usize> =
        wrapped.api.bodies("begin").iter().map(|begin| begin["inputs"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [CALL_FILES_MAX, CALL_FILES_MAX]);
    let details: Vec<Value> =
        wrapped.api.bodies("finish").iter().map(|finish| finish["body"]["detail"].clone()).collect();
    assert_eq!(details, [Value::Null, "1 more files that it names were not looked at".into()]);
}
