//! Step 9: runs of sub-agents, and what the runs that they belong to say of them.

use evidence::{Kind, id};
use serde_json::{Value, json};
use testkit::{Draft, LogBuilder, TestRun};

use super::{Scene, Vector, at, failed, verified};

pub(super) fn vectors() -> Vec<Vector> {
    [shown(), mismatched(), misquoted(), unannounced(), manifests()].into_iter().flatten().collect()
}

/// An agent and a sub-agent whose run is announced: 4 and 5 the parent's run and root, 6 to 8 the child's run, 9 the
/// announcement. Nothing is done, so every finding is about the runs.
struct Family {
    log: LogBuilder,
    parent: TestRun,
    child: TestRun,
}

impl Family {
    fn new() -> Self {
        let (log, parent, mut child) = Self::parent();
        let mut family = Self { log, parent, child: child.clone() };
        family.log.hand_over(&mut family.parent, &mut child);
        family.child = child;
        family
    }

    fn parent() -> (LogBuilder, TestRun, TestRun) {
        let mut scene = Scene::new();
        scene.run.max_depth = 1;
        scene.log.start(&scene.run);
        scene.log.delegate(&mut scene.run, &scene.person);
        let child = scene.log.sub_agent(&scene.run, "searcher");
        (scene.log, scene.run, child)
    }

    /// The child's run after a change of its first entry, announced if `announced`.
    fn started(announced: bool, change: impl FnOnce(&Self, Draft) -> Draft) -> Self {
        let (log, parent, child) = Self::parent();
        let mut family = Self { log, parent, child };
        let draft = change(&family, family.log.run_started(&family.child));
        family.log.append(draft);
        let child = family.log.child_delegation(&family.parent, &family.child);
        let leaf = family.log.record_child(&family.parent, &mut family.child, &child);
        if announced {
            family.log.announce(&mut family.parent, &family.child, leaf);
        }
        family
    }

    /// Ends both runs; gives the index of the parent's end.
    fn end(&mut self) -> u64 {
        self.log.end(&self.child);
        self.log.end(&self.parent)
    }
}

fn shown() -> Vec<Vector> {
    let mut family = Family::new();
    family.end();
    let whole = family.log.bundle();
    let without = (6..=8).chain([10]).fold(whole.clone(), testkit::Parts::without);
    let hidden = family.log.bundle_showing(|kind, name| (kind, name) != (Kind::ChildStarted, "child"));
    let mut open = Family::started(false, |_, draft| draft);
    open.log.end(&open.child);
    let garbled = {
        let mut family = Family::new();
        let draft =
            family.log.child_started(&family.parent, &family.child, 8).with("child", &json!("searcher"));
        family.log.append(draft);
        family.log.end(&family.child);
        let manifest = family.log.manifest(&family.parent);
        let children = json!([id::text(&family.child.id), "searcher"]);
        family.log.append(manifest.with("children", &children));
        family.log
    };
    vec![
        verified("child", "A sub-agent's run, named by its parent's.", &family.log, &whole, &[]),
        verified(
            "child-not-shown",
            "The run of a sub-agent is left out.",
            &family.log,
            &without,
            &[at(9, "child-not-shown")],
        ),
        verified(
            "child-named-otherwise",
            "A child that is named by something that is no id of a run.",
            &garbled,
            &garbled.bundle(),
            &[at(10, "child-not-shown")],
        ),
        verified(
            "child-withheld",
            "Which run the parent announced is withheld: it may be this one.",
            &family.log,
            &hidden,
            &[at(9, "withheld")],
        ),
        verified(
            "child-of-open-run",
            "The parent's run is open and has not announced the child yet.",
            &open.log,
            &open.log.bundle(),
            &[at(5, "open-run")],
        ),
    ]
}

