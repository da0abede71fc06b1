//! Step 11: every act that was allowed was covered by a delegation, proven by its holder, and decided under the policy
//! and the revocations of its time.

use std::collections::BTreeSet;

use evidence::delegation::Pop;
use evidence::id::LOG_LEVEL;
use evidence::jws::Signed;
use evidence::limits::DECISION_AGE_MAX_MS;
use evidence::{Cause, Entry, Kind, Verdict, json};
use serde_json::{Map, Value};

use crate::chain::{self, Delegation, Failure};
use crate::finding::{Code, Findings};
use crate::items::{Items, Seen, uint};
use crate::steps::delegations::{Delegations, Held};
use crate::steps::keys::Register;

/// What the decisions of a bundle have in common.
struct Context<'s, 'a> {
    /// Indexes of all log-level entries, ascending.
    log_level: Vec<u64>,
    /// Log-level policy activations by index.
    activations: Vec<&'s Seen<'a>>,
    /// Every leaf hash that an outcome names.
    with_outcome: BTreeSet<[u8; 32]>,
    /// Key, audience and counter of the proofs of allowed decisions so far.
    counters: BTreeSet<(String, String, u64)>,
}

/// A proof that parsed.
struct Proof {
    signed: Signed,
    pop: Pop,
    /// An earlier allowed decision of the bundle used its counter.
    replayed: bool,
}

/// The arguments of a decision, as far as they are shown.
enum Args {
    Withheld,
    /// Opened, and not an I-JSON object.
    Unacceptable,
    Object(Map<String, Value>),
}

/// Step 11.
pub(crate) fn check(
    items: &Items<'_>,
    delegations: &Delegations,
    register: &Register,
    findings: &mut Findings,
) {
    let mut context = Context::of(items);
    for (seen, entry) in items.of_kind(Kind::Decided) {
        if seen.text("verdict").as_deref() == Some(Verdict::Allow.as_str()) {
            check_one(seen, entry, delegations, register, &mut context, findings);
        }
    }
}

fn check_one(
    seen: &Seen<'_>,
    entry: &Entry,
    delegations: &Delegations,
    register: &Register,
    context: &mut Context<'_, '_>,
    findings: &mut Findings,
) {
    let proof = context.read_proof(seen);
    let Some(chain) = seen.value("chain") else {
        let text =
            "the delegation behind this decision is withheld: whether the act was covered was not checked";
        findings.at(seen.index, Code::DecisionWithheld, text);
        return;
    };
    let at_s = check_time(seen, entry, findings);
    check_revocations(seen, &context.log_level, findings);
    check_policy(seen, &context.activations, findings);
    let proof = add(seen, proof, findings);
    if !context.with_outcome.contains(&seen.leaf) {
        let text = "no outcome of this act is shown: it was allowed, what came of it is not known";
        findings.at(seen.index, Code::OutcomeOpen, text);
    }
    let held = chain.as_str().and_then(|digest| delegations.find(digest, &entry.run, seen.index));
    let Some(held) = held else {
        let text = "the delegation that this decision names was not recorded before it in this run, or has errors: the \
                    act is not shown to be covered by anybody's authority";
        findings.at(seen.index, Code::DecisionDelegation, text);
        return;
    };
    let args = read_args(seen);
    check_authority(seen, held, at_s, register, findings);
    check_binding(seen, held, findings);
    check_scope(seen, held, &args, findings);
    if let Some(proof) = proof {
        check_proof(seen, held, &proof, at_s, &args, findings);
    }
}

impl<'s, 'a> Context<'s, 'a> {
    fn of(items: &'s Items<'a>) -> Self {
        let log_level = |seen: &&Seen<'a>| seen.entry.as_ref().is_ok_and(|entry| entry.run == LOG_LEVEL);
        let activations = items.of_kind(Kind::PolicyActivated).map(|(seen, _)| seen);
        Self {
            log_level: items.list.iter().filter(log_level).map(|seen| seen.index).collect(),
            activations: activations.filter(log_level).collect(),
            with_outcome: items.of_kind(Kind::Finished).flat_map(|(_, entry)| causes(entry)).collect(),
            counters: BTreeSet::new(),
        }
    }

    /// Reads the proof of an allowed decision and takes note of its counter.
    fn read_proof(&mut self, seen: &Seen<'_>) -> Result<Proof, Failure> {
        let token = seen.value("pop").ok_or_else(|| {
            let text = "the holder's proof for this act is not shown: that the holder asked for it cannot be checked";
            chain::failure(Code::PopMissing, text)
        })?;
        let (signed, pop) = chain::parse_pop(token.as_str().unwrap_or_default())?;
        let counter = (signed.kid().to_owned(), pop.audience.clone(), pop.counter);
        Ok(Proof { replayed: !self.counters.insert(counter), signed, pop })
    }
}

/// The time of the decision in seconds, where it is known.
fn check_time(seen: &Seen<'_>, entry: &Entry, findings: &mut Findings) -> Option<u64> {
    let decided = seen.number("decided_at_ms");
    if decided.is_none_or(|decided| decided.abs_diff(entry.observed_ms) > DECISION_AGE_MAX_MS) {
        let text =
            "when this was decided is not shown, or lies more than a minute from when the log recorded it";
        findings.at(seen.index, Code::DecisionTime, text);
    }
    decided.map(|decided| decided / 1_000)
}

