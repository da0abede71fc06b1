//! What verification has to say: verdict, findings, and the facts that were shown with what each is worth.

mod links;

use evidence::id;
use evidence::label::Check;
use evidence::{Entry, Kind, digest::hex};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::finding::{Code, Finding, Findings};
use crate::genesis::{Genesis, key_check};
use crate::items::{Items, Seen};
use crate::steps::checkpoint::Head;
use crate::steps::delegations::{Delegations, Held};
use crate::steps::outcomes;
use crate::trust::TrustRoots;

/// What a verified bundle does not prove; every report says so.
pub const NOT_PROVEN: &[&str] = &[
    "that nothing went unrecorded: an act that bypassed the gate leaves no entry",
    "that the log was not rolled back or forked, as long as no witness cosigned it",
    "that a label `asserted` or `inferred` is true",
    "that a key was used by the person it belongs to",
];

/// The verdict on a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every check that could be made holds.
    Verified,
    /// At least one check does not hold.
    Failed,
    /// Not a bundle that can be read.
    Unreadable,
}

impl Verdict {
    /// The word used in JSON and text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
        }
    }

    /// Exit code of `deeds verify`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Failed => 1,
            Self::Unreadable => 2,
        }
    }
}

/// The answer to "does this bundle hold".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// By log index (none first), then by code.
    pub findings: Vec<Finding>,
    /// The log and its head; none where the bundle is unreadable.
    pub log: Option<LogFacts>,
    /// Every decision in the bundle, by index.
    pub actions: Vec<ActionFacts>,
}

/// The log that a bundle is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogFacts {
    /// Origin, as the bundle says.
    pub origin: String,
    /// Hex of the leaf hash of entry 0, as the bundle says.
    pub log_id: String,
    /// Entries in the log at the checkpoint; none where it is malformed.
    pub size: Option<u64>,
    /// Hex root at the checkpoint.
    pub root: Option<String>,
    /// What the checkpoint's signature was checked with.
    #[serde(serialize_with = "as_word")]
    pub key: Check,
}

/// One thing that a decision or outcome says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it says; null where it is withheld or absent.
    pub value: Value,
    /// What it was checked with.
    #[serde(serialize_with = "as_word")]
    pub check: Check,
}

/// Who, with how strongly that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The principal or holder object; null where it is withheld.
    pub value: Value,
    /// The assurance that the log recorded (a word of format §7), where it is shown.
    pub assurance: Option<String>,
    /// What it was checked with: `not-checked` where the log's word is all there is.
    #[serde(serialize_with = "as_word")]
    pub check: Check,
}

/// One decision, and the outcome of its act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionFacts {
    /// Log index of the decision.
    pub index: u64,
    /// Its run.
    pub run: String,
    /// The log's clock when it was recorded, ms.
    pub observed_ms: u64,
    /// Where its writer stood.
    pub vantage: &'static str,
    /// The act.
    pub act_id: Fact,
    /// When it was decided, ms.
    pub decided_at_ms: Fact,
    /// Tool URI.
    pub tool: Fact,
    /// The arguments, where they are shown.
    pub args: Fact,
    /// Digest of the arguments.
    pub args_digest: Fact,
    /// What was decided.
    pub verdict: Fact,
    /// Why it was refused.
    pub reason: Fact,
    /// The policy it was decided under.
    pub policy_digest: Fact,
    /// The policies that determined it.
    pub determining: Fact,
    /// On whose authority: checked by the principal's signed request or mandate.
    pub principal: Identity,
    /// Who held the leaf: checked by the proof of possession and the signatures from the issuer's down to it.
    pub holder: Identity,
    /// Evidence grade of the root (format §5).
    pub grade: Fact,
    /// Token digest of the leaf delegation.
    pub delegation: Fact,
    /// The delegations that covered it, root first; empty where that was not shown.
    pub chain: Vec<LinkFacts>,
    /// The standing authority that the root was issued under.
    pub mandate: Option<MandateFacts>,
    /// Why the glass was broken; none where this was no break-glass act.
    pub break_glass: Option<String>,
    /// Log index of the outcome, where it is shown.
    pub outcome_index: Option<u64>,
    /// What came of it.
    pub status: Fact,
}

/// One delegation of the chain behind an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkFacts {
    /// Its token digest.
    pub digest: String,
    /// Who holds it.
    pub holder: Identity,
    /// Thumbprint of the key that it is bound to.
    pub key: String,
    /// Who gave it: the principal of the root, the holder above of a child.
    pub delegator: Identity,
    /// The tools it includes.
    pub tools: Vec<String>,
    /// What it allows less than the link above it; a root: than its mandate.
    pub narrowed: Vec<String>,
    /// The first second at which it no longer holds.
    pub exp: u64,
    /// What for.
    pub purpose: String,
    /// Links above it.
    pub depth: u64,
    /// How deep the chain may grow.
    pub max_depth: u64,
    /// Whether another link is bound to the same key: their holders cannot be told apart.
    pub shares_key: bool,
}

/// A mandate behind an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MandateFacts {
    /// Its token digest.
    pub digest: String,
    /// Log index of its entry.
    pub index: u64,
    /// Whose standing authority it is.
    pub principal: Identity,
    /// Which registered principals may get roots under it.
    pub holders: Vec<String>,
    /// The first second at which it no longer holds.
    pub exp: u64,
}

/// What the steps have established, for the facts.
pub(crate) struct Established<'k> {
    pub(crate) bundle: &'k Bundle,
    pub(crate) head: &'k Head,
    pub(crate) genesis: &'k Genesis,
    pub(crate) delegations: &'k Delegations,
    pub(crate) trust: &'k TrustRoots,
}

