//! One run in the control state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evidence::definition::{List, Told};
use evidence::limits::CHAIN_LINKS_MAX;
use evidence::principal::{Holder, Principal};
use evidence::{Cause, Digest, Entry, Status};
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
    /// The act; no other attempt at it is open.
    pub act_id: String,
    /// Leaf hash of its decision.
    #[serde(with = "hex32")]
    pub leaf: [u8; 32],
    /// Stream of its decision.
    pub stream: u64,
}

/// An attempt at an act that was decided lately: what the same question again is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The act, whose attempts share the id.
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
    /// Names tool, operation and arguments: a further attempt is at the same.
    #[serde(with = "hex32")]
    pub what: [u8; 32],
    /// Its outcome, once there.
    pub ended: Option<Ended>,
    /// Event id and index of outcomes that came too late.
    pub late: Vec<(String, u64)>,
}

impl Answered {
    /// Whether it was permitted and has its outcome.
    pub fn is_over(&self) -> bool {
        self.allowed && self.ended.is_some()
    }
}

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its event id.
    pub event: String,
    /// Index of its entry.
    pub index: u64,
    /// Leaf hash of its entry.
    #[serde(with = "hex32")]
    pub leaf: [u8; 32],
    /// What may still come of it.
    pub end: End,
}

/// What an outcome leaves to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Nothing.
    Final,
    /// It is unknown, so a late one may come.
    Unknown,
    /// The target asked for input, so the act may be tried again.
    InputRequired,
}

impl End {
    /// What an outcome of this status leaves to come.
    pub fn of(status: Status) -> Self {
        match status {
            Status::Unknown => Self::Unknown,
            Status::InputRequired => Self::InputRequired,
            _ => Self::Final,
        }
    }
}

/// What a stream of a run wraps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// The part of its tool URIs before `#`.
    pub server: String,
    /// Digest string of its command.
    pub command: String,
    /// What else it was told to be, in this stream: name to digest string.
    pub facts: BTreeMap<String, String>,
}

impl Wrapped {
    /// A digest that it is known by. The command is that which it was started with, whatever is told later.
    pub fn fact(&self, name: &str) -> Option<&str> {
        if name == "command" { Some(&self.command) } else { self.facts.get(name).map(String::as_str) }
    }

    fn learn(&mut self, told: &Told) {
        if told.list != List::Server {
            return;
        }
        if told.complete {
            self.facts.clear();
        }
        self.facts.retain(|name, _| !told.gone.contains(name));
        self.facts.extend(told.names.iter().map(|(name, digest)| (name.clone(), digest.to_string())));
    }
}

/// A part of a long list of artifacts that was recorded lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Names it: see `part_of`.
    #[serde(with = "hex32")]
    pub name: [u8; 32],
    /// Index of its entry.
    pub index: u64,
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
    /// The user whose process opened it, as the operating system said: nobody else speaks for it. Nothing where the
    /// log does not say.
    pub uid: Option<u32>,
    /// On whose authority.
    pub principal: Principal,
    /// Evidence grade of its root.
    pub grade: String,
    /// Who acts.
    pub holder: Holder,
    /// What its streams wrap; nothing for a run that records the issuance of a root and nothing else.
    pub servers: BTreeMap<u64, Wrapped>,
    /// The run that its holder handed the work over from.
    pub parent: Option<String>,
    /// Runs that it announced as its children.
    pub children: Vec<String>,
    /// Chains by stream.
    pub streams: BTreeMap<u64, Head>,
    /// Permitted attempts without outcome, by the index of their decision.
    pub open: BTreeMap<u64, OpenAct>,
    /// Attempts decided lately, oldest first.
    pub recent: VecDeque<Answered>,
    /// Parts of lists of artifacts recorded lately, oldest first: one that is sent again is there.
    pub parts: VecDeque<Part>,
    /// Links of the chains it uses, by token digest.
    pub delegations: BTreeMap<String, Link>,
    /// Gap entries so far.
    pub gaps: u64,
    /// Index of its manifest.
    pub ended: Option<u64>,
}