/// The decision took every log-level entry before it into account.
fn check_revocations(seen: &Seen<'_>, log_level: &[u64], findings: &mut Findings) {
    let Some(revocations) = seen.value("revocations") else {
        let text = "which revocations this decision took into account is withheld: whether it missed one was not checked";
        findings.at(seen.index, Code::RevocationsWithheld, text);
        return;
    };
    let before = log_level.partition_point(|index| *index < seen.index);
    let last = before.checked_sub(1).and_then(|at| log_level.get(at)).copied();
    let used = revocations.get("index").and_then(uint);
    if used.is_none() || used != last {
        let text = "the decision did not take into account all that was recorded before it: a revocation may be missed";
        findings.at(seen.index, Code::DecisionRevocations, text);
    }
}

fn check_policy(seen: &Seen<'_>, activations: &[&Seen<'_>], findings: &mut Findings) {
    let Some(decided_under) = seen.value("policy_digest") else {
        let text = "the policy of this decision is withheld: whether it was the active one was not checked";
        findings.at(seen.index, Code::PolicyWithheld, text);
        return;
    };
    let before = activations.partition_point(|activation| activation.index < seen.index);
    let active = before.checked_sub(1).and_then(|at| activations.get(at));
    let text = match active {
        None => "no policy was active in this log when this was decided",
        Some(active) => match active.value("policy_digest") {
            Some(digest) if json::jcs(&digest) != json::jcs(&decided_under) => {
                "this was decided under another policy than the one that was active"
            }
            _ => return,
        },
    };
    findings.at(seen.index, Code::DecisionPolicy, text);
}

/// The delegation holds at the time, and the key behind it is still registered.
fn check_authority(
    seen: &Seen<'_>,
    held: &Held,
    at_s: Option<u64>,
    register: &Register,
    findings: &mut Findings,
) {
    if let Some(at_s) = at_s {
        add(seen, chain::in_time(&held.delegation.root, at_s), findings);
    }
    if held.request_key().is_some_and(|key| register.at(key, seen.index).is_none()) {
        let text = "the key of the principal behind this act was no longer registered when it was decided";
        findings.at(seen.index, Code::PrincipalRetired, text);
    }
}

/// What the decision says of task, principal and holder is what the delegation says.
fn check_binding(seen: &Seen<'_>, held: &Held, findings: &mut Findings) {
    let root = &held.delegation.root;
    let (principal, holder) = (&root.principal, &root.holder);
    let has = |value: &Value, name: &str, text: &str| value.get(name).and_then(Value::as_str) == Some(text);
    let task = seen.value("txn").is_none_or(|_| seen.id("txn") == Some(root.txn));
    let who = seen
        .value("principal")
        .is_none_or(|value| has(&value, "iss", &principal.iss) && has(&value, "sub", &principal.sub));
    let by = seen
        .value("holder")
        .is_none_or(|value| has(&value, "id", &holder.id) && has(&value, "key", &holder.key));
    if !(task && who && by) {
        let text = "the decision names another task, principal or holder than its delegation: the record is not true";
        findings.at(seen.index, Code::DecisionBinding, text);
    }
}

fn read_args(seen: &Seen<'_>) -> Args {
    match seen.raw("args").map(json::parse_i_json) {
        None => Args::Withheld,
        Some(Ok(Value::Object(args))) => Args::Object(args),
        Some(_) => Args::Unacceptable,
    }
}

impl Args {
    fn object(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Object(args) => Some(args),
            Self::Withheld | Self::Unacceptable => None,
        }
    }
}

fn check_scope(seen: &Seen<'_>, held: &Held, args: &Args, findings: &mut Findings) {
    if matches!(args, Args::Unacceptable) {
        let text =
            "the arguments are not a JSON object that every reader reads alike: they must not be acted upon";
        findings.at(seen.index, Code::Scope, text);
    }
    let Some(tool) = seen.text("tool") else {
        let text = "the tool is not shown, so that the delegation includes it cannot be checked: ask for it";
        findings.at(seen.index, Code::Scope, text);
        return;
    };
    let checked = add(seen, chain::in_scope(&held.delegation.root, &tool, args.object()), findings);
    if checked == Some(false) && matches!(args, Args::Withheld) {
        let text =
            "the delegation constrains the arguments and they are withheld: whether they fit was not checked";
        findings.at(seen.index, Code::ScopeArgsWithheld, text);
    }
}

fn check_proof(
    seen: &Seen<'_>,
    held: &Held,
    proof: &Proof,
    at_s: Option<u64>,
    args: &Args,
    findings: &mut Findings,
) {
    let Delegation { root, digest } = &held.delegation;
    let Proof { signed, pop, replayed } = proof;
    add(seen, chain::proven_by_holder(signed, root), findings);
    let (tool, args_digest) = (seen.text("tool"), seen.text("args_digest"));
    let to = chain::Binding {
        issuer: &root.issuer,
        leaf: digest,
        tool: tool.as_deref(),
        act_id: seen.id("act_id"),
        args_digest: args_digest.as_deref(),
        args: args.object(),
    };
    add(seen, chain::bound(pop, &to), findings);
    if let Some(at_s) = at_s {
        add(seen, chain::pop_in_time(pop, at_s), findings);
    }
    if *replayed {
        let text = "the holder's proof has a counter that an earlier allowed act used: one proof served for two acts";
        findings.at(seen.index, Code::PopReplayed, text);
    }
}

/// Leaf hashes in this log that an entry names as its causes.
fn causes(entry: &Entry) -> impl Iterator<Item = [u8; 32]> {
    entry.causes.iter().filter_map(|cause| match cause {
        Cause::Here(leaf) => Some(*leaf),
        Cause::Elsewhere(..) => None,
    })
}

fn add<T>(seen: &Seen<'_>, result: Result<T, Failure>, findings: &mut Findings) -> Option<T> {
    result.map_err(|failure| findings.at(seen.index, failure.step, failure.text)).ok()
}
