//! Step 11: every act that was allowed was covered by a chain, proven by its holder, and decided under the policy and
//! the revocations of its time.

use std::collections::BTreeSet;

use evidence::delegation::{BREAK_GLASS, Pop};
use evidence::id::LOG_LEVEL;
use evidence::jws::Signed;
use evidence::limits::DECISION_AGE_MAX_MS;
use evidence::{Cause, Entry, Kind, Verdict, json};
use serde_json::{Map, Value};

use crate::chain::{self, Chain, Failure};
use crate::finding::{Code, Findings};
use crate::items::{Items, Seen, uint};
use crate::orders::Orders;
use crate::steps::delegations::Delegations;
use crate::steps::keys::{Register, Registered};
use crate::steps::orders::Order;

/// What earlier steps established.
pub(crate) struct Earlier<'e> {
    pub(crate) delegations: &'e Delegations,
    pub(crate) register: &'e Register,
    /// Revocations and halts by index.
    pub(crate) orders: &'e [(u64, Order)],
}

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
    /// The orders before the decision that is being checked.
    known: Orders,
    /// How many orders `known` has taken in.
    taken: usize,
    /// All orders, later ones too; what was halted in the meantime does not matter here.
    all: Orders,
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
pub(crate) fn check(items: &Items<'_>, earlier: &Earlier<'_>, findings: &mut Findings) {
    let mut context = Context::of(items, earlier.orders);
    for (seen, entry) in items.of_kind(Kind::Decided) {
        if seen.text("verdict").as_deref() == Some(Verdict::Allow.as_str()) {
            context.take_orders_before(seen.index, earlier.orders);
            check_one(seen, entry, earlier, &mut context, findings);
        }
    }
}

