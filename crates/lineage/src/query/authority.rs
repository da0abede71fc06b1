//! `authority`: under whose authority one action was done, what was decided, and what came of it.
//!
//! Every part is read from the log; what a signature can prove is checked again with the functions that the recorder
//! and the offline audit use (`verify::chain`), and only what was checked is labelled so.

mod checks;
mod limits;
mod links;
mod parts;

use evidence::Digest;
use evidence::id::{self, Id};
use evidence::label::Check;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use store::ReadError;

use super::actions::Indexed;
use super::beside::{ArtifactsOf, ChangeRow, HumanInput};
use super::run::writer_of;
use super::select::indexed;
use super::{cut, unsigned};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::LATE_FACTS_MAX;
use crate::record::Record;
use parts::{decision_part, delegation_part, outcome_part, principal_part, run_part, tool_part};

pub use links::{BreakGlass, LinkCheck, LinkPart, MandatePart, RevocationRow, RevocationsPart};

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
    /// Positions of other decisions about the same act (attempts), oldest first: those with its id, and those that the
    /// cause of a retry names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<u64>,
    /// Changes before it of what it names and of what its server is, latest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub definition_changes: Vec<ChangeRow>,
    /// What somebody at the client answered within it, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub human_inputs: Vec<HumanInput>,
    /// What it had and what came of it, in short, and which of it was withdrawn.
    #[serde(flatten)]
    pub artifacts: ArtifactsOf,
    /// On whose authority.
    pub principal: PrincipalPart,
    /// The signed link that the act was done under: the last of `chain`.
    pub delegation: DelegationPart,
    /// Every signed link from principal to agent, root first, each with what it narrows and what was checked of it.
    pub chain: Vec<LinkPart>,
    /// The standing authority that the root was issued under; nothing where a principal asked for the root itself.
    pub mandate: Option<MandatePart>,
    /// A root that somebody took on its own authority; nothing for any other.
    pub break_glass: Option<BreakGlass>,
    /// Which revocations were known, and which have come since.
    pub revocations: RevocationsPart,
    /// The agent and its run.
    pub run: RunPart,
    /// The run that handed the work over: its id, at the entry in which it says so.
    pub parent_run: Fact,
    /// What was handed over: {"digest"?, "text"?}; the digest is in the signed link, the text is checked against it.
    pub handoff: Fact,
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

/// The signed link that the act was done under.
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

    /// Where an action is, and how much of the log that takes into account.
    pub(super) fn place(&self, which: Which) -> Result<(u64, Indexed), LineageError> {
        let (size, place) = self.read(|db, size| Ok((size, place(db, which)?)))?;
        Ok((size, place.ok_or_else(|| not_found(which, size))?.action))
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
        let revocations = self.revocations_part(&decision, &checked, &mut margin)?;
        let (parent_run, handoff) = self.handed_over(&entry, &checked, &mut margin)?;
        cut(&mut place.late, LATE_FACTS_MAX, "entries about it that came later", &mut margin);
        let act = decision.id("act_id");
        let mut attempts = self.attempts(decision.index, act, LATE_FACTS_MAX)?;
        cut(&mut attempts, LATE_FACTS_MAX, "other decisions about the same act", &mut margin);
        let committed = self.committed(&decision, finished.as_ref())?;
        let told = limits::Told {
            decision: &decision,
            finished: finished.as_ref(),
            started: started.as_ref(),
            checked: &checked,
            committed: &committed,
            revocations: &revocations,
        };
        let not_proven = limits::not_proven(&told);
        let authority = Authority {
            action: decision.index,
            act_id: Fact::of(&decision, "act_id").checked(checked.proven()),
            attempts,
            definition_changes: self.changes_before(&decision, &mut margin)?,
            human_inputs: self.human_inputs(&decision, &mut margin)?,
            artifacts: self.artifacts_of(&decision, finished.as_ref(), &mut margin)?,
            principal: principal_part(&decision, &checked),
            delegation: delegation_part(&decision, &checked),
            chain: links::chain_part(&checked),
            mandate: links::mandate_part(&checked),
            break_glass: links::break_glass(&checked),
            revocations,
            parent_run,
            handoff,
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
    LineageError::NotFound { what: "action", name, size, advice: advice.into() }
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
    Ok(Some(Place { action, late: late(db, act)?, policy }))
}

/// What was learnt about an act afterwards; one more than an answer gives. Parts of its lists and what people answered
/// within it have places of their own.
fn late(db: &Connection, act: Option<Id>) -> rusqlite::Result<Vec<u64>> {
    let Some(act) = act else { return Ok(Vec::new()) };
    db.prepare_cached(
        "SELECT idx FROM remarks WHERE act_id = ?1 AND IFNULL(subtype, '') NOT IN ('artifacts', 'human-input')
         ORDER BY idx LIMIT ?2",
    )?
    .query_map(params![act, sql(LATE_FACTS_MAX + 1)], |row| unsigned(row, 0))?
    .collect()
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
