//! The parts of the answer, each built from the entry that says it and the check that covers it.

use evidence::delegation::{Link as Claims, Source};
use evidence::id;
use evidence::kind::Vantage;
use evidence::label::Assurance;
use evidence::{Digest, Entry};
use serde_json::{Value, json};

use super::checks::Checked;
use super::{DecisionPart, DelegationPart, OutcomePart, PrincipalPart, RunPart, ToolPart};
use crate::answer::Fact;
use crate::query::actions::status;
use crate::query::assurance;
use crate::record::Record;

pub(super) fn principal_part(decision: &Record, checked: &Checked) -> PrincipalPart {
    let root = checked.root();
    let principal = match root {
        // the token names whom it was issued for; only the principal's own signature makes that checked
        Some(root) => Fact::recorded(json!(root.principal), checked.root_index()),
        None => Fact::of(decision, "principal"),
    };
    let grade = checked
        .recorded
        .root()
        .map_or_else(|| Fact::missing("none", None), |link| Fact::of(link, "evidence_grade"));
    let source = root.map_or_else(
        || Fact::missing("none", None),
        |root| {
            let (source, assurance) = source_value(&root.source);
            Fact::recorded(source, checked.root_index()).assured(assurance).checked(checked.asked())
        },
    );
    // the key by which the principal stands behind it: a service that asks under a mandate has one of its own
    let behind = &checked.behind;
    let own = if behind.mandate.is_some() { &behind.mandate_key } else { &behind.registered };
    let registered = own.as_ref().map_or_else(
        || Fact::missing("none", None),
        |registered| {
            let value = json!({"thumbprint": registered.thumbprint, "index": registered.index});
            Fact::recorded(value, registered.index).checked(checked.asked())
        },
    );
    PrincipalPart {
        principal: principal.assured(assurance(decision, "principal")).checked(checked.asked()),
        grade,
        source,
        registered,
    }
}

fn source_value(source: &Source) -> (Value, Option<Assurance>) {
    match source {
        Source::KeyRequest(request) => {
            (json!({"t": "key-request", "key": request.kid, "request": request.digest}), None)
        }
        Source::Mandate { mandate, request } => {
            let value = json!({"t": "mandate", "key": mandate.kid, "mandate": mandate.digest,
                "asked_by": request.kid, "request": request.digest});
            (value, None)
        }
        Source::PeerCredentials { uid } => (json!({"t": "peer-cred", "uid": uid}), Some(Assurance::Attested)),
    }
}

pub(super) fn delegation_part(decision: &Record, checked: &Checked) -> DelegationPart {
    let place = checked.recorded.records.len().saturating_sub(1);
    let signed = checked.recorded.signed(place);
    let index = checked.recorded.leaf().map(|leaf| leaf.index);
    let of = |value: &dyn Fn(&Claims) -> Value| match (checked.leaf(), index) {
        (Some(leaf), Some(index)) => Fact::recorded(value(leaf), index).checked(signed),
        _ => Fact::missing("none", None),
    };
    let tool = decision.text("tool");
    DelegationPart {
        index,
        digest: Fact::of(decision, "chain").checked(signed),
        issuer: match checked.root() {
            Some(root) => {
                Fact::recorded(root.issuer.clone(), checked.root_index()).checked(checked.recorded.signed(0))
            }
            None => Fact::missing("none", None),
        },
        purpose: of(&|link| link.purpose().into()),
        scope: match of(&|link| tool.as_deref().map_or(Value::Null, |tool| scope_row(link, tool))) {
            fact if fact.value.is_null() => Fact::missing("none", fact.index),
            fact => fact,
        },
        tools: of(&|link| link.scope().to_json()),
        life: of(&|link| json!({"from": link.nbf(), "until": link.exp()})),
        max_depth: of(&|link| link.max_depth().into()),
        task: of(&|link| id::text(link.txn()).into()),
    }
}

