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
    /// SHA-256 of the proof it came with.
    #[serde(with = "hex32")]
    pub pop: [u8; 32],
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
    /// Root delegations by token digest.
    pub delegations: BTreeMap<String, String>,
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

    pub(super) fn apply(&mut self, index: u64, entry: &Entry, leaf: [u8; 32], change: Change) {
        match change {
            Change::Delegated { digest, token, thumbprint } => {
                self.delegations.insert(digest, token);
                self.keys.insert(thumbprint);
            }
            Change::Decided { act_id, allowed, pop, .. } => {
                if allowed {
                    self.open.insert(act_id.clone(), OpenAct { index, leaf, stream: entry.stream });
                }
                self.recent.push_back(Answered {
                    act_id,
                    index,
                    leaf,
                    allowed,
                    pop,
                    finished: None,
                    late: Vec::new(),
                });
                while self.recent.len() > limits::RECENT_ACTS {
                    self.recent.pop_front();
                }
            }
            Change::Finished { act_id, event } => {
                self.open.remove(&act_id);
                if let Some(answered) =
                    self.recent.iter_mut().rev().find(|answered| answered.act_id == act_id)
                {
                    answered.finished = Some((event, index));
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
