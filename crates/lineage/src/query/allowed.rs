//! `allowed`: what somebody could do at a time: the scope of each chain exactly, and what the policies said of it.

use std::sync::Arc;

use evidence::delegation::Link as Claims;
use evidence::id;
use evidence::label::Assurance;
use evidence::limits::SKEW_S;
use evidence::tool::{self, ANY, Scheme, split};
use policy::{
    OutlookRequest, PolicyFile, PolicySet, Prospect, RequestAgent, RequestDelegation, RequestPrincipal,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Value, json};
use verify::chain::Chain;

use super::chains::{Genesis, Recorded, Until, text_of};
use super::run::at;
use super::standing::{LIVE, NOT_YET, UNKNOWN};
use super::who::{Column, whose_links};
use super::{assurance_of_grade, cut, unsigned, utc};
use crate::answer::{Answer, Fact, Margin};
use crate::error::LineageError;
use crate::fold::links::LinkKind;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::{ALLOWED_AROUND_S, NAMES_MAX, ROWS_DEFAULT};

/// Answer of [`Index::allowed`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allowed {
    /// One for each chain that could be used at that time, or within a day of it; the usable ones first.
    pub delegations: Vec<AllowedRow>,
    /// Digest of the policy set in force then.
    pub policy_digest: Fact,
}

/// One chain, named by its last link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AllowedRow {
    /// Its token digest.
    pub digest: String,
    /// Position of its first entry.
    pub index: u64,
    /// Who could use it.
    pub holder: Fact,
    /// On whose authority.
    pub principal: Fact,
    /// The task.
    pub txn: String,
    /// Why it was given.
    pub purpose: String,
    /// The first second at which every link holds.
    pub from: u64,
    /// The first second at which some link no longer does.
    pub until: u64,
    /// `live`, `not-yet`, `expired`, `revoked`, `halted`, `key-retired`, or `unknown` where it does not hold or could
    /// not be checked.
    pub state: &'static str,
    /// Why it is not live, or what became known later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Acts allowed under it up to that time.
    pub used: u64,
    /// Every run that it was recorded in had ended by then: the last end. It holds still, and nobody is known to act
    /// under it. Absent for one that was issued ahead of its use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_ended: Option<RunsEnded>,
    /// What it allows.
    pub tools: Vec<AllowedTool>,
}

/// That the runs of a delegation are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunsEnded {
    /// How many.
    pub count: u64,
    /// Position of the last end.
    pub index: u64,
    /// The log's clock then, ms.
    pub at_ms: u64,
}

/// One row of a scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AllowedTool {
    /// Tool URI, or `<server>#*`.
    pub tool: String,
    /// The limits on its arguments that every link allows; `{}` for any.
    pub arguments: Value,
    /// `always`, `never` or `conditional`: what the policies in force then say of calls within these limits.
    pub policy: &'static str,
    /// The policies it depends on.
    pub policies: Vec<String>,
    /// Whether a link demands a person's approval for it.
    pub approval: bool,
}

/// The policies in force at a time.
pub(super) struct InForce {
    pub(super) set: Option<Arc<PolicySet>>,
    pub(super) digest: Fact,
}

impl Index {
    /// What `who` could do at a time (ms): a principal's `sub`, a holder's id, a thumbprint, a token digest or a run.
    ///
    /// Judged with what the log knew by then; what became known later is said in `why`. The chain part is exact. The
    /// policy part is about `tools/call`, or the method that a URI names, and never says always or never unless no
    /// argument and no context could change it. [`LineageError::NotFound`] when the log knows nobody of that name.
    pub fn allowed(&self, who: &str, at_ms: u64) -> Result<Answer<Allowed>, LineageError> {
        let at_s = at_ms / 1_000;
        let (size, named, mut tokens) = self.read(|db, size| {
            let named = whose_links(db, who)?;
            let tokens = candidates(db, &named.columns, at_s)?;
            Ok((size, named, tokens))
        })?;
        if named.columns.is_empty() {
            return Err(LineageError::NotFound {
                what: "principal, agent, key, delegation or run",
                name: who.to_owned(),
                size,
                advice: "`deeds identities` names those there are".into(),
            });
        }
        let mut margin = Margin::default();
        if named.cut {
            margin.left_out.push(format!("the name stands for more than {NAMES_MAX} identities"));
        }
        cut(&mut tokens, ROWS_DEFAULT, "delegations", &mut margin);
        let genesis = self.genesis()?;
        let policies = self.policies_at(at_ms, &mut margin)?;
        let mut delegations = Vec::new();
        for token in tokens {
            delegations.extend(self.allowed_row(token, at_ms, genesis.as_ref(), &policies, &mut margin)?);
        }
        // the state is known only now; the order within one state is that of the ends
        delegations.sort_by_key(|row: &AllowedRow| (row.state != LIVE, row.runs_ended.is_some()));
        Ok(margin.answer(size, Allowed { delegations, policy_digest: policies.digest }))
    }

