//! One run in the control state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evidence::Entry;
use evidence::limits::CHAIN_LINKS_MAX;
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

/// One link of a chain that a run uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The token.
    pub token: String,
    /// Token digest of the link above it; nothing for a root.
    pub parent: Option<String>,
    /// Id of its holder.
    pub holder: String,
    /// The first second at which it no longer holds.
    pub exp: u64,
    /// Index of its entry in this run.
    pub index: u64,
    /// Leaf hash of that entry.
    #[serde(with = "hex32")]
    pub leaf: [u8; 32],
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
    /// Name of the server it wraps; empty for a run that records the issuance of a root and nothing else.
    pub alias: String,
    /// The run that its holder handed the work over from.
    pub parent: Option<String>,
    /// Runs that it announced as its children.
    pub children: Vec<String>,
    /// Chains by stream.
    pub streams: BTreeMap<u64, Head>,
    /// Permitted acts without outcome.
    pub open: BTreeMap<String, OpenAct>,
    /// Acts decided lately, oldest first.
    pub recent: VecDeque<Answered>,
    /// Links of the chains it uses, by token digest.
    pub delegations: BTreeMap<String, Link>,
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

    /// Whether it records the issuance of a root and nothing else.
    pub fn is_issuance(&self) -> bool {
        self.alias.is_empty()
    }

    /// The tokens of the chain that ends in a link, root first; nothing where the run does not know all of them.
    pub fn chain(&self, leaf: &str) -> Option<Vec<String>> {
        let links = self.above(leaf)?;
        Some(links.into_iter().rev().map(|link| link.token.clone()).collect())
    }

    /// The links of a chain from its leaf up, where it knows all of them.
    fn above(&self, leaf: &str) -> Option<Vec<&Link>> {
        let mut links = Vec::new();
        let mut next = Some(leaf);
        while let Some(digest) = next {
            // a parent is in the log before its child, so no link comes back to itself; the limit says so again
            let link = self.delegations.get(digest).filter(|_| links.len() < CHAIN_LINKS_MAX)?;
            links.push(link);
            next = link.parent.as_deref();
        }
        Some(links)
    }

    /// Whether these, root first, are the holders on the way to the run's own holder, by some chain that it acts under:
    /// one that it knows no link below. (A link above may bear the same name and be somebody else's.)
    pub fn is_held_by(&self, holders: &[&str]) -> bool {
        let above: BTreeSet<&str> =
            self.delegations.values().filter_map(|link| link.parent.as_deref()).collect();
        let mut own = self
            .delegations
            .iter()
            .filter(|(leaf, link)| link.holder == self.holder.id && !above.contains(leaf.as_str()));
        own.any(|(leaf, _)| self.holders(leaf).is_some_and(|known| known == holders))
    }

    /// Whether an act under this delegation is the run's own holder's. The run has the links of everybody on the way,
    /// and acts under none of theirs.
    pub fn acts_under(&self, leaf: &str) -> bool {
        self.holders(leaf).is_some_and(|holders| self.is_held_by(&holders))
    }

    /// The holders of a chain by its leaf, root first; one who passes authority on to itself counts once.
    fn holders(&self, leaf: &str) -> Option<Vec<&str>> {
        let mut holders: Vec<&str> = self.above(leaf)?.into_iter().map(|link| link.holder.as_str()).collect();
        holders.reverse();
        holders.dedup();
        Some(holders)
    }

    /// How many links it knows that have not ended for good at `now_s`.
    pub fn links(&self, now_s: u64) -> usize {
        self.delegations.values().filter(|link| !is_over(link, now_s)).count()
    }

    /// Whether a link is held here, and nothing below it is.
    pub(crate) fn ends_in(&self, digest: &str) -> bool {
        !self.delegations.values().any(|link| link.parent.as_deref() == Some(digest))
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
            Change::Delegated { digest, token, parent, holder, exp, .. } => {
                // one that ended a while ago can only be refused; without it the refusal says so too
                self.delegations.retain(|_, link| !is_over(link, entry.observed_ms / 1_000));
                self.delegations.insert(digest, Link { token, parent, holder, exp, index, leaf });
            }
            Change::ChildStarted { child } => self.children.push(child),
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

fn is_over(link: &Link, now_s: u64) -> bool {
    link.exp.saturating_add(limits::ENDED_DELEGATION_KEPT_S) < now_s
}