impl Report {
    /// Of bytes that are no bundle.
    pub(crate) fn unreadable(findings: Findings) -> Self {
        Self { verdict: Verdict::Unreadable, findings: findings.sorted(), log: None, actions: Vec::new() }
    }

    /// Of a bundle that went through all steps.
    pub(crate) fn of(items: &Items<'_>, established: &Established<'_>, findings: Findings) -> Self {
        let verdict = if findings.failed() { Verdict::Failed } else { Verdict::Verified };
        let checkpoint = established.head.checkpoint.as_ref();
        let log = LogFacts {
            origin: established.bundle.origin.clone(),
            log_id: hex(&established.bundle.log_id),
            size: checkpoint.map(|checkpoint| checkpoint.size),
            root: checkpoint.map(|checkpoint| hex(&checkpoint.root)),
            key: established.head.check,
        };
        let actions = actions(items, established, &findings);
        Self { verdict, findings: findings.sorted(), log: Some(log), actions }
    }
}

fn actions(items: &Items<'_>, established: &Established<'_>, findings: &Findings) -> Vec<ActionFacts> {
    let mut outcomes = std::collections::BTreeMap::new();
    for (outcome, entry) in items.of_kind(Kind::Finished) {
        if let Some(decision) = outcomes::decision_of(entry, items) {
            outcomes.entry(decision.index).or_insert(outcome);
        }
    }
    items
        .of_kind(Kind::Decided)
        .map(|(seen, entry)| action(seen, entry, outcomes.get(&seen.index).copied(), established, findings))
        .collect()
}

fn action(
    seen: &Seen<'_>,
    entry: &Entry,
    outcome: Option<&Seen<'_>>,
    established: &Established<'_>,
    findings: &Findings,
) -> ActionFacts {
    let recorded = |seen: &Seen<'_>, name: &str| {
        // an entry with any error vouches for nothing that it says
        let check = if findings.error_at(seen.index) { Check::NotChecked } else { established.head.check };
        Fact::of(seen.stated(name), check)
    };
    let fact = |name: &str| recorded(seen, name);
    // only an allowed decision has a proof that was checked: anybody can name a delegation and be refused
    let proven = seen
        .text("chain")
        .and_then(|chain| established.delegations.find(&chain, &entry.run, seen.index))
        .filter(|_| seen.text("verdict").as_deref() == Some(evidence::Verdict::Allow.as_str()))
        .filter(|_| !findings.error_at(seen.index));
    let assurance = seen.value("assurance").unwrap_or_default();
    let identity = principal(seen, proven, &assurance, established);
    ActionFacts {
        index: seen.index,
        run: id::text(&entry.run),
        observed_ms: entry.observed_ms,
        vantage: evidence::Vantage::name_of(entry.vantage),
        act_id: fact("act_id"),
        decided_at_ms: fact("decided_at_ms"),
        tool: fact("tool"),
        args: fact("args"),
        args_digest: fact("args_digest"),
        verdict: fact("verdict"),
        reason: fact("reason"),
        policy_digest: fact("policy_digest"),
        determining: fact("determining"),
        principal: identity.clone(),
        holder: holder(seen, proven, &assurance, established),
        grade: Fact::of(assurance.get("grade").cloned(), fact("assurance").check),
        delegation: fact("chain"),
        chain: proven.map(|held| links::of(held, &identity, established)).unwrap_or_default(),
        mandate: proven.and_then(|held| links::mandate(held, established)),
        break_glass: proven.and_then(links::break_glass),
        outcome_index: outcome.map(|outcome| outcome.index),
        status: outcome.map_or_else(|| Fact::of(None, Check::NotChecked), |seen| recorded(seen, "status")),
    }
}

/// The principal, as the root names it where the signature behind it was checked, else as recorded.
fn principal(
    seen: &Seen<'_>,
    proven: Option<&Held>,
    assurance: &Value,
    established: &Established<'_>,
) -> Identity {
    let (value, check) = match proven {
        Some(held) => {
            let root = held.chain.root();
            // under a mandate it is that signature which gives the authority
            let key = root.source.mandate().or(root.source.request());
            let check = key.map_or(Check::NotChecked, |named| key_check(&named.kid, established.trust));
            (json!(root.principal), weaker(check, established.head.check))
        }
        None => (seen.stated("principal").unwrap_or_default(), Check::NotChecked),
    };
    Identity { value, assurance: word(assurance, "principal"), check }
}

/// The holder, as the leaf names it where the signatures down to it and the proof were checked.
fn holder(
    seen: &Seen<'_>,
    proven: Option<&Held>,
    assurance: &Value,
    established: &Established<'_>,
) -> Identity {
    let (value, check) = match proven.filter(|held| held.signature_checked) {
        Some(held) => (json!(held.chain.holder()), links::check(held, established)),
        None => (seen.stated("holder").unwrap_or_default(), Check::NotChecked),
    };
    Identity { value, assurance: word(assurance, "holder"), check }
}

/// What hangs on two checks is worth no more than the weaker one.
fn weaker(one: Check, other: Check) -> Check {
    // the labels are declared strongest first
    one.max(other)
}

fn word(assurance: &Value, of: &str) -> Option<String> {
    assurance.get(of).and_then(Value::as_str).map(str::to_owned)
}

impl Fact {
    fn of(value: Option<Value>, check: Check) -> Self {
        match value {
            Some(value) => Self { value, check },
            None => Self { value: Value::Null, check: Check::NotChecked },
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn as_word<S: Serializer>(check: &Check, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(check.as_str())
}

impl Report {
    /// Whether a finding with this code is there.
    pub fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }
}