    fn allowed_row(
        &self,
        token: i64,
        at_ms: u64,
        genesis: Option<&Genesis>,
        policies: &InForce,
        margin: &mut Margin,
    ) -> Result<Option<AllowedRow>, LineageError> {
        let (digest, used) = self.read(|db, _| Ok((text_of(db, token)?, used_until(db, token, at_ms)?)))?;
        let Some(digest) = digest else { return Ok(None) };
        let recorded = self.chain_to(&digest, None, genesis, margin)?;
        let (Some(record), Some(leaf)) = (recorded.leaf(), recorded.claims.last()) else { return Ok(None) };
        let behind = self.behind(&recorded, genesis, margin)?;
        let (state, why) = self.state_at(&recorded, at_ms, margin)?;
        let root = recorded.claims.first().and_then(Claims::as_root);
        let runs_ended = self.runs_ended(token, at_ms)?;
        let holder = leaf.holder();
        let signed = recorded.signed(recorded.records.len().saturating_sub(1));
        let principal = match (root, recorded.root()) {
            (Some(root), Some(record)) => {
                let grade = record.text("evidence_grade");
                Fact::recorded(json!(root.principal), record.index)
                    .assured(assurance_of_grade(grade.as_deref()))
                    .checked(behind.asked(recorded.chain.as_ref()))
            }
            _ => Fact::missing("unknown", None),
        };
        Ok(Some(AllowedRow {
            digest,
            index: record.index,
            holder: Fact::recorded(json!(holder), record.index)
                .assured(Assurance::parse(&holder.asr))
                .checked(signed),
            principal,
            txn: id::text(leaf.txn()),
            purpose: leaf.purpose().to_owned(),
            from: recorded.claims.iter().map(Claims::nbf).max().unwrap_or_default(),
            until: recorded.claims.iter().map(Claims::exp).min().unwrap_or_default(),
            state,
            why,
            used,
            runs_ended,
            tools: tools(&recorded, policies),
        }))
    }

    /// The last end of the runs of a delegation, where all of them had ended by a time.
    fn runs_ended(&self, token: i64, at_ms: u64) -> Result<Option<RunsEnded>, LineageError> {
        let Some((count, last)) = self.read(|db, _| ended(db, token))? else { return Ok(None) };
        let ended_ms = self.record(last)?.entry.map(|entry| entry.observed_ms);
        let by_then = ended_ms.filter(|ended_ms| *ended_ms <= at_ms);
        Ok(by_then.map(|ended_ms| RunsEnded { count, index: last, at_ms: ended_ms }))
    }

    /// The state of a chain by what the log knew at a time; later news of that time beside it.
    pub(crate) fn state_at(
        &self,
        recorded: &Recorded,
        at_ms: u64,
        margin: &mut Margin,
    ) -> Result<(&'static str, Option<String>), LineageError> {
        let Some(chain) = recorded.sound() else {
            return Ok((UNKNOWN, Some("its signatures do not hold, or could not be checked".into())));
        };
        // a root holds from a little before it was issued, for clocks that differ; until then nobody had it
        let issued = chain.root().iat;
        if at_ms / 1_000 < issued {
            return Ok((NOT_YET, Some(format!("it was issued at {}", utc(issued)))));
        }
        let standing = self.knowledge(chain, Until::at(at_ms), margin)?.standing(chain, at_ms / 1_000);
        if standing.state != LIVE {
            return Ok((standing.state, standing.why));
        }
        let since = self.knowledge(chain, Until::END, margin)?;
        let doubt = since.revoked(chain, at_ms / 1_000).map(|(index, what)| {
            format!("{what} was revoked later (@{index}), with effect from before this time: what was done then is in doubt")
        });
        Ok((LIVE, doubt))
    }

