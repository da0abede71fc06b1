//! The checks behind the labels: the same functions that the recorder and the offline audit call.

use std::collections::BTreeSet;

use evidence::delegation::{Link as Claims, Root};
use evidence::label::Check;
use evidence::{Entry, id, json};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};
use verify::chain::{self, Act, Chain, Failure, Step};

use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::query::chains::{Behind, Place, Recorded, Until, captured};
use crate::query::standing::Knowledge;
use crate::query::{run_row, unsigned};
use crate::record::Record;

/// One check of an act under its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Every link held at the time of the decision.
    Time,
    /// The keys behind the root were registered then.
    Keys,
    /// Nothing known then revoked or halted it.
    Orders,
    /// Every link includes the tool, and the arguments as far as they are there.
    Scope,
    /// The arguments were there to be checked against every link.
    Arguments,
    /// The holder's proof is about this act, at its time.
    Proof,
}

/// What the checks of one action found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The chain, as far as it holds.
    pub(super) recorded: Recorded,
    /// What stands behind its root.
    pub(super) behind: Behind,
    /// What the log knew of it when the act was decided.
    pub(super) knowledge: Knowledge,
    /// The checks of the act that were made and hold.
    held: BTreeSet<Part>,
    /// The act was refused: then checks that fail are what is expected.
    refused: bool,
}

impl Checked {
    /// What the root says, whether or not it was checked.
    pub(super) fn root(&self) -> Option<&Root> {
        self.recorded.claims.first()?.as_root()
    }

    /// What the leaf says, whether or not it was checked.
    pub(super) fn leaf(&self) -> Option<&Claims> {
        self.recorded.claims.last()
    }

    /// Position of the root's entry.
    pub(super) fn root_index(&self) -> u64 {
        self.recorded.root().map_or(0, |record| record.index)
    }

    /// The chain, where all of it holds.
    pub(super) fn chain(&self) -> Option<&Chain> {
        self.recorded.sound()
    }

    /// Of what the principal's signature covers.
    pub(super) fn asked(&self) -> Check {
        self.behind.asked(self.recorded.chain.as_ref())
    }

    /// Of the holder's name: the principal named it in what she signed, or the delegator in the link.
    pub(super) fn holder_named(&self) -> Check {
        match self.recorded.records.len() {
            0 => Check::NotChecked,
            1 => {
                captured(self.behind.request.as_ref().is_some_and(|request| request.request.holder.is_some()))
            }
            count => self.recorded.signed(count - 1),
        }
    }

    /// Of what the holder's proof covers, where the chain covers the act.
    pub(super) fn proven(&self) -> Check {
        let all = [Part::Time, Part::Keys, Part::Orders, Part::Scope, Part::Proof];
        captured(all.into_iter().all(|part| self.holds(part)))
    }

    /// Whether a check of the act was made and holds.
    pub(super) fn holds(&self, part: Part) -> bool {
        self.held.contains(&part)
    }

    fn fails(&self, failure: &Failure, decision: &Record, margin: &mut Margin) {
        if !self.refused {
            margin.failed(failure, decision.index);
        }
    }
}

impl Index {
    /// Checks the chain behind a decision. What fails of an allowed act is a finding; a refusal is expected to fail.
    pub(super) fn check_authority(
        &self,
        decision: &Record,
        entry: &Entry,
        margin: &mut Margin,
    ) -> Result<Checked, LineageError> {
        let refused = decision.text("verdict").as_deref() == Some("deny");
        let mut checked = Checked { refused, ..Checked::default() };
        let Some(leaf) = decision.text("chain") else { return Ok(checked) };
        let genesis = self.genesis()?;
        let place = Place { run: entry.run, below: decision.index };
        checked.recorded = self.chain_to(&leaf, Some(place), genesis.as_ref(), margin)?;
        if !refused {
            let text = match (checked.recorded.records.is_empty(), checked.recorded.elsewhere) {
                (true, _) => Some("its delegation is not in the log".to_owned()),
                (_, Some(index)) => Some(format!("its delegation @{index} is one of another run")),
                _ => None,
            };
            if let Some(text) = text {
                margin.finding("decision-delegation", Some(decision.index), text);
            }
        }
        checked.behind = self.behind(&checked.recorded, genesis.as_ref(), margin)?;
        self.check_revocations(decision, margin)?;
        if let Some(chain) = checked.chain().cloned() {
            checked.knowledge = self.knowledge(&chain, Until::below(decision.index), margin)?;
            check_act(decision, &chain, &mut checked, margin);
        }
        Ok(checked)
    }

