//! `authority`: under whose authority one action was done, what was decided, and what came of it.
//!
//! Every part is read from the log; what a signature can prove is checked again with the functions that the recorder
//! and the offline audit use (`verify::chain`), and only what was checked is labelled so.

mod checks;
mod limits;

use evidence::Digest;
use evidence::Entry;
use evidence::delegation::Source;
use evidence::id::{self, Id};
use evidence::kind::Vantage;
use evidence::label::{Assurance, Check};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Value, json};
use store::ReadError;

use super::actions::{Indexed, indexed, status};
use super::run::writer_of;
use super::{assurance, cut, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::LATE_FACTS_MAX;
use crate::record::Record;
use checks::Checked;

/// Which action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// By the position of its decision or of its outcome.
    Index(u64),
    /// By its `act_id`; the latest attempt where there are several.
    Act(Id),
}

/// Answer of [`Index::authority`]: person → delegation → agent run → tool, then decision, outcome and proof.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Authority {
    /// Position of the decision.
    pub action: u64,
    /// The act.
    pub act_id: Fact,
    /// Positions of other decisions about the same act (attempts), oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<u64>,
    /// On whose authority.
    pub principal: PrincipalPart,
    /// The signed link from principal to agent.
    pub delegation: DelegationPart,
    /// The agent and its run.
    pub run: RunPart,
    /// What was called.
    pub tool: ToolPart,
    /// What was decided, and why.
    pub decision: DecisionPart,
    /// What came of it.
    pub outcome: OutcomePart,
    /// How far the log is committed to it.
    pub committed: Committed,
    /// What this evidence does not prove, in sentences.
    pub not_proven: Vec<String>,
}

/// On whose authority.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrincipalPart {
    /// {kind, iss, sub, key?}.
    pub principal: Fact,
    /// `issuer-only`, `key-signed` …: what stands behind the root of the delegation.
    pub grade: Fact,
    /// {t, …}: what the issuer relied on: the principal's signed request, or the user id of the process.
    pub source: Fact,
    /// Where its key was registered: {thumbprint, index}.
    pub registered: Fact,
}

/// The signed link from principal to agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelegationPart {
    /// Position of its entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Its token digest.
    pub digest: Fact,
    /// Who issued it.
    pub issuer: Fact,
    /// Why it was given.
    pub purpose: Fact,
    /// The row of its scope that governs this tool: {"tool": URI of the row, "constraints": {…}, "others": number of
    /// its other rows}.
    pub scope: Fact,
    /// All tools of its scope with the limits on their arguments.
    pub tools: Fact,
    /// Its life, seconds: {"from", "until"}.
    pub life: Fact,
    /// How deep a chain may grow below it.
    pub max_depth: Fact,
    /// The task.
    pub task: Fact,
}

/// The agent and its run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunPart {
    /// Id of the run.
    pub run: String,
    /// Stream within the run.
    pub stream: u64,
    /// Position where the run (or this writer of it) started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// {id, inst, kind, asr, key}.
    pub holder: Fact,
    /// Thumbprint of the key that proved this act.
    pub key: Fact,
    /// What it was started with: alias, command, digests.
    pub servers: Fact,
    /// What set it off.
    pub trigger: Fact,
    /// The model.
    pub model: Fact,
    /// The prompt.
    pub prompt: Fact,
    /// What the operating system says of the process that started it.
    pub client: Fact,
    /// What client and agent say of themselves.
    pub correlators: Fact,
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolPart {
    /// Its URI.
    pub uri: Fact,
    /// `tools/call` …
    pub operation: Fact,
    /// {classes, classified, why}.
    pub class: Fact,
    /// Digest of its definition, as a list showed it.
    pub definition: Fact,
    /// base64url digest of the arguments.
    pub args_digest: Fact,
    /// The arguments.
    pub args: Fact,
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionPart {
    /// Position.
    pub index: u64,
    /// Leaf hash, hex.
    pub leaf: String,
    /// Where the recorder stood.
    pub vantage: &'static str,
    /// The log's clock, ms.
    pub observed_ms: u64,
    /// The time that every check used, ms.
    pub decided_at_ms: Fact,
    /// `allow` or `deny`.
    pub verdict: Fact,
    /// Why not, for a refusal: {code, step, text}.
    pub reason: Fact,
    /// Digest of the policy set.
    pub policy_digest: Fact,
    /// Position that activated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_index: Option<u64>,
    /// Ids of the policies that determined the verdict.
    pub determining: Fact,
    /// Errors of the evaluation.
    pub errors: Fact,
    /// The policy engine.
    pub engine: Fact,
    /// Digest string of the exact evaluated request.
    pub request_digest: Fact,
    /// Position of the revocations that were taken into account.
    pub revocations: Fact,
    /// What stood in the path.
    pub enforcement_point: Fact,
    /// What the caller was known by.
    pub credential: Fact,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomePart {
    /// A status; `open` while there is none; nothing for a refusal.
    pub status: Fact,
    /// Position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Leaf hash, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// Digest string of the result.
    pub result_digest: Fact,
    /// {"us": microseconds}.
    pub duration: Fact,
    /// Why the status is what it is.
    pub detail: Fact,
    /// Positions of what was learnt about it later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<u64>,
}

/// How far the log is committed to decision and outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Committed {
    /// `included` (under a checkpoint), `sequenced` (durable, not yet published).
    pub state: &'static str,
    /// Size of the checkpoint that includes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Root of that checkpoint, hex; its check is that of the inclusion proofs.
    pub root: Fact,
}

/// Positions of one action's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Of its decision.
    pub decided: u64,
    /// Of its outcome.
    pub finished: Option<u64>,
}