    /// The policy set that was in force at a time.
    pub(super) fn policies_at(&self, at_ms: u64, margin: &mut Margin) -> Result<InForce, LineageError> {
        let found = self.read(|db, _| {
            db.prepare_cached(
                "SELECT idx, leaf FROM policies WHERE observed_ms <= ?1 ORDER BY idx DESC LIMIT 1",
            )?
            .query_row([sql(at_ms)], at)
            .optional()
        })?;
        let Some(record) = found.map_or(Ok(None), |at| self.expect(at, margin))? else {
            margin.left_out.push("what the policies say: none was active by then".into());
            return Ok(InForce { set: None, digest: Fact::missing("none", None) });
        };
        let digest = Fact::of(&record, "policy_digest");
        let files = record.typed::<Vec<File>>("files").unwrap_or_default();
        let set = self.compiled(digest.text().unwrap_or_default(), files);
        if set.is_none() {
            let text =
                format!("what the policies say: those of @{} are closed, or do not load here", record.index);
            margin.left_out.push(text);
        }
        Ok(InForce { set, digest })
    }

    /// The policy set with this digest; the last one is kept, because compiling it takes longer than asking it.
    fn compiled(&self, digest: &str, files: Vec<File>) -> Option<Arc<PolicySet>> {
        if let Some(kept) = self.kept_policies(digest) {
            return Some(kept);
        }
        let files = files.into_iter().map(|file| PolicyFile { path: file.path, text: file.text });
        let set = PolicySet::from_files(files.collect()).ok().filter(|set| set.digest() == digest)?;
        let set = Arc::new(set);
        self.keep_policies(digest, &set);
        Some(set)
    }
}

/// A file of a policy set, as its entry has it.
#[derive(serde::Deserialize)]
struct File {
    path: String,
    text: String,
}

/// What every link of a chain allows, row by row of the leaf: a child is nowhere wider than its parent.
fn tools(recorded: &Recorded, policies: &InForce) -> Vec<AllowedTool> {
    let Some(leaf) = recorded.claims.last() else { return Vec::new() };
    let scope = leaf.scope().to_json();
    let rows = scope.as_object().into_iter().flatten();
    rows.map(|(tool, arguments)| {
        let outlook = recorded
            .sound()
            .zip(policies.set.as_ref())
            .map(|(chain, set)| outlook(set, chain, tool, recorded));
        AllowedTool {
            tool: tool.clone(),
            arguments: arguments.clone(),
            // what cannot be asked is open
            policy: outlook.as_ref().map_or(Prospect::Conditional, |outlook| outlook.prospect).as_str(),
            policies: outlook.map(|outlook| outlook.policies).unwrap_or_default(),
            approval: recorded
                .claims
                .iter()
                .filter_map(Claims::approvals)
                .any(|approvals| approvals.names(tool) || names_some(&approvals.tools, tool)),
        }
    })
    .collect()
}

/// Whether approvals are demanded for some tool of a row that stands for a whole server.
fn names_some(demanded: &[String], row: &str) -> bool {
    let Some((server, ANY)) = split(row) else { return false };
    demanded.iter().any(|tool| split(tool).is_some_and(|(of, _)| of == server))
}

fn outlook(set: &PolicySet, chain: &Chain, tool: &str, recorded: &Recorded) -> policy::Outlook {
    let root = chain.root();
    let leaf = chain.leaf();
    let holder = chain.holder();
    let grade = recorded.root().and_then(|record| record.text("evidence_grade")).unwrap_or_default();
    let assurance = assurance_of_grade(Some(&grade)).unwrap_or(Assurance::Inferred);
    let tools: Vec<String> = leaf.claims.scope().tools().map(str::to_owned).collect();
    let holders: Vec<String> = chain.links().map(|link| link.claims.holder().id).collect();
    let txn = id::text(&root.txn);
    set.outlook(&OutlookRequest {
        principal: RequestPrincipal {
            kind: root.principal.kind.as_str(),
            iss: &root.principal.iss,
            sub: &root.principal.sub,
            assurance: assurance.as_str(),
            grade: &grade,
        },
        agent: RequestAgent { id: &holder.id, key: &holder.key, assurance: &holder.asr },
        operation: operation(tool),
        tool,
        definition: None,
        delegation: RequestDelegation {
            leaf: &leaf.digest,
            depth: u32::try_from(leaf.claims.depth()).unwrap_or(u32::MAX),
            max_depth: u32::try_from(leaf.claims.max_depth()).unwrap_or(u32::MAX),
            tools: &tools,
            expires_ms: chain.exp().saturating_mul(1_000),
            txn: &txn,
            holders: &holders,
            purpose: Some(&root.purpose),
        },
    })
}

