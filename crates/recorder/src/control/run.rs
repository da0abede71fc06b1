//! One run in the control state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evidence::Entry;
use evidence::principal::{Holder, Principal};
use serde::{Deserialize, Serialize};

use super::{Change, hex32};
use crate::limits;

/// The head of a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Entries so far, which is the next `seq`.
    pub count: u64,
    /// Leaf hash of the last one.
    #[serde(with = "hex32")]
    pub last: [u8; 32],
}

impl Head {
    /// One more entry.
    pub fn extend(&mut self, leaf: [u8; 32]) {
        self.count += 1;
        self.last = leaf;
    }
}

/// An act that was permitted and has no outcome yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAct {
    /// Index of its decision.
    pub index: u64,
    /// Leaf hash of its decision.
    #[serde(with = "hex32")]
    pub leaf: [u8; 32],
    /// Stream of its decision.
    pub stream: u64,
}

/// An act that was decided lately: what a retry is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The act.
    pub act_id: String,
    /// Index of its decision.
    pub index: u64,
    /// Leaf hash of its decision.
    #[serde(with = "hex32")]
    pub leaf: [u8; 32],
    /// Whether it was permitted.
    pub allowed: bool,
    /// What was asked, and with which proof.
    #[serde(with = "hex32")]
    pub asked: [u8; 32],
    /// Its outcome is unknown, so a late one may still come.
    pub unknown: bool,
    /// Event id and index of its outcome, once there.
    pub finished: Option<(String, u64)>,
    /// Event id and index of outcomes that came too late.
    pub late: Vec<(String, u64)>,
}

/// One execution within a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its task.
    pub txn: String,
    /// On whose authority.
    pub principal: Principal,
    /// Evidence grade of its root.
    pub grade: String,
    /// Who acts.
    pub holder: Holder,
    /// Name of the server it wraps.
    pub alias: String,
    /// Chains by stream.
    pub streams: BTreeMap<u64, Head>,
    /// Permitted acts without outcome.
    pub open: BTreeMap<String, OpenAct>,
    /// Acts decided lately, oldest first.
    pub recent: VecDeque<Answered>,
    /// Root delegations by token digest: token, and the first second at which it no longer holds.
    pub delegations: BTreeMap<String, (String, u64)>,
    /// Thumbprints of the keys bound to them.
    pub keys: BTreeSet<String>,
    /// Gap entries so far.
    pub gaps: u64,
    /// Index of its manifest.
    pub ended: Option<u64>,
}

impl Run {
    /// The act, if it was decided lately.
    pub fn answered(&self, act_id: &str) -> Option<&Answered> {
        self.recent.iter().rev().find(|answered| answered.act_id == act_id)
    }

    /// The number of the stream that the next writer opens.
    pub fn next_stream(&self) -> u64 {
        self.streams.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Forgets the oldest answers beyond the limit: never that of an open act, and one that a late outcome may still
    /// come for only when there is no other.
    fn forget(&mut self) {
        while self.recent.len() > limits::RECENT_ACTS {
            let open = |answered: &Answered| self.open.contains_key(&answered.act_id);
            let known = self.recent.iter().position(|answered| !answered.unknown && !open(answered));
            let Some(oldest) = known.or_else(|| self.recent.iter().position(|answered| !open(answered)))
            else {
                return;
            };
            self.recent.remove(oldest);
        }
    }

    pub(super) fn apply(&mut self, index: u64, entry: &Entry, leaf: [u8; 32], change: Change) {
        match change {
            Change::Delegated { digest, token, thumbprint, exp } => {
                // one that ended a while ago can only be refused; without it the refusal says so too
                let oldest = (entry.observed_ms / 1_000).saturating_sub(limits::ENDED_DELEGATION_KEPT_S);
                self.delegations.retain(|_, (_, exp)| *exp >= oldest);
                self.delegations.insert(digest, (token, exp));
                self.keys.insert(thumbprint);
            }
            Change::Decided { act_id, allowed, asked, .. } => {
                if allowed {
                    self.open.insert(act_id.clone(), OpenAct { index, leaf, stream: entry.stream });
                }
                let (finished, late, unknown) = (None, Vec::new(), false);
                self.recent.push_back(Answered {
                    act_id,
                    index,
                    leaf,
                    allowed,
                    asked,
                    unknown,
                    finished,
                    late,
                });
                self.forget();
            }
            Change::Finished { act_id, event, unknown } => {
                self.open.remove(&act_id);
                if let Some(answered) =
                    self.recent.iter_mut().rev().find(|answered| answered.act_id == act_id)
                {
                    answered.finished = Some((event, index));
                    answered.unknown = unknown;
                }
            }
            Change::LateOutcome { act_id, event } => {
                if let Some(answered) =
                    self.recent.iter_mut().rev().find(|answered| answered.act_id == act_id)
                {
                    answered.late.push((event, index));
                }
            }
            Change::Gap => self.gaps += 1,
            Change::RunEnded if entry.stream == 0 => self.ended = Some(index),
            _ => {}
        }
    }
}