    /// A decision names the last log-level entry before it: it overlooked none.
    fn check_revocations(&self, decision: &Record, margin: &mut Margin) -> Result<(), LineageError> {
        let Some(used) = decision.value("revocations").and_then(|value| value.get("index")?.as_u64()) else {
            return Ok(());
        };
        let last = self.read(|db, _| last_log_level(db, decision.index))?;
        if last.is_some_and(|last| last != used) && decision.text("verdict").as_deref() == Some("allow") {
            let text = format!(
                "it took the log into account up to @{used}, not up to the last entry about the log before it"
            );
            margin.finding("decision-revocations", Some(decision.index), text);
        }
        Ok(())
    }
}

/// The steps of an act under a chain (format §6), each as far as what it is about is open.
fn check_act(decision: &Record, chain: &Chain, checked: &mut Checked, margin: &mut Margin) {
    let closed = |what: &str, checked: &Checked, margin: &mut Margin| {
        if !checked.refused {
            margin.left_out.push(format!("the check of {what}: what it is about is closed"));
        }
    };
    let Some(at_ms) = decision.number("decided_at_ms") else {
        return closed("times and revocations", checked, margin);
    };
    match checked.knowledge.with(|known| chain::in_force(chain, at_ms / 1_000, known)) {
        Ok(()) => checked.held.extend([Part::Time, Part::Keys, Part::Orders]),
        Err(failure) => {
            // the steps before the one that failed hold
            match failure.step {
                Step::DelegationTime => {}
                Step::PrincipalRetired => checked.held.extend([Part::Time]),
                _ => checked.held.extend([Part::Time, Part::Keys]),
            }
            checked.fails(&failure, decision, margin);
        }
    }
    let Some(tool) = decision.text("tool") else { return closed("the scope", checked, margin) };
    let args: Option<Map<String, Value>> = decision
        .exact("args")
        .and_then(|exact| json::parse_i_json(exact.as_bytes()).ok())
        .and_then(|args| args.as_object().cloned());
    match chain::covered(chain, &tool, args.as_ref()) {
        Ok(arguments_checked) => {
            checked.held.insert(Part::Scope);
            checked.held.extend(arguments_checked.then_some(Part::Arguments));
        }
        Err(failure) => checked.fails(&failure, decision, margin),
    }
    let parts = (decision.text("args_digest"), decision.id("act_id"), decision.text("pop"));
    let (Some(args_digest), Some(act_id), Some(pop)) = parts else {
        return closed("the proof of possession", checked, margin);
    };
    let act = Act { tool: &tool, args: args.as_ref(), args_digest: &args_digest, act_id, at_ms };
    match chain::possession(chain, &pop, &act) {
        Ok(_) => checked.held.extend([Part::Proof]),
        Err(failure) => checked.fails(&failure, decision, margin),
    }
}

fn last_log_level(db: &Connection, below: u64) -> rusqlite::Result<Option<u64>> {
    let Some(run) = run_row(db, &id::LOG_LEVEL)? else { return Ok(None) };
    db.prepare_cached("SELECT idx FROM chain WHERE run = ?1 AND idx < ?2 ORDER BY idx DESC LIMIT 1")?
        .query_row(params![run, sql(below)], |row| unsigned(row, 0))
        .optional()
}