/// The operation that a row of a scope is asked about: that of its URI; of all that a command's alias may do, the one
/// thing that it can be.
fn operation(row: &str) -> &str {
    match split(row) {
        Some((server, ANY)) if matches!(Scheme::of(server), Some((Scheme::Run, _))) => tool::COMMAND,
        _ => tool::operation(row),
    }
}

/// Tokens of delegations that could be used at a time or within a day of it, the usable and longest ones first.
fn candidates(db: &Connection, columns: &[Column], at_s: u64) -> rusqlite::Result<Vec<i64>> {
    let mut found: Vec<(bool, u64, i64)> = Vec::new();
    for (column, id) in columns {
        let values = params![
            id,
            sql(at_s.saturating_sub(ALLOWED_AROUND_S)),
            sql(at_s.saturating_add(ALLOWED_AROUND_S)),
            sql(at_s),
            sql(at_s.saturating_add(SKEW_S)),
            LinkKind::Mandate as u8,
            sql(ROWS_DEFAULT + 1),
        ];
        let mut rows = db.prepare_cached(&statement(column))?;
        let rows = rows.query_map(values, |row| Ok((row.get(1)?, unsigned(row, 2)?, row.get(0)?)))?;
        found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    // one name may stand for principal and holder of one delegation
    found.dedup();
    Ok(found.into_iter().map(|(_, _, token)| token).collect())
}

fn statement(column: &str) -> String {
    // of the chains recorded in a run, those that are bound to a key it acts with: the others belong to those above it
    let condition = if column == "run" {
        "token IN (SELECT token FROM delegations WHERE run = ?1) AND key IN (SELECT key FROM users WHERE run = ?1)"
            .to_owned()
    } else {
        format!("{column} = ?1")
    };
    // whoever names one delegation wants it, whenever it held
    let around = if column == "token" { "?2 <= ?3" } else { "exp > ?2 AND iat < ?3" };
    format!(
        "SELECT token, exp > ?4 AND iat <= ?5, exp FROM links WHERE {condition} AND {around} AND kind <> ?6
         ORDER BY 2 DESC, exp DESC, token DESC LIMIT ?7"
    )
}

/// How many runs a delegation was recorded in and where the last of them ended; nothing while one is open, and for one
/// that was issued ahead, because whoever has it may begin another run with it.
const ENDED: &str =
    "SELECT COUNT(DISTINCT runs.id), MAX(runs.ended) FROM delegations JOIN runs ON runs.id = delegations.run
    WHERE token = ?1 HAVING COUNT(*) > 0 AND COUNT(*) = COUNT(runs.ended) AND MAX(runs.issued) = 0";

fn ended(db: &Connection, token: i64) -> rusqlite::Result<Option<(u64, u64)>> {
    db.prepare_cached(ENDED)?.query_row([token], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?))).optional()
}

fn used_until(db: &Connection, token: i64, at_ms: u64) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT COUNT(*) FROM actions WHERE token = ?1 AND verdict = 'allow' AND at_ms <= ?2")?
        .query_row(params![token, sql(at_ms)], |row| unsigned(row, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delegations_are_found_by_their_own_index() {
        let db = crate::schema::in_memory();
        for column in ["principal", "holder", "key"] {
            let plan = crate::schema::plan(&db, &statement(column));
            assert!(plan.contains(&format!("USING INDEX links_{column} ")), "{plan}");
        }
        for column in ["token", "run"] {
            let plan = crate::schema::plan(&db, &statement(column));
            assert!(plan.contains("SEARCH links USING INTEGER PRIMARY KEY"), "{plan}");
        }
    }

    #[test]
    fn the_runs_of_a_delegation_are_found_by_its_token() {
        let plan = crate::schema::plan(&crate::schema::in_memory(), ENDED);
        assert!(plan.contains("delegations_token") && plan.contains("SEARCH runs"), "{plan}");
    }

    #[test]
    fn a_method_is_told_from_a_tool() {
        assert_eq!(operation("stdio:fs#read_file"), "tools/call");
        assert_eq!(operation("stdio:fs#resources/read"), "resources/read");
        assert_eq!(operation("stdio:fs#*"), "tools/call");
        assert_eq!(operation("run:git#*"), "command/run");
        assert_eq!(operation("run:git#command/run"), "command/run");
        assert_eq!(operation("https://run.example/mcp#*"), "tools/call");
        assert!(names_some(&["stdio:fs#rm".into()], "stdio:fs#*"));
        assert!(!names_some(&["stdio:fs#rm".into()], "stdio:edr#*"));
        assert!(!names_some(&["stdio:fs#rm".into()], "stdio:fs#read"));
    }
}
