//! What is recorded of runs and is no action: gaps, refusals, orders that were about them, counters that are missing.

use std::collections::BTreeSet;

use evidence::Kind;
use evidence::id::{self, Id};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use verify::chain::Chain;
use verify::orders::Orders;

use super::chains::{Genesis, Until, text_of};
use super::standing::{Knowledge, halt, revocation};
use super::{At, cut, optional, run_row};
use crate::answer::{Fact, Margin};
use crate::error::LineageError;
use crate::fold::ranges::Ranges;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::{REMARKS_MAX, RUN_CHAINS_MAX, RUNS_NAMED_MAX};
use crate::record::Record;

/// Something beside the actions of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemarkRow {
    /// Position.
    pub index: u64,
    /// `gap`; `refusal`; `revoked`, `halted`, `resumed`: an order that was about a delegation of the run;
    /// `counter-hole`, at the run's end: proofs that its holder counted and that are not recorded.
    pub what: &'static str,
    /// Its run.
    pub run: String,
    /// Why: the reason of the gap or the order, what was refused, or which counters are missing.
    pub why: Fact,
    /// How many calls, frames or proofs it stands for.
    pub count: Fact,
}

/// Where a run begins and ends.
struct Span {
    started: Option<u64>,
    ended: Option<u64>,
}

impl Index {
    /// All remarks about runs, in the order of the log.
    pub(crate) fn remarks(
        &self,
        runs: &BTreeSet<Id>,
        margin: &mut Margin,
    ) -> Result<Vec<RemarkRow>, LineageError> {
        let mut remarks = self.gaps_and_refusals(runs, margin)?;
        remarks.extend(self.orders_and_counters(runs, margin)?);
        remarks.sort_by_key(|remark| remark.index);
        Ok(remarks)
    }

    fn gaps_and_refusals(
        &self,
        runs: &BTreeSet<Id>,
        margin: &mut Margin,
    ) -> Result<Vec<RemarkRow>, LineageError> {
        let mut found: Vec<At> = Vec::new();
        for run in runs {
            found.extend(self.read(|db, _| remarks_of(db, run))?);
        }
        found.sort_by_key(|at| at.index);
        cut(&mut found, REMARKS_MAX, "gaps and refusals that are no actions", margin);
        let mut remarks = Vec::new();
        for at in found {
            remarks.extend(self.expect(at, margin)?.as_ref().and_then(remark));
        }
        Ok(remarks)
    }

    /// Orders about the delegations of runs, and counters that are missing at their ends.
    pub(crate) fn orders_and_counters(
        &self,
        runs: &BTreeSet<Id>,
        margin: &mut Margin,
    ) -> Result<Vec<RemarkRow>, LineageError> {
        let mut remarks = Vec::new();
        let genesis = if self.read(|db, _| has_orders(db))? { self.genesis()? } else { None };
        for run in runs {
            let Some(span) = self.read(|db, _| span(db, run))? else { continue };
            if let Some(genesis) = &genesis {
                self.orders_about(run, &span, genesis, &mut remarks, margin)?;
            }
            self.missing_counters(run, &span, &mut remarks)?;
        }
        remarks.sort_by_key(|remark| remark.index);
        Ok(remarks)
    }

    /// Orders that came after a run began and are about a delegation used in it.
    fn orders_about(
        &self,
        run: &Id,
        span: &Span,
        genesis: &Genesis,
        remarks: &mut Vec<RemarkRow>,
        margin: &mut Margin,
    ) -> Result<(), LineageError> {
        let mut tokens = self.read(|db, _| tokens_of(db, run))?;
        cut(&mut tokens, RUN_CHAINS_MAX, "delegations of one run that orders may be about", margin);
        let mut told = BTreeSet::new();
        for token in tokens {
            let Some(digest) = self.read(|db, _| text_of(db, token))? else { continue };
            // what is wrong with the chain is for the answers about it to say
            let recorded = self.chain_to(&digest, None, Some(genesis), &mut Margin::default())?;
            let Some(chain) = recorded.sound() else { continue };
            let knowledge = self.knowledge(chain, Until::END, margin)?;
            for record in knowledge.entries.values() {
                let what = about(record, chain, &knowledge, span);
                if let Some(what) = what.filter(|_| told.insert(record.index)) {
                    remarks.push(RemarkRow {
                        index: record.index,
                        what,
                        run: id::text(run),
                        why: Fact::of(record, "why"),
                        count: Fact::missing("none", None),
                    });
                }
            }
        }
        Ok(())
    }

    /// Counters that the holders of an ended run must have used, and that no decision of theirs has.
    fn missing_counters(
        &self,
        run: &Id,
        span: &Span,
        remarks: &mut Vec<RemarkRow>,
    ) -> Result<(), LineageError> {
        let Some(ended) = span.ended else { return Ok(()) };
        for (why, count) in self.read(|db, _| holes_of(db, run))? {
            remarks.push(RemarkRow {
                index: ended,
                what: "counter-hole",
                run: id::text(run),
                why: Fact::recorded(why, ended),
                count: Fact::recorded(count, ended),
            });
        }
        Ok(())
    }
}

