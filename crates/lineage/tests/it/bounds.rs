//! The limits of answers about delegations: at the boundary complete, one past it cut and said.

use evidence::delegation::{Target, What};
use lineage::limits::{
    ALLOWED_AROUND_S, DOUBT_CHAINS_MAX, LIVE_CHECKED_MAX, ORDERS_MAX, ROWS_DEFAULT, ROWS_MAX, RUN_CHAINS_MAX,
    RUNS_NAMED_MAX, TREE_NODES_MAX,
};
use lineage::{Answer, DelegationsFilter, DoubtFilter, IdentitiesFilter, Index, Which};
use serde_json::json;

use crate::chains::ISOLATE;
use crate::fold::folded;
use crate::held::Held;
use crate::log::{Call, Log, Run, signing_key};

/// A root in a run of its own, which may be passed on.
fn rooted() -> (Log, Held, Run) {
    let mut log = Log::new(1);
    let maya = signing_key(30);
    log.key_change("principal-registered", "maya", &maya);
    let ask = log.ask("maya", &maya, "triage", signing_key(50), json!({ISOLATE: {}}));
    let held = log.issue(&ask);
    let run = log.open_under(&held, None, None);
    (log, held, run)
}

/// `count` children of a root for one holder, each recorded in the run.
fn children(log: &mut Log, root: &Held, run: &Run, count: u64) -> Vec<Held> {
    log.at_once(|log| {
        let mut made = Vec::new();
        for _ in 0..count {
            let child = log.narrow(root, "helper", signing_key(51), None, None);
            log.record_from(run, &child, 1);
            made.push(child);
        }
        made
    })
}

/// Complete at the boundary; cut one past it, with a sentence that says of what.
fn cut<T: core::fmt::Debug>(at: &Answer<T>, past: &Answer<T>, what: &str) {
    assert!(at.complete, "{:?} {:?}", at.left_out, at.findings);
    assert!(!past.complete && past.findings.is_empty(), "{:?}", past.findings);
    assert!(past.left_out.iter().any(|left| left.contains(what)), "{:?}", past.left_out);
}

#[test]
fn orders_about_one_thing() {
    let (mut log, root, mut run) = rooted();
    let (act, _) = log.call(&mut run, ISOLATE, "{}");
    let revoke = |log: &mut Log, count: u64| {
        log.at_once(|log| {
            for _ in 0..count {
                log.revoke(What::Delegation, &Target::Text(root.digest()), 1, None);
            }
        });
    };
    revoke(&mut log, ORDERS_MAX);
    let at = folded(&log).authority(Which::Index(act)).unwrap();
    assert_eq!(at.content.revocations.now.len() as u64, ORDERS_MAX);
    revoke(&mut log, 1);
    cut(&at, &folded(&log).authority(Which::Index(act)).unwrap(), "revocations of one thing");
}

#[test]
fn runs_that_use_one_delegation_or_key() {
    let (mut log, root, _) = rooted();
    let open = |log: &mut Log, count: u64| {
        log.at_once(|log| {
            for _ in 0..count {
                log.open_under(&root, None, None);
            }
        });
    };
    let tree = |log: &Log| {
        let filter = DelegationsFilter { now_ms: log.now_ms, ..DelegationsFilter::default() };
        folded(log).delegations(&filter).unwrap()
    };
    let everybody = |log: &Log| {
        let filter = IdentitiesFilter { now_ms: log.now_ms, ..IdentitiesFilter::default() };
        folded(log).identities(&filter).unwrap()
    };
    // the run of the issuance is none that uses the delegation or its key
    open(&mut log, RUNS_NAMED_MAX - 1);
    let (keys, at) = (everybody(&log), tree(&log));
    assert_eq!(at.content.tree[0].runs.len() as u64, RUNS_NAMED_MAX);
    open(&mut log, 1);
    cut(&keys, &everybody(&log), "runs that use one key");
    cut(&at, &tree(&log), "runs that use one delegation");
}

