//! The log-level chain of a bundle: what a shown decision relied on, and what the log learnt since.

use std::collections::BTreeSet;

use evidence::Kind;
use evidence::id::LOG_LEVEL;
use evidence::jws::{self, Signed};
use lineage::{Index, LineageError, Record};

use super::{Extent, Plan, Planned, Show, Wanted, check_count, past_limit};
use crate::error::ReportError;

/// What every revocation shows: without it nobody could say that it takes away nothing that is shown.
const REVOCATION: Show = Show::Only(&["what", "target", "eff"]);
/// The same of a halt, and of its end.
const HALT: Show = Show::Only(&["change", "on", "halt"]);

impl Plan {
    /// The log-level chain from entry 0 as far as a shown decision or delegation relies on it: genesis, the keys
    /// registered by then, the policies, the orders. Then, as far as there is room, what has been published since:
    /// later revocations put acts in doubt, and a file that could show one does.
    pub(super) fn add_log_level(
        &mut self,
        index: &Index,
        wanted: &Wanted,
        extent: Extent,
    ) -> Result<(), ReportError> {
        // the two genesis entries are needed in any case
        let until = self.shown(&[Kind::Decided, Kind::Delegated]).last().unwrap_or(0).max(2);
        let positions = index.chain_of(&LOG_LEVEL, 0, until, past_limit())?;
        check_count(positions.len())?;
        let policies = self.policies_used(index, &positions)?;
        for position in positions {
            let record = index.record(position)?;
            let show = match record.kind() {
                Some(Kind::LogGenesis | Kind::KeyOrTrustChanged) => Show::All,
                Some(Kind::PolicyActivated) if policies.contains(&position) => {
                    Show::Only(&["policy_digest", "files"])
                }
                // that it is another one than the one used is for everybody to see; what it says is not
                Some(Kind::PolicyActivated) => Show::Only(&["policy_digest"]),
                _ => show_order(&record, wanted),
            };
            self.insert(record, show);
        }
        if extent == Extent::Room {
            self.add_later(index, wanted, until)?;
        }
        Ok(())
    }

    /// Published entries after the needed ones, without a hole, until the file is full.
    fn add_later(&mut self, index: &Index, wanted: &Wanted, from: u64) -> Result<(), ReportError> {
        let published = index.reader().published_size();
        let positions = index.chain_of(&LOG_LEVEL, from, published, past_limit())?;
        let records: Result<Vec<Record>, LineageError> =
            positions.into_iter().map(|position| index.record(position)).collect();
        let records = records?;
        let signers = signers(&records, wanted);
        for record in records {
            let show = match record.kind() {
                // whose signature is on an order that is shown; of others only that something changed
                Some(Kind::KeyOrTrustChanged)
                    if record.text("thumbprint").is_some_and(|key| signers.contains(&key)) =>
                {
                    Show::All
                }
                _ => show_order(&record, wanted),
            };
            let planned = Planned { record, show };
            if !self.fits(1, planned.weight() + self.path) {
                break;
            }
            self.insert(planned.record, planned.show);
        }
        Ok(())
    }

    /// Positions of the policies that were in force at a shown decision.
    fn policies_used(&self, index: &Index, log_level: &[u64]) -> Result<Vec<u64>, LineageError> {
        let mut activated = Vec::new();
        for position in log_level {
            if index.record(*position)?.kind() == Some(Kind::PolicyActivated) {
                activated.push(*position);
            }
        }
        let before = |decision: u64| activated.iter().rev().find(|policy| **policy < decision).copied();
        Ok(self.shown(&[Kind::Decided]).filter_map(before).collect())
    }
}

/// Orders about what is shown and mandates behind it in full, of other orders what they take away.
fn show_order(record: &Record, wanted: &Wanted) -> Show {
    match record.kind() {
        Some(Kind::Revoked | Kind::HaltedOrResumed) if wanted.orders.contains(&record.index) => Show::All,
        Some(Kind::Revoked) => REVOCATION,
        Some(Kind::HaltedOrResumed) => HALT,
        Some(Kind::Delegated) if wanted.mandates.contains(&record.index) => Show::All,
        _ => Show::Nothing,
    }
}

/// Thumbprints of the keys that signed the orders which are shown in full.
fn signers(records: &[Record], wanted: &Wanted) -> BTreeSet<String> {
    let signer = |record: &Record| {
        let typ = match record.kind()? {
            Kind::Revoked => jws::REVOCATION,
            Kind::HaltedOrResumed => jws::HALT,
            _ => return None,
        };
        Some(Signed::parse(&record.text("token")?, typ).ok()?.kid().to_owned())
    };
    records.iter().filter(|record| wanted.orders.contains(&record.index)).filter_map(signer).collect()
}
