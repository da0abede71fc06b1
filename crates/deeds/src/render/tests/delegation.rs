//! Tests of the pages about delegations: chains, what is allowed, trees, identities, halts, doubt.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{AT_MS, RUN, TASK, authority_answer, fact, holder, labelled, missing, plain, principal};
use crate::render::*;

const EXP: u64 = AT_MS / 1_000 + 900;

fn service() -> Value {
    json!({"id": "ir-playbook", "inst": "j", "kind": "service", "asr": "issuer-asserted", "key": "k9"})
}

/// A link of a chain as answers have it.
pub(super) fn link(depth: u64, narrowed: &str) -> Value {
    let (holder, delegator, assurance) = match depth {
        0 => (service(), principal(), "issuer-asserted"),
        _ => (holder(), service(), "delegator-asserted"),
    };
    json!({
        "digest": format!("d{depth}"), "index": 5 + depth, "key": format!("k{depth}"), "exp": EXP,
        "holder": labelled(holder, assurance, "verified-captured", 5 + depth),
        "delegator": labelled(delegator, "issuer-asserted", "verified-captured", 5 + depth),
        "scope": {"stdio:edr#isolate_host": {}, "stdio:edr#release_host": {}},
        "narrowed": if narrowed.is_empty() { json!([]) } else { json!([narrowed]) },
        "purpose": "contain infected hosts", "depth": depth, "max_depth": 1, "shares_key": false,
        "checks": [{"what": "signature", "check": "verified-captured"}, {"what": "time", "check": "not-checked"}],
    })
}

fn chained() -> Value {
    let mut answer = authority_answer();
    answer["chain"] = json!([link(0, ""), link(1, "tools: only stdio:edr#isolate_host (of stdio:edr#*)")]);
    answer["mandate"] = json!({"digest": "m1", "index": 4, "exp": EXP + 86_400,
        "principal": labelled(principal(), "issuer-asserted", "verified-captured", 4),
        "holder": fact(json!({"kind": "service", "iss": "deeds://log", "sub": "ir-playbook", "key": "k9"}), 5)});
    answer["parent_run"] = fact(RUN, 6);
    answer["handoff"] =
        labelled(json!({"digest": "sha256:aa", "text": "isolate them"}), "asserted", "verified-captured", 6);
    answer["revocations"]["now"] = json!([{"index": 40, "what": "holder-key", "target": "k1", "eff": EXP,
        "why": fact("stolen\u{7}", 40), "in_doubt": true}]);
    answer
}

#[test]
fn the_chain_says_at_each_hop_who_gave_what_to_whom_and_what_was_checked() {
    assert_snapshot!("authority_chain", plain(&authority::page(&chained(), 100)));
}

#[test]
fn a_broken_glass_is_told_before_everything_else() {
    let mut answer = authority_answer();
    answer["break_glass"] = json!({"why": "dc-01 spreads it", "review": "open"});
    let page = plain(&authority::page(&answer, 100));
    assert!(page.starts_with("BREAK-GLASS: dc-01 spreads it (review: open)\n@7  "), "{page}");
}

#[test]
fn a_key_that_two_holders_share_is_told() {
    let mut answer = chained();
    answer["chain"][1]["shares_key"] = json!(true);
    answer["chain"][1]["narrowed"] = json!([]);
    let page = plain(&authority::page(&answer, 100));
    assert!(page.contains("cannot be told apart") && page.contains("in nothing but its time"), "{page}");
}

#[test]
fn what_is_allowed_is_told_by_delegation_and_tool() {
    let prefix = json!({"host": {"constraint_type": "prefix", "prefix": "ws-"}});
    let tool = |tool: &str, arguments: &Value, policy: &str, policies: Value| json!({"tool": tool, "arguments": arguments, "policy": policy, "policies": policies, "approval": false});
    let delegation = |state: &str, why: &str, tools: Value| {
        json!({"digest": "d1", "index": 6, "holder": fact(holder(), 6), "principal": fact(principal(), 5),
            "txn": TASK, "purpose": "contain infected hosts", "from": EXP - 900, "until": EXP, "state": state,
            "why": why, "used": 14, "tools": tools})
    };
    let mut needs = tool("stdio:mail#send", &json!({}), "conditional", json!(["a", "b"]));
    needs["approval"] = json!(true);
    let tools = json!([
        tool("stdio:edr#isolate_host", &prefix, "always", json!([])),
        tool(
            "stdio:idp#disable_user",
            &json!({"user": {"constraint_type": "wildcard", "optional": true}}),
            "never",
            json!(["x"])
        ),
        needs,
    ]);
    let answer = json!({"size": 30, "complete": true, "policy_digest": "sha256:bb",
        "delegations": [delegation("live", "", tools), delegation("revoked", "revoked at @9: stolen", json!([]))]});
    assert_snapshot!("allowed", plain(&allowed::page(&answer, "containment-agent", 100)));
    let none = json!({"size": 30, "complete": true, "delegations": []});
    assert!(plain(&allowed::page(&none, "bot", 80)).starts_with("No delegation that bot could use"));
}