/// What an order did to a run, if it did anything: revocations whenever they came, halts while it was open.
fn about(record: &Record, chain: &Chain, knowledge: &Knowledge, span: &Span) -> Option<&'static str> {
    let begun = span.started.is_some_and(|started| record.index > started);
    let open = begun && span.ended.is_none_or(|ended| record.index < ended);
    let mut alone = Orders::default();
    if let Some((what, target, eff)) = revocation(record) {
        alone.revoke(record.index, what, target, eff);
        let at_s = eff.max(chain.exp());
        let fits = knowledge.with(|known| alone.revoked(chain, at_s, known.root_logged_s, known.owner));
        return fits.filter(|_| begun).map(|_| "revoked");
    }
    if let Some(on) = halt(record) {
        alone.halt(record.index, on);
        return alone.halted(chain).filter(|_| open).map(|_| "halted");
    }
    // it is among the entries because it lifts a halt of this chain
    open.then_some("resumed")
}

/// Gaps, refused frames and counted refusals of a run; one more than an answer gives.
fn remarks_of(db: &Connection, run: &Id) -> rusqlite::Result<Vec<At>> {
    let Some(run) = run_row(db, run)? else { return Ok(Vec::new()) };
    db.prepare_cached(
        "SELECT idx, leaf FROM remarks WHERE run = ?1 AND (kind = ?2 OR kind = ?3 AND subtype IN ('frame', 'refusals'))
         ORDER BY idx LIMIT ?4",
    )?
    .query_map(
        [run, i64::from(Kind::Gap.code()), i64::from(Kind::Observed.code()), sql(REMARKS_MAX + 1)],
        super::run::at,
    )?
    .collect()
}

fn remark(record: &Record) -> Option<RemarkRow> {
    let entry = record.entry.as_ref()?;
    let gap = entry.kind() == Some(Kind::Gap);
    let why = if gap { Fact::of(record, "reason") } else { Fact::of(record, "payload") };
    Some(RemarkRow {
        index: record.index,
        what: if gap { "gap" } else { "refusal" },
        run: id::text(&entry.run),
        why,
        count: Fact::of(record, "count"),
    })
}

fn has_orders(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM revocations) OR EXISTS (SELECT 1 FROM halts)")?
        .query_row([], |row| row.get(0))
}

fn span(db: &Connection, run: &Id) -> rusqlite::Result<Option<Span>> {
    db.prepare_cached("SELECT started, ended FROM runs WHERE run = ?1")?
        .query_row([run], |row| Ok(Span { started: optional(row, 0)?, ended: optional(row, 1)? }))
        .optional()
}

/// Delegations of a run that none of its other delegations was made below: their chains hold all the others.
fn tokens_of(db: &Connection, run: &Id) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached(
        "SELECT DISTINCT own.token FROM delegations AS own JOIN runs ON runs.id = own.run
         WHERE runs.run = ?1 AND own.token IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM links JOIN delegations AS below ON below.token = links.token AND below.run = own.run
           WHERE links.parent = own.token)
         ORDER BY own.idx DESC LIMIT ?2",
    )?
    .query_map(params![run, sql(RUN_CHAINS_MAX + 1)], |row| row.get(0))?
    .collect()
}

/// The holes in the counters of a run, each in a sentence, and how many proofs it stands for.
pub(super) fn holes_of(db: &Connection, run: &Id) -> rusqlite::Result<Vec<(String, u64)>> {
    let told = |(key, first, count): (String, u64, u64)| {
        let signer = key.split(' ').next().unwrap_or_default();
        let why = format!(
            "the key `{signer}` counted {count} more proofs than are recorded, the first of them {first}: they were \
             refused unrecorded, or left out"
        );
        (why, count)
    };
    Ok(missing(db, run)?.into_iter().map(told).collect())
}

/// Whose counters have holes that no other run of the same key fills: the key, the first hole, and how many.
fn missing(db: &Connection, run: &Id) -> rusqlite::Result<Vec<(String, u64, u64)>> {
    let Some(run) = run_row(db, run)? else { return Ok(Vec::new()) };
    let own: Vec<(i64, String, String)> = db
        .prepare_cached(
            "SELECT key, ranges, val FROM counters JOIN dict ON dict.id = counters.key WHERE run = ?1",
        )?
        .query_map([run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut holes = Vec::new();
    for (key, ranges, name) in own {
        let mut ranges: Ranges = serde_json::from_str(&ranges).unwrap_or_default();
        let Some(top) = ranges.top() else { continue };
        let others: Vec<String> = db
            .prepare_cached("SELECT ranges FROM counters WHERE key = ?1 AND run <> ?2 LIMIT ?3")?
            .query_map([key, run, sql(RUNS_NAMED_MAX)], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for other in others {
            ranges.extend(&serde_json::from_str(&other).unwrap_or_default(), top);
        }
        holes.extend(ranges.missing().map(|(first, count)| (name, first, count)));
    }
    Ok(holes)
}