/// What the index knows about one action.
struct Place {
    action: Indexed,
    attempts: Vec<u64>,
    late: Vec<u64>,
    policy: Option<u64>,
}

impl Index {
    /// Where an action is. [`LineageError::NotFound`] when there is no such action.
    pub fn locate(&self, which: Which) -> Result<Located, LineageError> {
        let (size, place) = self.read(|db, size| Ok((size, place(db, which)?)))?;
        let action = place.ok_or_else(|| not_found(which, size))?.action;
        Ok(Located { decided: action.decided.index, finished: action.finished.map(|at| at.index) })
    }

    /// Under whose authority an action was done. [`LineageError::NotFound`] when there is no such action.
    pub fn authority(&self, which: Which) -> Result<Answer<Authority>, LineageError> {
        let (size, place) = self.read(|db, size| Ok((size, place(db, which)?)))?;
        let not_found = || not_found(which, size);
        let mut place = place.ok_or_else(not_found)?;
        let mut margin = Margin::default();
        let Some(decision) = self.expect(place.action.decided, &mut margin)? else { return Err(not_found()) };
        let finished = match place.action.finished {
            Some(at) => self.expect(at, &mut margin)?,
            None => None,
        };
        let Some(entry) = decision.entry.clone() else { return Err(not_found()) };
        let started = self.read(|db, _| writer_of(db, &entry.run, entry.stream))?;
        let started = started.map(|index| self.record(index)).transpose()?;
        let checked = self.check_authority(&decision, &entry, &mut margin)?;
        self.check_policy(&decision, place.policy, &mut margin)?;
        cut(&mut place.late, LATE_FACTS_MAX, "entries about it that came later", &mut margin);
        cut(&mut place.attempts, LATE_FACTS_MAX, "other decisions about the same act", &mut margin);
        let committed = self.committed(&decision, finished.as_ref())?;
        let not_proven =
            limits::not_proven(&decision, finished.as_ref(), started.as_ref(), &checked, &committed);
        let authority = Authority {
            action: decision.index,
            act_id: Fact::of(&decision, "act_id").checked(checked.proven()),
            attempts: place.attempts,
            principal: principal_part(&decision, &checked),
            delegation: delegation_part(&decision, &checked),
            run: run_part(&decision, &entry, started.as_ref(), &checked),
            tool: tool_part(&decision, &checked),
            decision: decision_part(&decision, &entry, place.policy),
            outcome: outcome_part(&decision, finished.as_ref(), place.late),
            committed,
            not_proven,
        };
        Ok(margin.answer(size, authority))
    }

    fn check_policy(
        &self,
        decision: &Record,
        policy: Option<u64>,
        margin: &mut Margin,
    ) -> Result<(), LineageError> {
        let Some(index) = policy else {
            margin.finding("decision-policy", Some(decision.index), "no policy was activated before it");
            return Ok(());
        };
        let active = self.record(index)?;
        margin.note(&active);
        let digests = (decision.text("policy_digest"), active.text("policy_digest"));
        if let (Some(used), Some(active)) = digests
            && used != active
        {
            let text = format!("it names the policy `{used}`, while `{active}` was in force since @{index}");
            margin.finding("decision-policy", Some(decision.index), text);
        }
        Ok(())
    }