#[test]
fn delegations_are_a_tree_with_what_was_never_used() {
    let node = |index: u64,
                kind: &str,
                holder: &Value,
                used: (u64, u64, u64),
                unused: Value,
                children: Value| {
        json!({"digest": format!("d{index}"), "index": index, "kind": kind, "holder": fact(holder.clone(), index),
            "principal": fact(principal(), index), "txn": TASK, "purpose": "contain infected hosts", "iat": EXP - 900,
            "exp": EXP, "state": "live", "used": used.0, "used_below": used.1, "refused": used.2, "unused": unused,
            "runs": [RUN], "children": children})
    };
    let child = node(6, "child", &holder(), (18, 0, 1), json!([]), json!([]));
    let idle = node(7, "child", &holder(), (0, 0, 1), json!(["stdio:idp#disable_user"]), json!([]));
    let root =
        node(5, "root", &service(), (1, 18, 2), json!(["stdio:idp#disable_user"]), json!([child, idle]));
    let mut mandate = node(4, "mandate", &Value::Null, (0, 19, 2), json!([]), json!([root]));
    mandate["holder"] = fact(json!(["ir-playbook"]), 4);
    mandate["state"] = json!("revoked");
    mandate["why"] = json!("it was revoked (@20, delegation)");
    let mut glass = node(9, "root", &holder(), (1, 0, 0), json!([]), json!([]));
    glass["purpose"] = json!("break-glass");
    let answer = json!({"size": 30, "complete": false, "next": 4, "tree": [glass, mandate]});
    let page = plain(&delegations::page(&answer, 100, "deeds delegations"));
    assert_snapshot!("delegations", page);
    for line in plain(&delegations::page(&answer, 60, "deeds delegations")).lines() {
        assert!(line.chars().count() <= 60 || line.contains("deeds delegations"), "{line}");
    }
    assert!(plain(&delegations::page(&json!({}), 80, "")).contains("No delegations match"));
}

#[test]
fn a_deep_tree_ends() {
    let mut node = json!({"index": 1, "kind": "child", "children": []});
    for _ in 0..30 {
        node = json!({"index": 1, "kind": "child", "children": [node]});
    }
    let page = plain(&delegations::page(&json!({"tree": [node]}), 80, ""));
    assert!(page.contains("and 1 delegation below"), "{page}");
}

#[test]
fn identities_are_a_table_that_marks_the_ownerless_the_shared_and_the_unused() {
    let identity = |what: &str, id: &str, owner: &Value| {
        json!({"what": what, "id": id, "kind": "agent", "label": "delegator-asserted", "first_ms": AT_MS, "last_ms": AT_MS,
            "last_index": 40, "age_ms": 7_200_000, "owner": owner, "delegations": 2,
            "granted": ["stdio:edr#isolate_host", "stdio:idp#disable_user"], "never_used": ["stdio:idp#disable_user"],
            "runs": [RUN], "shared": 0, "state": "live"})
    };
    let mut shared = identity("key", "k7", &missing("none"));
    shared["shared"] = json!([RUN, TASK]);
    shared["never_used"] = json!([]);
    let answer = json!({"size": 41, "complete": true,
        "identities": [identity("holder", "containment-agent", &fact(principal(), 5)), shared]});
    assert_snapshot!("identities", plain(&identities::table(&answer, 120, "deeds identities")));
    assert!(plain(&identities::table(&json!({}), 80, "")).contains("No identities"));
}

#[test]
fn halts_and_doubt_are_tables() {
    let halt = |index: u64, on: Value| json!({"index": index, "on": on, "why": "isolates the wrong hosts", "by": principal(), "at_ms": AT_MS});
    let answer = json!({"halts": [
        halt(50, json!({"t": "agent", "id": "containment-agent"})),
        halt(51, json!({"t": "principal", "iss": "deeds://log", "sub": "ciso"})),
        halt(52, json!({"t": "all"})),
    ]});
    assert_snapshot!("halts", plain(&halts::table(&answer, 100)));
    assert_eq!(plain(&halts::table(&json!({"halts": []}), 80)), "Nobody is halted.\n");
    let action = json!({"index": 30, "act_id": "a", "tool": "stdio:edr#isolate_host", "holder": holder(),
        "at_ms": AT_MS, "status": "ok", "link": "d1"});
    let answer = json!({"size": 60, "complete": true, "revocation": {}, "actions": [action], "count": 1});
    assert_snapshot!("doubt", plain(&doubt::page(&answer, 100)));
    let none = json!({"size": 60, "complete": true, "actions": [], "count": 0});
    assert!(plain(&doubt::page(&none, 100)).starts_with("No action is in doubt.\n"));
}

#[test]
fn half_an_answer_is_half_a_page() {
    for answer in
        [json!({"chain": [1, {}], "mandate": {}, "break_glass": {}, "revocations": {"now": [0]}}), json!([])]
    {
        assert!(!plain(&authority::page(&answer, 80)).is_empty());
        assert!(plain(&allowed::page(&answer, "x", 80)).contains("No delegation"));
        assert!(plain(&doubt::page(&answer, 80)).contains("No action is in doubt"));
    }
    let odd = json!({"delegations": [3, {"tools": [{}]}], "tree": [null], "identities": [{}], "halts": [{}], "actions": [{}]});
    assert!(!plain(&allowed::page(&odd, "x", 80)).is_empty());
    assert!(!plain(&delegations::page(&odd, 80, "")).is_empty());
    assert!(!plain(&identities::table(&odd, 80, "")).is_empty());
    assert!(!plain(&halts::table(&odd, 80)).is_empty());
    assert!(!plain(&doubt::page(&odd, 80)).is_empty());
}