/// The row of a scope that governs a tool, as the delegation spells it; null where none does.
fn scope_row(link: &Claims, tool: &str) -> Value {
    let all = link.scope().to_json();
    let server = evidence::tool::split(tool).map(|(server, _)| format!("{server}#{}", evidence::tool::ANY));
    [Some(tool.to_owned()), server]
        .into_iter()
        .flatten()
        .find_map(|uri| {
            let others = all.as_object().map_or(0, |rows| rows.len().saturating_sub(1));
            all.get(&uri).map(|row| json!({"tool": uri, "constraints": row, "others": others}))
        })
        .unwrap_or_default()
}

pub(super) fn run_part(
    decision: &Record,
    entry: &Entry,
    started: Option<&Record>,
    checked: &Checked,
) -> RunPart {
    let of = |name: &str| started.map_or_else(|| Fact::missing("none", None), |start| Fact::of(start, name));
    let key = checked.recorded.leaf().zip(checked.leaf()).map_or_else(
        || Fact::missing("none", None),
        |(record, leaf)| Fact::recorded(leaf.cnf().thumbprint(), record.index).checked(checked.proven()),
    );
    let holder = Fact::of(decision, "holder").assured(assurance(decision, "holder"));
    RunPart {
        run: id::text(&entry.run),
        stream: entry.stream,
        started: started.map(|start| start.index),
        // who holds the key is the issuer's word, unless the delegator named the holder in what it signed
        holder: holder.checked(checked.holder_named()),
        key,
        servers: of("servers"),
        trigger: of("trigger"),
        model: of("model"),
        prompt: of("prompt"),
        client: of("client").assured(Some(Assurance::Inferred)),
        correlators: Fact::of(decision, "correlators").assured(Some(Assurance::Asserted)),
    }
}

pub(super) fn tool_part(decision: &Record, checked: &Checked) -> ToolPart {
    ToolPart {
        uri: Fact::of(decision, "tool").checked(checked.proven()),
        operation: Fact::of(decision, "operation"),
        class: Fact::of(decision, "class"),
        definition: Fact::of(decision, "definition_digest"),
        args_digest: Fact::of(decision, "args_digest").checked(checked.proven()),
        args: Fact::of(decision, "args").checked(checked.proven()),
    }
}

pub(super) fn decision_part(decision: &Record, entry: &Entry, policy: Option<u64>) -> DecisionPart {
    let request = decision.exact("request").map_or_else(
        || Fact::of(decision, "request"),
        |exact| Fact::recorded(Digest::of(exact.as_bytes()).to_string(), decision.index),
    );
    DecisionPart {
        index: decision.index,
        leaf: Digest(decision.leaf).hex(),
        vantage: Vantage::name_of(entry.vantage),
        observed_ms: entry.observed_ms,
        decided_at_ms: Fact::of(decision, "decided_at_ms"),
        verdict: Fact::of(decision, "verdict"),
        reason: Fact::of(decision, "reason"),
        policy_digest: Fact::of(decision, "policy_digest"),
        policy_index: policy,
        determining: Fact::of(decision, "determining"),
        errors: Fact::of(decision, "errors"),
        engine: Fact::of(decision, "engine"),
        request_digest: request,
        revocations: Fact::of(decision, "revocations"),
        enforcement_point: Fact::of(decision, "enforcement_point"),
        credential: Fact::of(decision, "credential"),
    }
}

pub(super) fn outcome_part(decision: &Record, finished: Option<&Record>, late: Vec<u64>) -> OutcomePart {
    let of = |name: &str| finished.map_or_else(|| Fact::missing("none", None), |end| Fact::of(end, name));
    OutcomePart {
        status: status(decision, finished),
        index: finished.map(|end| end.index),
        leaf: finished.map(|end| Digest(end.leaf).hex()),
        result_digest: of("result_digest"),
        duration: of("duration"),
        detail: of("detail"),
        late,
    }
}