/// One root with more and more children, all of which one holder has; each limit is met on the way.
#[test]
fn delegations_of_one_root() {
    let (mut log, root, mut run) = rooted();
    log.revoke(What::HolderKey, &Target::Text("A".repeat(43)), 1, None);
    let mut made: Vec<Held> = Vec::new();
    let grow = |log: &mut Log, made: &mut Vec<Held>, to: u64| {
        let more = to - made.len() as u64;
        made.extend(children(log, &root, &run, more));
        folded(log)
    };

    let told = |index: &Index| index.run(&run.id).unwrap();
    let at = told(&grow(&mut log, &mut made, RUN_CHAINS_MAX));
    cut(&at, &told(&grow(&mut log, &mut made, RUN_CHAINS_MAX + 1)), "delegations of one run");

    let allowed = |index: &Index, log: &Log| index.allowed("helper", log.now_ms).unwrap();
    let at = allowed(&grow(&mut log, &mut made, ROWS_DEFAULT), &log);
    assert_eq!(at.content.delegations.len() as u64, ROWS_DEFAULT);
    cut(&at, &allowed(&grow(&mut log, &mut made, ROWS_DEFAULT + 1), &log), "delegations beyond");

    let everybody = |index: &Index, log: &Log| {
        index.identities(&IdentitiesFilter { now_ms: log.now_ms, ..IdentitiesFilter::default() }).unwrap()
    };
    // the root is one of the principal's
    let at = everybody(&grow(&mut log, &mut made, LIVE_CHECKED_MAX - 1), &log);
    let helper = at.content.identities.iter().find(|row| row.id == "helper").unwrap();
    assert_eq!(helper.delegations, LIVE_CHECKED_MAX - 1);
    cut(&at, &everybody(&grow(&mut log, &mut made, LIVE_CHECKED_MAX), &log), "delegations of one identity");

    let tree = |index: &Index, log: &Log| {
        index.delegations(&DelegationsFilter { now_ms: log.now_ms, ..DelegationsFilter::default() }).unwrap()
    };
    let at = tree(&grow(&mut log, &mut made, TREE_NODES_MAX - 1), &log);
    assert_eq!(at.content.tree[0].children.len() as u64, TREE_NODES_MAX - 1);
    assert_eq!(at.content.tree[0].unused, [ISOLATE]);
    let past = tree(&grow(&mut log, &mut made, TREE_NODES_MAX), &log);
    cut(&at, &past, "of one answer");
    let top = &past.content.tree[0];
    assert!(top.unused.is_empty(), "what is not shown may have used it");
    assert_eq!(top.children.last().unwrap().digest, made.last().unwrap().digest(), "the newest are shown");

    grow(&mut log, &mut made, DOUBT_CHAINS_MAX + 1);
    let mut act = |log: &mut Log, some: &[Held]| {
        log.at_once(|log| {
            for child in some {
                run.digest = child.digest();
                run.key = child.key.clone();
                log.decide(&mut run, &Call::of(ISOLATE, "{}"));
            }
        });
    };
    let doubted = |log: &mut Log| {
        let revocation = log.revoke(What::Delegation, &Target::Text(root.digest()), 1, None);
        let filter = DoubtFilter { revocation, limit: Some(ROWS_MAX), before: None };
        folded(log).doubt(&filter).unwrap()
    };
    let (last, most) = made.split_last().unwrap();
    act(&mut log, most);
    let at = doubted(&mut log);
    assert_eq!(
        (at.content.count, at.left_out.len()),
        (DOUBT_CHAINS_MAX, 1),
        "more than one page: {:?}",
        at.left_out
    );
    act(&mut log, core::slice::from_ref(last));
    let past = doubted(&mut log);
    assert_eq!(past.content.count, DOUBT_CHAINS_MAX);
    assert!(past.left_out.iter().any(|left| left.contains("may be concerned")), "{:?}", past.left_out);
}

#[test]
fn how_far_from_the_time_asked_for_a_delegation_is_named() {
    let (mut log, root, run) = rooted();
    let child = &children(&mut log, &root, &run, 1)[0];
    let index = folded(&log);
    let row = index.allowed("helper", log.now_ms).unwrap().content.delegations.remove(0);
    assert_eq!(row.digest, child.digest());
    let named = |at_s: u64| index.allowed("helper", at_s * 1_000).unwrap().content.delegations.len();
    assert_eq!([named(row.until + ALLOWED_AROUND_S - 1), named(row.until + ALLOWED_AROUND_S)], [1, 0]);
    assert_eq!([named(row.from - ALLOWED_AROUND_S + 1), named(row.from - ALLOWED_AROUND_S)], [1, 0]);
}