    /// The reader proves each entry's inclusion under the root of the newest checkpoint, which the log key signed.
    fn committed(&self, decision: &Record, finished: Option<&Record>) -> Result<Committed, LineageError> {
        let reader = self.reader();
        let sequenced = Committed { state: "sequenced", size: None, root: Fact::missing("none", None) };
        let checkpoint = match reader.checkpoint() {
            Ok((checkpoint, _)) => checkpoint,
            Err(ReadError::NotPublished { .. }) => return Ok(sequenced),
            Err(error) => return Err(error.into()),
        };
        for record in [Some(decision), finished].into_iter().flatten() {
            if record.index >= checkpoint.size {
                return Ok(sequenced);
            }
            reader.inclusion_proof(record.index, checkpoint.size)?;
        }
        let root = Fact { index: None, ..Fact::recorded(Digest(checkpoint.root).hex(), 0) };
        Ok(Committed {
            state: "included",
            size: Some(checkpoint.size),
            root: root.checked(Check::VerifiedCaptured),
        })
    }
}

fn not_found(which: Which, size: u64) -> LineageError {
    let (name, advice) = match which {
        Which::Index(index) => (format!("@{index}"), "`deeds did` lists actions by their decision"),
        Which::Act(act) => (id::text(&act), "`deeds did` lists actions with their ids"),
    };
    LineageError::NotFound { what: "action", name, size, advice }
}

/// An act may have several decisions; the last one is asked for.
fn statement(which: Which) -> String {
    let condition = match which {
        Which::Index(_) => "decided = ?1 OR finished = ?1",
        Which::Act(_) => "act_id = ?1",
    };
    format!(
        "SELECT decided, leaf, finished, finished_leaf, act_id FROM actions WHERE {condition}
         ORDER BY decided DESC LIMIT 1"
    )
}

fn place(db: &Connection, which: Which) -> rusqlite::Result<Option<Place>> {
    let value: &dyn rusqlite::ToSql = match &which {
        Which::Index(index) => &sql(*index),
        Which::Act(act) => act,
    };
    let found = db
        .prepare_cached(&statement(which))?
        .query_row([value], |row| Ok((indexed(row)?, row.get::<_, Option<Id>>(4)?)))
        .optional()?;
    let Some((action, act)) = found else { return Ok(None) };
    let policy = db
        .prepare_cached("SELECT idx FROM policies WHERE idx < ?1 ORDER BY idx DESC LIMIT 1")?
        .query_row([sql(action.decided.index)], |row| unsigned(row, 0))
        .optional()?;
    let mut attempts =
        related(db, "SELECT decided FROM actions WHERE act_id = ?1 ORDER BY decided LIMIT ?2", act)?;
    attempts.retain(|index| *index != action.decided.index);
    let late = related(db, "SELECT idx FROM remarks WHERE act_id = ?1 ORDER BY idx LIMIT ?2", act)?;
    Ok(Some(Place { action, attempts, late, policy }))
}

/// Positions that name the same act: one more than an answer gives, and the action itself.
fn related(db: &Connection, query: &str, act: Option<Id>) -> rusqlite::Result<Vec<u64>> {
    let Some(act) = act else { return Ok(Vec::new()) };
    db.prepare_cached(query)?
        .query_map(params![act, sql(LATE_FACTS_MAX + 2)], |row| unsigned(row, 0))?
        .collect()
}

fn principal_part(decision: &Record, checked: &Checked) -> PrincipalPart {
    let principal = match &checked.delegation {
        // the token names whom it was issued for; only the principal's own signature makes that checked
        Some(delegation) => Fact::recorded(json!(delegation.root.principal), delegation_index(checked)),
        None => Fact::of(decision, "principal"),
    };
    let grade = checked
        .link
        .as_ref()
        .map_or_else(|| Fact::missing("none", None), |link| Fact::of(link, "evidence_grade"));
    let source = checked.delegation.as_ref().map_or_else(
        || Fact::missing("none", None),
        |delegation| {
            let (source, assurance) = match &delegation.root.source {
                Source::KeyRequest { kid, digest, .. } => {
                    (json!({"t": "key-request", "key": kid, "request": digest}), None)
                }
                Source::PeerCredentials { uid } => {
                    (json!({"t": "peer-cred", "uid": uid}), Some(Assurance::Attested))
                }
            };
            Fact::recorded(source, delegation_index(checked)).assured(assurance).checked(checked.requested())
        },
    );
    let registered = checked.registered.as_ref().map_or_else(
        || Fact::missing("none", None),
        |registered| {
            let value = json!({"thumbprint": registered.thumbprint, "index": registered.index});
            Fact::recorded(value, registered.index).checked(checked.requested())
        },
    );
    PrincipalPart {
        principal: principal.assured(assurance(decision, "principal")).checked(checked.requested()),
        grade,
        source,
        registered,
    }
}