/// What the announcement says of the delegation is not what the child's run shows.
fn misquoted() -> Vec<Vector> {
    let case = |name, about, change: &dyn Fn(Draft) -> Draft| {
        let (log, parent, child) = Family::parent();
        let mut family = Family { log, parent, child };
        family.log.append(family.log.run_started(&family.child));
        let token = family.log.child_delegation(&family.parent, &family.child);
        let leaf = family.log.record_child(&family.parent, &mut family.child, &token);
        family.parent.children.push(family.child.id);
        let draft = family.log.child_started(&family.parent, &family.child, leaf);
        family.log.append(change(draft));
        family.end();
        failed(name, about, &family.log, &family.log.bundle(), &[at(9, "child-mismatch")])
    };
    let digest = json!("sha256:0000000000000000000000000000000000000000000000000000000000000000");
    vec![
        case("child-other-holder", "The announcement names another holder than the delegation.", &|draft| {
            let holder = json!({"id": "mallory", "inst": "", "kind": "agent", "asr": "inferred", "key": "x"});
            draft.with("holder", &holder)
        }),
        case(
            "child-other-delegation",
            "It names a delegation that the child's run does not have.",
            &|draft| draft.with("delegation", &json!("n27PSDikVSDJK4WYXwGwjZv9No47BMp9HPSrjZYlTBw")),
        ),
        case("child-other-delegator", "It names another delegation above it.", &|draft| {
            draft.with("by", &json!("n27PSDikVSDJK4WYXwGwjZv9No47BMp9HPSrjZYlTBw"))
        }),
        case(
            "child-other-handoff",
            "It names a text although the delegation was given without one.",
            &|draft| draft.with("handoff_digest", &digest),
        ),
        case("child-altered-handoff", "The text is not the one whose digest stands beside it.", &|draft| {
            draft.with("handoff_digest", &digest).with("handoff", &json!("isolate everything"))
        }),
    ]
}

fn mismatched() -> Vec<Vector> {
    let mut other =
        Family::started(true, |family, draft| draft.with("parent", &json!(id::text(&family.child.txn))));
    other.end();
    let mut unstarted = Family::started(true, |family, _| {
        Draft::new(Kind::Observed).run(family.child.id).with("subtype", &json!("frame"))
    });
    unstarted.end();
    let mut silent = Family::started(true, |_, draft| draft.without("parent"));
    silent.end();
    vec![
        failed(
            "child-mismatch",
            "The run of a sub-agent says that it is the child of another run.",
            &other.log,
            &other.log.bundle(),
            &[at(9, "child-mismatch")],
        ),
        failed(
            "child-mismatch-first",
            "The run of a sub-agent begins with something else than its start.",
            &unstarted.log,
            &unstarted.log.bundle(),
            &[at(9, "child-mismatch")],
        ),
        verified(
            "child-silent",
            "The run of a sub-agent does not say whose child it is.",
            &silent.log,
            &silent.log.bundle(),
            &[],
        ),
    ]
}

fn unannounced() -> Vec<Vector> {
    let mut dropped = Family::started(false, |_, draft| draft);
    dropped.end();
    let mut elsewhere = Family::new();
    let mut second = elsewhere.log.sub_agent(&elsewhere.parent, "reader");
    elsewhere.log.start(&second);
    let child = elsewhere.log.child_delegation(&elsewhere.parent, &second);
    elsewhere.log.record_child(&elsewhere.parent, &mut second, &child);
    elsewhere.log.end(&second);
    elsewhere.end();
    vec![
        failed(
            "child-unannounced",
            "The parent's run ended without naming the child.",
            &dropped.log,
            &dropped.log.bundle(),
            &[at(6, "child-unannounced")],
        ),
        failed(
            "child-unannounced-second",
            "The parent's run ended and names only one of its two children.",
            &elsewhere.log,
            &elsewhere.log.bundle(),
            &[at(10, "child-unannounced")],
        ),
    ]
}

fn manifests() -> Vec<Vector> {
    let ended = |children: fn(&Family) -> Value| {
        let mut family = Family::new();
        family.log.end(&family.child);
        let listed = children(&family);
        family.log.append(family.log.manifest(&family.parent).with("children", &listed));
        family.log
    };
    let none = ended(|_| json!([]));
    let more = ended(|family| json!([id::text(&family.child.id), id::text(&family.child.txn)]));
    let hidden = none.bundle_showing(|kind, name| (kind, name) != (Kind::ChildStarted, "child"));
    vec![
        failed(
            "manifest-child-left-out",
            "The run's end does not list a child that the run announced.",
            &none,
            &none.bundle(),
            &[at(11, "manifest-mismatch")],
        ),
        failed(
            "manifest-child-added",
            "The run's end lists a child that the run never announced.",
            &more,
            &more.bundle(),
            &[at(11, "manifest-mismatch")],
        ),
        verified(
            "manifest-child-withheld",
            "Which child the run announced is withheld, so its end is not compared with it.",
            &none,
            &hidden,
            &[at(9, "withheld")],
        ),
    ]
}
