//! Cedar text of a policy directory: refused or loaded, and what is said of a tool before any call fits what is
//! decided of calls.

use policy::{
    ActionRequest, OutlookRequest, PolicyFile, PolicySet, Prospect, RequestAgent, RequestDelegation,
    RequestPrincipal, Verdict,
};
use serde_json::{Value, json};

/// Takes one input.
pub fn input(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let file = PolicyFile { path: "fuzz.cedar".into(), text: text.to_owned() };
    let Ok(set) = PolicySet::from_files(vec![file]) else { return };
    let of = question();
    let prospect = set.outlook(&of).prospect;
    for (args, now_ms) in [(json!({}), 0), (json!({"path": "/srv", "x": 1}), 1_790_000_000_000)] {
        let verdict = set.decide(&call(&of, &args, now_ms)).verdict;
        assert!(prospect != Prospect::Always || verdict == Verdict::Allow);
        assert!(prospect != Prospect::Never || verdict == Verdict::Deny);
    }
}

fn question() -> OutlookRequest<'static> {
    OutlookRequest {
        principal: RequestPrincipal {
            kind: "human",
            iss: "deeds://log",
            sub: "ana",
            assurance: "inferred",
            grade: "issuer-only",
        },
        agent: RequestAgent { id: "agent", key: "thumbprint", assurance: "inferred" },
        operation: "tools/call",
        tool: "stdio:fs#read",
        definition: Some("sha256:x"),
        delegation: RequestDelegation {
            leaf: "leaf",
            depth: 1,
            max_depth: 2,
            tools: &[],
            holders: &[],
            expires_ms: 1_800_000_000_000,
            txn: "task",
            purpose: Some("review"),
        },
    }
}

fn call<'a>(of: &OutlookRequest<'a>, args: &'a Value, now_ms: u64) -> ActionRequest<'a> {
    ActionRequest {
        principal: of.principal.clone(),
        agent: of.agent.clone(),
        operation: of.operation,
        tool: of.tool,
        definition: of.definition,
        args,
        delegation: of.delegation.clone(),
        run: "run",
        now_ms,
        root: None,
    }
}