fn delegation_index(checked: &Checked) -> u64 {
    checked.link.as_ref().map_or(0, |link| link.index)
}

fn delegation_part(decision: &Record, checked: &Checked) -> DelegationPart {
    let of = |value: &dyn Fn(&evidence::delegation::Root) -> Value| match &checked.delegation {
        Some(delegation) => {
            // a delegation is only kept here once the issuer's signature was found to hold
            Fact::recorded(value(&delegation.root), delegation_index(checked))
                .checked(Check::VerifiedCaptured)
        }
        None => Fact::missing("none", None),
    };
    let tool = decision.text("tool");
    let digest = Fact::of(decision, "chain");
    DelegationPart {
        index: checked.link.as_ref().map(|link| link.index),
        digest: if checked.delegation.is_some() { digest.checked(Check::VerifiedCaptured) } else { digest },
        issuer: of(&|root| root.issuer.clone().into()),
        purpose: of(&|root| root.purpose.clone().into()),
        scope: match of(&|root| tool.as_deref().map_or(Value::Null, |tool| scope_row(root, tool))) {
            fact if fact.value.is_null() => Fact::missing("none", fact.index),
            fact => fact,
        },
        tools: of(&|root| root.scope.to_json()),
        life: of(&|root| json!({"from": root.nbf, "until": root.exp})),
        max_depth: of(&|root| root.max_depth.into()),
        task: of(&|root| id::text(&root.txn).into()),
    }
}

/// The row of a scope that governs a tool, as the delegation spells it; null where none does.
fn scope_row(root: &evidence::delegation::Root, tool: &str) -> Value {
    let all = root.scope.to_json();
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

fn run_part(decision: &Record, entry: &Entry, started: Option<&Record>, checked: &Checked) -> RunPart {
    let of = |name: &str| started.map_or_else(|| Fact::missing("none", None), |start| Fact::of(start, name));
    let key = checked.delegation.as_ref().map_or_else(
        || Fact::missing("none", None),
        |delegation| {
            Fact::recorded(delegation.root.cnf.thumbprint(), delegation_index(checked))
                .checked(checked.proven())
        },
    );
    let holder = Fact::of(decision, "holder").assured(assurance(decision, "holder"));
    RunPart {
        run: id::text(&entry.run),
        stream: entry.stream,
        started: started.map(|start| start.index),
        // who holds the key is the issuer's word, unless the principal named the holder in what she signed
        holder: if checked.holder_named() { holder.checked(checked.requested()) } else { holder },
        key,
        servers: of("servers"),
        trigger: of("trigger"),
        model: of("model"),
        prompt: of("prompt"),
        client: of("client").assured(Some(Assurance::Inferred)),
        correlators: Fact::of(decision, "correlators").assured(Some(Assurance::Asserted)),
    }
}

fn tool_part(decision: &Record, checked: &Checked) -> ToolPart {
    ToolPart {
        uri: Fact::of(decision, "tool").checked(checked.proven()),
        operation: Fact::of(decision, "operation"),
        class: Fact::of(decision, "class"),
        definition: Fact::of(decision, "definition_digest"),
        args_digest: Fact::of(decision, "args_digest").checked(checked.proven()),
        args: Fact::of(decision, "args").checked(checked.proven()),
    }
}

fn decision_part(decision: &Record, entry: &Entry, policy: Option<u64>) -> DecisionPart {
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

fn outcome_part(decision: &Record, finished: Option<&Record>, late: Vec<u64>) -> OutcomePart {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_found_without_reading_all_of_them() {
        let db = crate::schema::in_memory();
        for which in [Which::Index(1), Which::Act([0; 16])] {
            let plan = crate::schema::plan(&db, &statement(which));
            assert!(!plan.contains("SCAN"), "{plan}");
        }
    }
}
