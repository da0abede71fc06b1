//! Pins: what differs from the class table is denied before any rule is asked.

use evidence::definition::List;

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Everything is permitted; `read_file` and the server have to be as they were.
async fn pin(bench: &Bench, server: &str) {
    let classes = format!(
        "[[tool]]\nuri = \"stdio:fs#read_file\"\nclasses = [\"read\"]\ndefinition = \"{}\"\npinned = true\n{server}",
        digest("v1")
    );
    let rule = "@id(\"all\") permit (principal, action in Deeds::Action::\"act\", resource);";
    let files = [("all.cedar", rule), ("classes.toml", classes.as_str())];
    let files = files.map(|(path, text)| policy::PolicyFile { path: path.into(), text: text.into() });
    let set = PolicySet::from_files(files.to_vec()).unwrap();
    bench.recorder.activate(Arc::new(set), "test", PEER).await.unwrap();
}

async fn tells(bench: &Bench, run: &Opened, names: &[(&str, &str)]) {
    let names = names.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes))).collect();
    let define = Define { list: List::Server, names, gone: Vec::new(), complete: true, frame_digest: None };
    bench.recorder.define(run.run, run.stream, define).await.unwrap();
}

async fn is_pinned(bench: &Bench, call: Request) -> String {
    let refused = bench.refused(call).await;
    let Reason { code, step, text } = refused.reason;
    assert_eq!((code.as_str(), step.as_str()), ("pinned", "definition-changed"));
    let index = refused.index.unwrap();
    assert_eq!(bench.field(index, "reason").unwrap()["code"], "pinned");
    assert_eq!(bench.field(index, "determining"), None, "no rule was asked");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_not_defined_as_pinned_is_denied() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    pin(&bench, "").await;
    let run = bench.run().await;
    let call = |tool: &str, definition: Option<&str>, counter| Request {
        definition_digest: definition.map(|bytes| digest(bytes).to_string()),
        ..bench.call(&run, tool, &json!({}), counter)
    };
    let text = is_pinned(&bench, call("read_file", None, 0)).await;
    assert!(text.contains("no list has shown it"), "{text}");
    let text = is_pinned(&bench, call("read_file", Some("v2"), 1)).await;
    assert!(text.contains(&digest("v2").to_string()), "{text}");
    bench.allowed(call("read_file", Some("v1"), 2)).await.leased();
    bench.allowed(call("write_file", Some("v2"), 3)).await.leased();
    // what is not authorized is refused for that
    let other = Request { tool: "stdio:fs#write_file".into(), ..call("read_file", Some("v2"), 4) };
    assert_eq!(bench.refused(other).await.reason.step, "pop-binding");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_what_is_pinned_is_denied_whatever_is_asked_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let command = open_fs().server.command_digest();
    let row = format!(
        "[[server]]\nuri = \"stdio:fs\"\ncommand = \"{command}\"\nexecutable = \"{}\"\n",
        digest("program")
    );
    pin(&bench, &row).await;
    let run = bench.run().await;
    let call = |counter| bench.call(&run, "write_file", &json!({}), counter);
    let text = is_pinned(&bench, call(0)).await;
    assert!(text.contains("executable"), "{text}");
    tells(&bench, &run, &[("executable", "other")]).await;
    is_pinned(&bench, call(1)).await;
    let read =
        Request { operation: "resources/read".into(), ..bench.call(&run, "resources/read", &json!({}), 2) };
    is_pinned(&bench, read).await;
    tells(&bench, &run, &[("executable", "program")]).await;
    bench.allowed(call(3)).await.leased();
    // it holds for the run that told it: another one has to say for itself
    let next = bench.run().await;
    is_pinned(&bench, bench.call(&next, "write_file", &json!({}), 4)).await;
    tells(&bench, &next, &[("executable", "program")]).await;
    bench.allowed(bench.call(&next, "write_file", &json!({}), 5)).await.leased();
    // and so has another writer of the same run, whose server is another
    let open = open_fs();
    let server = Server { alias: "mail".into(), ..open.server.clone() };
    let joined = OpenRun { join: Some(next.run), server, ..open };
    let joined = bench.recorder.open_run(joined, PEER).await.unwrap();
    tells(&bench, &joined, &[("executable", "program")]).await;
    let of_first = Request { stream: joined.stream, ..bench.call(&next, "write_file", &json!({}), 6) };
    is_pinned(&bench, of_first).await;
    // another command fails the other pin
    let open = open_fs();
    let server = Server { command: vec!["other".into()], ..open.server.clone() };
    let open = OpenRun { server, client: Client { pid: Some(8), ..open.client.clone() }, ..open };
    let other = bench.recorder.open_run(open, PEER).await.unwrap();
    tells(&bench, &other, &[("executable", "program")]).await;
    let text = is_pinned(&bench, bench.call(&other, "write_file", &json!({}), 7)).await;
    assert!(text.contains("command"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_made_before_the_server_changed_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let row = format!("[[server]]\nuri = \"stdio:fs\"\nexecutable = \"{}\"\n", digest("program"));
    pin(&bench, &row).await;
    let run = bench.run().await;
    tells(&bench, &run, &[("executable", "program")]).await;
    let call = bench.call(&run, "write_file", &json!({}), 0);
    let (view, authorized) = bench.recorder.looked(&call, PEER).unwrap();
    let decision = bench.recorder.decide(&view, &call, &authorized).unwrap();
    assert!(decision.allows());
    let draft = bench.recorder.decided_draft(&view, &call, &authorized, &decision).unwrap();
    tells(&bench, &run, &[("executable", "other")]).await;
    let size = bench.recorder.reader().size();
    let reply = bench.recorder.append(draft).await.unwrap();
    assert!(matches!(reply, Reply::Stale), "{reply:?}");
    assert_eq!(bench.recorder.reader().size(), size, "nothing is permitted on what was so");
    is_pinned(&bench, call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_was_started_with_cannot_be_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let row =
        format!("[[server]]\nuri = \"stdio:fs\"\ncommand = \"{}\"\n", open_fs().server.command_digest());
    pin(&bench, &row).await;
    let open = open_fs();
    let server = Server { command: vec!["other".into()], ..open.server.clone() };
    let run = bench.recorder.open_run(OpenRun { server, ..open }, PEER).await.unwrap();
    is_pinned(&bench, bench.call(&run, "write_file", &json!({}), 0)).await;
    let names = [("command".to_owned(), Digest::parse(&open_fs().server.command_digest()).unwrap())];
    let define = Define {
        list: List::Server,
        names: names.into(),
        gone: Vec::new(),
        complete: true,
        frame_digest: None,
    };
    let told = bench.recorder.define(run.run, 0, define).await;
    assert!(matches!(told, Err(RecorderError::Invalid(_))), "{told:?}");
    is_pinned(&bench, bench.call(&run, "write_file", &json!({}), 1)).await;
}
