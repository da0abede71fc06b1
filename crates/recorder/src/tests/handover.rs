//! Work that is handed over: child runs, announced in the run that they came from.

use super::making::*;
use super::*;

const TEXT: &str = "isolate ws-7, then tell me";

async fn parents(bench: &Bench) -> (Opened, Held) {
    let person = register(bench, "ciso", 11).await;
    let root = bench.issued(&person, 20, |_| {}).await;
    (bench.opened(&root).await, root)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_run_is_announced_with_what_was_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (parent, root) = parents(&bench).await;
    let child = root.narrowed(&bench, 21, |child| child.handoff = Some(TEXT));
    let open = OpenRun { handoff: Some(TEXT.into()), ..under(&child) };
    let run = bench.recorder.open_run(open, PEER).await.unwrap();
    assert_eq!(run.parent, Some(parent.run));
    assert_eq!(bench.field(run.index, "parent"), Some(json!(id::text(&parent.run))));
    let announced = run.renewal.index + 1;
    let (entry, _) = bench.entry(announced);
    assert_eq!((entry.kind(), entry.run, entry.stream), (Some(Kind::ChildStarted), parent.run, 0));
    assert_eq!(entry.causes, [evidence::Cause::Here(bench.entry(run.renewal.index).0.leaf_hash())]);
    let field = |name| bench.field(announced, name);
    assert_eq!(field("child"), Some(json!(id::text(&run.run))));
    assert_eq!(field("delegation"), Some(json!(child.leaf())));
    assert_eq!(field("by"), Some(json!(root.leaf())));
    assert_eq!(field("holder"), Some(json!(run.renewal.holder)));
    assert_eq!(field("handoff"), Some(json!(TEXT)));
    assert_eq!(field("handoff_digest"), Some(json!(Digest::of(TEXT.as_bytes()).to_string())));
    assert_eq!(run.receipts.last().unwrap().index, announced);

    // the parent's manifest lists it, and one that comes later too; an ended child's own says nothing of its parent
    let second = bench.opened(&root.child(&bench, 22)).await;
    assert_eq!(second.parent, Some(parent.run));
    let ended = bench.recorder.end_stream(parent.run, 0, "closed", 0).await.unwrap().index.unwrap();
    let listed = json!([id::text(&run.run), id::text(&second.run)]);
    assert_eq!(bench.field(ended, "children"), Some(listed));
    let childs = bench.recorder.end_stream(run.run, 0, "closed", 0).await.unwrap().index.unwrap();
    assert_eq!(bench.field(childs, "children"), Some(json!([])));

    // once the parent has ended, a run stands alone
    let orphan = bench.opened(&root.child(&bench, 23)).await;
    assert_eq!((orphan.parent, bench.field(orphan.index, "parent")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parent_is_the_run_of_whoever_signed_the_leaf() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (first, root) = parents(&bench).await;
    let middle = root.child(&bench, 21);
    let middle_run = bench.opened(&middle).await;
    assert_eq!(middle_run.parent, Some(first.run));
    // the run of the middle one has the root's entry too, and is no parent of the root's other children
    let sibling = bench.opened(&root.child(&bench, 22)).await;
    assert_eq!(sibling.parent, Some(first.run));
    let below = bench.opened(&middle.child(&bench, 23)).await;
    assert_eq!(below.parent, Some(middle_run.run));
    // of two runs of the delegator the latest, unless one is named
    let second = bench.opened(&root).await;
    assert_eq!(bench.opened(&root.child(&bench, 24)).await.parent, Some(second.run));
    let named = OpenRun { parent: Some(first.run), ..under(&root.child(&bench, 25)) };
    assert_eq!(bench.recorder.open_run(named, PEER).await.unwrap().parent, Some(first.run));
    // a holder of the same name, whose run passed the authority on to itself, is not taken for the delegator
    let same_name = root.narrowed(&bench, 26, |child| child.holder.0 = "agent-20".into());
    let itself = bench.opened(&same_name).await;
    assert_eq!(itself.parent, Some(second.run));
    assert_eq!(bench.opened(&root.child(&bench, 27)).await.parent, Some(second.run));

    for (named, open) in [
        (sibling.run, under(&root.child(&bench, 28))),
        (first.run, under(&middle.child(&bench, 28))),
        (first.run, under(&root)),
        (first.run, open_fs()),
    ] {
        bench.not_opened(OpenRun { parent: Some(named), ..open }, "parent-run").await;
    }
    bench.recorder.end_stream(first.run, 0, "closed", 0).await.unwrap();
    let ended = OpenRun { parent: Some(first.run), ..under(&root.child(&bench, 29)) };
    let refused = bench.recorder.open_run(ended, PEER).await.map(drop);
    assert!(matches!(refused, Err(RecorderError::RunEnded(_))), "{refused:?}");
    let unknown = OpenRun { parent: Some([7; 16]), ..under(&root.child(&bench, 30)) };
    let refused = bench.recorder.open_run(unknown, PEER).await.map(drop);
    assert!(matches!(refused, Err(RecorderError::RunUnknown(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_handed_over_is_the_one_that_was_signed_for() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (_, root) = parents(&bench).await;
    let child = root.narrowed(&bench, 21, |child| child.handoff = Some(TEXT));
    let handed = |held: &Held, text: &str| OpenRun { handoff: Some(text.into()), ..under(held) };
    bench.not_opened(handed(&child, "isolate dc-1"), "handoff").await;
    bench.not_opened(handed(&child, ""), "handoff").await;
    bench.not_opened(handed(&root.child(&bench, 21), TEXT), "handoff").await;
    bench.not_opened(handed(&root, TEXT), "handoff").await;
    bench.not_opened(OpenRun { handoff: Some(TEXT.into()), ..open_fs() }, "handoff").await;
    // without the text its digest stands; so does it for one that is too long to keep
    let run = bench.opened(&child).await;
    let announced = run.renewal.index + 1;
    assert_eq!(bench.field(announced, "handoff"), None);
    assert!(bench.field(announced, "handoff_digest").is_some());
    for (more, kept) in [(0, true), (1, false)] {
        let text = "x".repeat(evidence::limits::VALUE_SEALED_MAX_BYTES + more);
        let child = root.narrowed(&bench, 22, |child| child.handoff = Some(&text));
        let run = bench.recorder.open_run(handed(&child, &text), PEER).await.unwrap();
        assert_eq!(bench.field(run.renewal.index + 1, "handoff").is_some(), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_parent_ends_its_children_are_listed_or_stand_alone() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (parent, root) = parents(&bench).await;
    let children: Vec<_> = (30..50).map(|seed| under(&root.child(&bench, seed))).collect();
    let opening: Vec<_> = children
        .into_iter()
        .map(|open| {
            let recorder = bench.recorder.clone();
            tokio::spawn(async move { recorder.open_run(open, PEER).await.unwrap() })
        })
        .collect();
    let recorder = bench.recorder.clone();
    let ending = tokio::spawn(async move {
        loop {
            match recorder.end_stream(parent.run, 0, "closed", 0).await {
                Err(RecorderError::Busy) => {}
                ended => return ended.unwrap().index.unwrap(),
            }
        }
    });
    let mut announced = std::collections::BTreeSet::new();
    for child in opening {
        let child = child.await.unwrap();
        let said = bench.field(child.index, "parent").is_some();
        assert_eq!(said, child.parent.is_some());
        if said {
            announced.insert(id::text(&child.run));
        }
    }
    let manifest = bench.field(ending.await.unwrap(), "children").unwrap();
    let listed = manifest.as_array().unwrap().iter().map(|child| child.as_str().unwrap().to_owned());
    assert_eq!(listed.collect::<std::collections::BTreeSet<_>>(), announced);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_one_command_in_all_runs_of_a_task() {
    let directory = tempfile::tempdir().unwrap();
    let bench = bench(directory.path()).await;
    let (_, root) = parents(&bench).await;
    let mut other = under(&root.child(&bench, 21));
    other.server.command = vec!["something-else".into()];
    let taken = bench.recorder.open_run(other.clone(), PEER).await.map(drop);
    assert!(matches!(taken, Err(RecorderError::AliasTaken(_))), "{taken:?}");
    other.server.alias = "other".into();
    bench.recorder.open_run(other, PEER).await.unwrap();
    let both = OpenRun { scope: Some(Scope::server("stdio:fs")), ..under(&root.child(&bench, 22)) };
    let both = bench.recorder.open_run(both, PEER).await.map(drop);
    assert!(matches!(both, Err(RecorderError::Invalid(_))), "a chain, or a root that is issued: {both:?}");
}