fn check_one(
    seen: &Seen<'_>,
    entry: &Entry,
    earlier: &Earlier<'_>,
    context: &mut Context<'_, '_>,
    findings: &mut Findings,
) {
    let proof = context.read_proof(seen);
    let Some(leaf) = seen.value("chain") else {
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
    let held = leaf.as_str().and_then(|digest| earlier.delegations.find(digest, &entry.run, seen.index));
    let Some(held) = held else {
        let text = "the delegation that this decision names was not recorded before it in this run, or it or one above it \
                    has errors: the act is not shown to be covered by anybody's authority";
        findings.at(seen.index, Code::DecisionDelegation, text);
        return;
    };
    let (chain, args) = (&held.chain, read_args(seen));
    check_authority(seen, chain, at_s, earlier.register, findings);
    if let Some(at_s) = at_s {
        check_orders(seen, chain, at_s, earlier, context, findings);
    }
    check_halts(seen, chain, &context.known, findings);
    check_binding(seen, chain, findings);
    check_scope(seen, chain, &args, findings);
    if let Some(proof) = proof {
        check_proof(seen, chain, &proof, at_s, &args, findings);
    }
}

impl<'s, 'a> Context<'s, 'a> {
    fn of(items: &'s Items<'a>, orders: &[(u64, Order)]) -> Self {
        let mut all = Orders::default();
        for (index, order) in orders {
            order.apply(*index, &mut all);
        }
        let log_level = |seen: &&Seen<'a>| seen.entry.as_ref().is_ok_and(|entry| entry.run == LOG_LEVEL);
        let activations = items.of_kind(Kind::PolicyActivated).map(|(seen, _)| seen);
        Self {
            log_level: items.list.iter().filter(log_level).map(|seen| seen.index).collect(),
            activations: activations.filter(log_level).collect(),
            with_outcome: items.of_kind(Kind::Finished).flat_map(|(_, entry)| causes(entry)).collect(),
            counters: BTreeSet::new(),
            known: Orders::default(),
            taken: 0,
            all,
        }
    }

    /// Decisions come by index, so what was known to one was known to the next.
    fn take_orders_before(&mut self, index: u64, orders: &[(u64, Order)]) {
        while let Some((at, order)) = orders.get(self.taken).filter(|(at, _)| *at < index) {
            order.apply(*at, &mut self.known);
            self.taken += 1;
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

/// Every link holds at the time, and the keys behind the root are still registered.
fn check_authority(
    seen: &Seen<'_>,
    chain: &Chain,
    at_s: Option<u64>,
    register: &Register,
    findings: &mut Findings,
) {
    if let Some(at_s) = at_s {
        add(seen, chain.links().try_for_each(|link| chain::in_time(link, at_s)), findings);
    }
    if chain.root().source.keys().any(|key| register.at(key, seen.index).is_none()) {
        let text = "a key of a principal behind this act was no longer registered when it was decided";
        findings.at(seen.index, Code::PrincipalRetired, text);
    }
    if chain.shares_key() {
        let text =
            "two links of the chain are bound to one key: which of the two agents acted cannot be told";
        findings.at(seen.index, Code::KeyReused, text);
    }
    if chain.root().purpose == BREAK_GLASS {
        let text = "this was done under a break-glass authority: somebody has to review it";
        findings.at(seen.index, Code::BreakGlass, text);
    }
}

/// Nothing of the chain had been revoked for the time of the decision; what was revoked since is in doubt.
fn check_orders(
    seen: &Seen<'_>,
    chain: &Chain,
    at_s: u64,
    earlier: &Earlier<'_>,
    context: &Context<'_, '_>,
    findings: &mut Findings,
) {
    let logged_s = earlier.delegations.recorded_s(&chain.root_link().digest);
    let owner = |key: &str| earlier.register.at(key, seen.index).and_then(Registered::owner);
    if let Some((index, what)) = context.known.revoked(chain, at_s, logged_s, &owner) {
        let text = format!("{what} had been revoked at position {index}: the act should have been refused");
        findings.at(seen.index, Code::Revoked, text);
    } else if let Some((index, what)) = context.all.revoked(chain, at_s, logged_s, &owner) {
        let text = format!(
            "{what} was revoked later, at position {index}, for a time before this act: it was right to allow it then, what \
             it did is in doubt"
        );
        findings.at(seen.index, Code::InDoubt, text);
    }
}

fn check_halts(seen: &Seen<'_>, chain: &Chain, known: &Orders, findings: &mut Findings) {
    if let Some(index) = known.halted(chain) {
        let text =
            format!("this was halted at position {index} and not resumed: the act should have been refused");
        findings.at(seen.index, Code::Halted, text);
    }
}

/// What the decision says of task, principal and holder is what the chain says.
fn check_binding(seen: &Seen<'_>, chain: &Chain, findings: &mut Findings) {
    let (root, holder) = (chain.root(), chain.holder());
    let has = |value: &Value, name: &str, text: &str| value.get(name).and_then(Value::as_str) == Some(text);
    let task = seen.value("txn").is_none_or(|_| seen.id("txn") == Some(root.txn));
    let who = seen.value("principal").is_none_or(|value| {
        has(&value, "iss", &root.principal.iss) && has(&value, "sub", &root.principal.sub)
    });
    let by = seen.value("holder").is_none_or(|value| {
        has(&value, "id", &holder.id) && has(&value, "key", &holder.key) && has(&value, "asr", &holder.asr)
    });
    if !(task && who && by) {
        let text =
            "the decision names another task, principal or holder than its chain: the record is not true";
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

fn check_scope(seen: &Seen<'_>, chain: &Chain, args: &Args, findings: &mut Findings) {
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
    let mut checked = true;
    for link in chain.links() {
        let included = add(seen, chain::in_scope(link, &tool, args.object()), findings);
        checked &= included != Some(false);
    }
    if !checked && matches!(args, Args::Withheld) {
        let text =
            "the delegation constrains the arguments and they are withheld: whether they fit was not checked";
        findings.at(seen.index, Code::ScopeArgsWithheld, text);
    }
    if chain.links().any(|link| chain::named_for_approval(link, &tool)) {
        let text = "the delegation demands an approval for this tool, and none was given: the act should have been refused";
        findings.at(seen.index, Code::Approval, text);
    }
}

fn check_proof(
    seen: &Seen<'_>,
    chain: &Chain,
    proof: &Proof,
    at_s: Option<u64>,
    args: &Args,
    findings: &mut Findings,
) {
    let Proof { signed, pop, replayed } = proof;
    add(seen, chain::proven_by_holder(signed, chain.leaf().claims.cnf()), findings);
    let (tool, args_digest) = (seen.text("tool"), seen.text("args_digest"));
    let to = chain::Binding {
        issuer: &chain.root().issuer,
        leaf: &chain.leaf().digest,
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