impl Run {
    /// The attempts at an act that were decided lately, the last one first.
    pub fn attempts<'a>(&'a self, act_id: &str) -> impl Iterator<Item = &'a Answered> {
        self.recent.iter().rev().filter(move |answered| answered.act_id == act_id)
    }

    /// The last attempt at an act, if it was decided lately.
    pub fn answered(&self, act_id: &str) -> Option<&Answered> {
        self.attempts(act_id).next()
    }

    /// The attempt with this decision, if it was decided lately.
    pub fn attempt(&self, decision: u64) -> Option<&Answered> {
        let at = self.recent.binary_search_by_key(&decision, |answered| answered.index).ok()?;
        self.recent.get(at)
    }

    /// The outcome that a further attempt at the same (`what`) follows, where it may follow it: that of this
    /// decision, which left the act to be tried again.
    pub fn followed(&self, decision: u64, what: &[u8; 32]) -> Option<&Ended> {
        let attempt = self.attempt(decision).filter(|attempt| attempt.what == *what)?;
        attempt.ended.as_ref().filter(|ended| ended.end == End::InputRequired)
    }

    /// Whether the act of this decision may have one more attempt under its own id: it is the last that was permitted,
    /// and left the act to be tried again. So at most one attempt at an act is open.
    pub fn continues(&self, act_id: &str, decision: u64) -> bool {
        let last = self.attempts(act_id).find(|attempt| attempt.allowed);
        last.is_some_and(|last| last.index == decision && self.followed(decision, &last.what).is_some())
    }

    /// The attempt that an outcome is of, by the leaf hash of its decision.
    fn caused(&mut self, entry: &Entry) -> Option<&mut Answered> {
        let [Cause::Here(decision)] = entry.causes.as_slice() else { return None };
        self.recent.iter_mut().rev().find(|attempt| attempt.leaf == *decision)
    }

    /// Whether it records the issuance of a root and nothing else.
    pub fn is_issuance(&self) -> bool {
        self.servers.is_empty()
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

    /// Forgets the oldest answers beyond the limit: never that of an open attempt, and one that a late outcome or a
    /// further attempt may still come for only when there is no other.
    fn forget(&mut self) {
        while self.recent.len() > limits::RECENT_ACTS {
            let open = |answered: &Answered| self.open.contains_key(&answered.index);
            let over = |answered: &Answered| {
                answered.ended.as_ref().is_none_or(|ended| ended.end == End::Final) && !open(answered)
            };
            let known = self.recent.iter().position(over);
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
            Change::Decided { act_id, allowed, asked, what, .. } => {
                if allowed {
                    let act_id = act_id.clone();
                    self.open.insert(index, OpenAct { act_id, leaf, stream: entry.stream });
                }
                let (ended, late) = (None, Vec::new());
                self.recent.push_back(Answered { act_id, index, leaf, allowed, asked, what, ended, late });
                self.forget();
            }
            Change::Finished { event, end } => {
                let Some(attempt) = self.caused(entry) else { return };
                attempt.ended = Some(Ended { event, index, leaf, end });
                let decision = attempt.index;
                self.open.remove(&decision);
            }
            Change::LateOutcome { event } => {
                if let Some(attempt) = self.caused(entry) {
                    attempt.late.push((event, index));
                }
            }
            Change::Told(told) => {
                if let Some(server) = self.servers.get_mut(&entry.stream) {
                    server.learn(&told);
                }
            }
            Change::Part { told } => {
                let name = part_of(&told, entry.stream, &entry.causes);
                self.parts.push_back(Part { name, index });
                if self.parts.len() > limits::PARTS_KEPT {
                    self.parts.pop_front();
                }
            }
            Change::Gap => self.gaps += 1,
            Change::RunEnded if entry.stream == 0 => {
                self.ended = Some(index);
                self.parts.clear();
            }
            _ => {}
        }
    }
}

/// Names what is done, whoever asks and with whichever proof: tool, operation and digest of the arguments.
pub(crate) fn what(parts: [&str; 3]) -> [u8; 32] {
    Digest::of(&evidence::json::jcs(&serde_json::json!(parts))).0
}

/// Names a part of a list of artifacts: what it says, in which stream, of which attempt. A further attempt has parts of
/// its own.
pub(crate) fn part_of(told: &[u8; 32], stream: u64, causes: &[Cause]) -> [u8; 32] {
    let causes = causes.iter().filter_map(|cause| match cause {
        Cause::Here(leaf) => Some(leaf.as_slice()),
        Cause::Elsewhere(..) => None,
    });
    let stream = stream.to_be_bytes();
    let parts: Vec<&[u8]> = [told.as_slice(), &stream].into_iter().chain(causes).collect();
    Digest::of_parts(&parts).0
}

fn is_over(link: &Link, now_s: u64) -> bool {
    link.exp.saturating_add(limits::ENDED_DELEGATION_KEPT_S) < now_s
}
