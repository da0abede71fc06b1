//! What a bundle about some delegation has to carry beside the run that used it (format §9).

use std::collections::BTreeSet;

use evidence::id::{self, Id};
use rusqlite::{Connection, params};

use super::chains::{Place, Until};
use super::{At, run_row};
use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::query::run::at;

/// Where the entries are that the checks of one chain need, outside the run that used it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The run in which its root was recorded first.
    pub issuance: Option<Id>,
    /// Position of the mandate that its root names.
    pub mandate: Option<u64>,
    /// Positions of the revocations, halts and resumptions that are about it, whenever they came.
    pub orders: BTreeSet<u64>,
}

/// A run that another one announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildRun {
    /// Position of the entry that announces it.
    pub index: u64,
    /// Its id.
    pub run: Id,
}

impl Index {
    /// Positions of the delegations that an act in `run`, decided at `below`, was done under: root first, as far as
    /// they are there.
    pub fn links_in(&self, run: &Id, leaf: &str, below: u64) -> Result<Vec<u64>, LineageError> {
        let place = Place { run: *run, below };
        let genesis = self.genesis()?;
        let recorded = self.chain_to(leaf, Some(place), genesis.as_ref(), &mut Margin::default())?;
        Ok(recorded.records.iter().map(|record| record.index).collect())
    }

    /// What the chain that ends in a token digest needs beside its own links.
    pub fn needs_of(&self, leaf: &str) -> Result<Needs, LineageError> {
        let mut margin = Margin::default();
        let genesis = self.genesis()?;
        let recorded = self.chain_to(leaf, None, genesis.as_ref(), &mut margin)?;
        let mut needs = Needs::default();
        let first = recorded.root().and_then(|record| record.entry.as_ref());
        needs.issuance = first.map(|entry| entry.run).filter(|run| *run != id::LOG_LEVEL);
        let behind = self.behind(&recorded, genesis.as_ref(), &mut margin)?;
        needs.mandate = behind.mandate.map(|record| record.index);
        if let Some(chain) = recorded.sound() {
            let knowledge = self.knowledge(chain, Until::END, &mut margin)?;
            needs.orders = knowledge.entries.into_keys().collect();
        }
        Ok(needs)
    }

    /// The runs that a run announces, in their order, at most `max`.
    pub fn children_of(&self, run: &Id, max: u64) -> Result<Vec<ChildRun>, LineageError> {
        let found = self.read(|db, _| children(db, run, max))?;
        let mut margin = Margin::default();
        let mut runs = Vec::new();
        for at in found {
            let child = self.expect(at, &mut margin)?.and_then(|record| record.id("child"));
            runs.extend(child.map(|run| ChildRun { index: at.index, run }));
        }
        Ok(runs)
    }
}

fn children(db: &Connection, run: &Id, max: u64) -> rusqlite::Result<Vec<At>> {
    let Some(run) = run_row(db, run)? else { return Ok(Vec::new()) };
    db.prepare_cached("SELECT idx, leaf FROM children WHERE run = ?1 ORDER BY idx LIMIT ?2")?
        .query_map(params![run, sql(max)], at)?
        .collect()
}
