//! The control state: all that a decision needs of the past, and nothing that the index must be asked for.
//!
//! A deterministic fold over the log. It changes only in [`Control::apply`], which the sequencer thread calls with
//! every entry it is about to write, and which a rebuild calls with every entry it reads: the same entries give the
//! same state, whichever way they come.

mod change;
mod definitions;
mod issued;
mod run;
mod snapshot;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use evidence::Entry;
use evidence::id::{self, Id, LOG_LEVEL};
use evidence::jws::Jwk;
use evidence::principal::{Principal, PrincipalKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use verify::orders::Orders;

pub(crate) use change::{ARTIFACTS, DEFINITIONS, asked};
pub use change::{Change, ChangeError};
pub use definitions::{Definitions, Difference, Last};
pub use issued::{Issued, Roots};
pub use run::{Answered, End, Ended, Head, Link, OpenAct, Part, Run, Wrapped};
pub(crate) use run::{part_of, what};
pub use snapshot::{SnapshotError, load, save};
pub use window::{Window, Windows};

use crate::limits;

/// One registered key, as the state keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Whose.
    pub principal: Principal,
    /// The public JWK.
    pub jwk: Value,
    /// Index that registered it.
    pub index: u64,
    /// Index that retired it.
    pub retired: Option<u64>,
}

/// One mandate, as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    /// The token.
    pub token: String,
    /// Index of its entry.
    pub index: u64,
    /// The first second at which it no longer holds.
    pub exp: u64,
}

/// The task that all runs of one client belong to, or all runs under one `txn` that somebody named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The unit of delegated work.
    pub txn: String,
    /// Who holds its delegations.
    pub holder: String,
    /// Which command each server's name stands for: digest strings.
    pub aliases: BTreeMap<String, String>,
    /// Index of its latest run.
    pub last: u64,
}

/// The state after [`Control::size`] entries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Entries folded.
    pub size: u64,
    /// Leaf hash of entry 0.
    #[serde(with = "hex32")]
    pub log_id: [u8; 32],
    /// `observed_ms` of the last entry.
    pub last_ms: u64,
    /// The latest `observed_ms` so far: what was in force then stays so when the clock is set back.
    pub latest_ms: u64,
    /// Leaf hash of the last entry: a snapshot belongs to the log that has it there.
    #[serde(with = "hex32")]
    pub last_leaf: [u8; 32],
    /// The log-level chain.
    pub log: Head,
    /// Index of the last log-level entry: the position that decisions name.
    pub log_index: u64,
    /// Runs by id: open ones, and the latest ended ones.
    pub runs: BTreeMap<String, Run>,
    /// Ended runs, oldest first.
    pub ended: VecDeque<String>,
    /// Tasks by client.
    pub tasks: BTreeMap<String, Task>,
    /// Counters of proofs of possession, by thumbprint of the bound key.
    pub windows: Windows,
    /// Registered keys by thumbprint.
    pub keys: BTreeMap<String, Key>,
    /// Mandates by token digest, until a while after their end.
    pub mandates: BTreeMap<String, Mandate>,
    /// Roots that this log issued, until a while after their end.
    pub roots: Roots,
    /// Revocations and halts. Shared, so that a decision is checked against them without holding the state.
    #[serde(with = "shared")]
    pub orders: Arc<Orders>,
    /// Signed revocations and halts that were carried out, by token digest, until a while after their end.
    pub carried_out: BTreeMap<String, CarriedOut>,
    /// Digest and index of the policy set in force.
    pub policy: Option<(String, u64)>,
    /// What is last known of the servers that runs wrap.
    pub definitions: Definitions,
}

/// A signed order that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedOut {
    /// Index of its entry.
    pub index: u64,
    /// The last second at which it could be given again.
    pub exp: u64,
}

impl Control {
    /// The run with this id, open or lately ended.
    pub fn run(&self, id: &Id) -> Option<&Run> {
        self.runs.get(&id::text(id))
    }

    /// The head of a chain: log level, or a stream of a run.
    pub fn head(&self, run: &Id, stream: u64) -> Head {
        if *run == LOG_LEVEL {
            return self.log;
        }
        self.run(run).and_then(|run| run.streams.get(&stream)).copied().unwrap_or_default()
    }

    /// `prev` of the next entry of a chain (format §2).
    pub fn prev(&self, run: &Id, stream: u64) -> [u8; 32] {
        let head = self.head(run, stream);
        if head.count == 0 { self.log_id } else { head.last }
    }

    /// The registered key with this thumbprint, if it is in force.
    pub fn key(&self, thumbprint: &str) -> Option<(Principal, Jwk)> {
        let key = self.keys.get(thumbprint).filter(|key| key.retired.is_none())?;
        Some((key.principal.clone(), Jwk::parse(&key.jwk).ok()?))
    }

    /// The registered key with this thumbprint, if it is in force and its principal is not revoked: it may sign orders.
    pub fn signer(&self, thumbprint: &str, now_ms: u64) -> Option<(Principal, Jwk)> {
        let now_s = now_ms.max(self.latest_ms) / 1_000;
        let revoked = |who: &Principal| self.orders.is_principal_revoked(&who.iss, &who.sub, now_s);
        self.key(thumbprint).filter(|(principal, _)| !revoked(principal))
    }

    /// Whether a key was registered when a halt was given, or nobody was: who comes later lifts nothing, or whoever
    /// may register a key could let everything loose.
    pub fn may_lift(&self, thumbprint: &str, halt: u64) -> bool {
        let was_there = |key: &Key| key.index < halt && key.retired.is_none_or(|retired| retired >= halt);
        self.keys.get(thumbprint).is_some_and(was_there)
            || !self.keys.values().any(|key| key.principal.kind == PrincipalKind::Human && was_there(key))
    }

    /// All keys as a register.
    pub fn register(&self) -> identity::Register {
        let mut register = identity::Register::new();
        for (thumbprint, key) in &self.keys {
            if let Ok(jwk) = Jwk::parse(&key.jwk) {
                register.add(key.principal.clone(), jwk, key.index);
                if let Some(index) = key.retired {
                    register.retire(thumbprint, index);
                }
            }
        }
        register
    }

    /// Takes one entry into the state. `leaf` is its leaf hash, `change` what its fields say.
    pub fn apply(&mut self, index: u64, entry: &Entry, leaf: [u8; 32], change: Change) {
        if index == 0 {
            self.log_id = leaf;
        }
        self.size = index + 1;
        self.last_ms = entry.observed_ms;
        self.latest_ms = self.latest_ms.max(entry.observed_ms);
        self.last_leaf = leaf;
        if entry.run == LOG_LEVEL {
            self.log.extend(leaf);
            self.log_index = index;
        }
        let run = id::text(&entry.run);
        let now_s = entry.observed_ms / 1_000;
        // the run must exist before its stream can grow
        match change {
            Change::RunStarted { run: started, client, server } => {
                self.start_run(&run, *started, client, server.as_ref(), index);
                self.wrap(&run, entry.stream, server, index);
            }
            Change::Key { thumbprint, principal, jwk } => {
                self.keys.insert(thumbprint, Key { principal, jwk, index, retired: None });
            }
            Change::KeyRetired { thumbprint } => {
                if let Some(key) = self.keys.get_mut(&thumbprint) {
                    key.retired = Some(index);
                }
            }
            Change::Policy { digest } => self.policy = Some((digest, index)),
            Change::Mandated { digest, token, exp } => {
                let oldest = now_s.saturating_sub(limits::ENDED_DELEGATION_KEPT_S);
                self.mandates.retain(|_, mandate| mandate.exp >= oldest);
                self.mandates.entry(digest).or_insert(Mandate { token, index, exp });
            }
            Change::Revoked { what, target, eff, order } => {
                Arc::make_mut(&mut self.orders).revoke(index, what, target, eff);
                self.carry_out(order, index, now_s);
            }
            Change::Halted { on, order } => {
                Arc::make_mut(&mut self.orders).halt(index, on);
                self.carry_out(order, index, now_s);
            }
            Change::Resumed { halt } => {
                Arc::make_mut(&mut self.orders).resume(halt);
            }
            change => {
                self.take_link(index, entry, &change);
                self.take_counter(&change);
                self.take_definitions(index, entry, &change);
                if let Some(run) = self.runs.get_mut(&run) {
                    run.apply(index, entry, leaf, change);
                }
            }
        }
        self.extend_stream(&run, entry.stream, leaf);
        self.retire_run(&run);
    }

    /// Remembers a signed order, so that nobody else can give it again in its signer's name.
    fn carry_out(&mut self, order: Option<(String, u64)>, index: u64, now_s: u64) {
        let Some((digest, exp)) = order else { return };
        let oldest = now_s.saturating_sub(limits::ENDED_DELEGATION_KEPT_S);
        self.carried_out.retain(|_, order| order.exp >= oldest);
        self.carried_out.insert(digest, CarriedOut { index, exp });
        while self.carried_out.len() > limits::CARRIED_OUT {
            let first = self.carried_out.iter().min_by_key(|(_, order)| (order.exp, order.index));
            first.map(|(digest, _)| digest.clone()).map(|digest| self.carried_out.remove(&digest));
        }
    }

    /// Remembers a root as issued here, and that a key is bound.
    fn take_link(&mut self, index: u64, entry: &Entry, change: &Change) {
        let Change::Delegated { digest, parent, thumbprint, exp, .. } = change else { return };
        let now_s = entry.observed_ms / 1_000;
        self.windows.bind(thumbprint, *exp, now_s);
        if parent.is_none() {
            self.roots.note(digest, Issued { index, at_ms: entry.observed_ms, exp: *exp }, now_s);
        }
    }

    /// Marks the counter of an accepted proof as used, whatever the verdict was.
    fn take_counter(&mut self, change: &Change) {
        if let Change::Decided { thumbprint: Some(thumbprint), counter, .. } = change {
            self.windows.take(thumbprint, *counter);
        }
    }

    /// Remembers what the server of a stream told.
    fn take_definitions(&mut self, index: u64, entry: &Entry, change: &Change) {
        let Change::Told(told) = change else { return };
        let run = self.runs.get(&id::text(&entry.run));
        if let Some(server) = run.and_then(|run| run.servers.get(&entry.stream)) {
            self.definitions.learn(server, told, index);
        }
    }

    /// Remembers what a stream wraps.
    fn wrap(&mut self, run: &str, stream: u64, server: Option<Wrapped>, index: u64) {
        let Some(server) = server else { return };
        self.definitions.started(&server, index);
        if let Some(run) = self.runs.get_mut(run) {
            run.servers.insert(stream, server);
        }
    }

    fn start_run(
        &mut self,
        id: &str,
        started: Run,
        client: Option<String>,
        server: Option<&Wrapped>,
        index: u64,
    ) {
        if let Some(client) = client {
            let task = self.tasks.entry(client).or_insert_with(|| Task {
                txn: started.txn.clone(),
                holder: started.holder.id.clone(),
                aliases: BTreeMap::new(),
                last: index,
            });
            task.last = index;
            if let Some(server) = server {
                task.aliases.insert(server.server.clone(), server.command.clone());
            }
        }
        // a writer that joins finds the run there; only the first entry makes it
        self.runs.entry(id.to_owned()).or_insert(started);
        while self.tasks.len() > limits::TASKS {
            // what an alias stands for is not forgotten while a run of its task is open
            let open = self.runs.values().filter(|run| run.ended.is_none());
            let in_use: BTreeSet<&str> = open.map(|run| run.txn.as_str()).collect();
            let order = |task: &Task| (in_use.contains(task.txn.as_str()), task.last);
            let oldest =
                self.tasks.iter().min_by_key(|(_, task)| order(task)).map(|(client, _)| client.clone());
            oldest.map(|client| self.tasks.remove(&client));
        }
    }

    fn extend_stream(&mut self, run: &str, stream: u64, leaf: [u8; 32]) {
        if let Some(run) = self.runs.get_mut(run) {
            run.streams.entry(stream).or_default().extend(leaf);
        }
    }

    /// Moves a run that has just ended to the queue of those that may be forgotten.
    fn retire_run(&mut self, id: &str) {
        let Some(run) = self.runs.get(id).filter(|run| run.ended.is_some()) else { return };
        if run.is_issuance() {
            // nobody acts in it, so nothing can come late
            self.runs.remove(id);
            return;
        }
        if self.ended.iter().any(|run| run == id) {
            return;
        }
        self.ended.push_back(id.to_owned());
        while self.ended.len() > limits::ENDED_RUNS {
            self.ended.pop_front().and_then(|oldest| self.runs.remove(&oldest));
        }
    }
}

/// What is shared, as itself.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        shared: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        shared.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// 32 bytes as hex, for the snapshot.
pub(crate) mod hex32 {
    use evidence::Digest;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Digest(*bytes).hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::from_hex(&text)
            .map(|digest| digest.0)
            .ok_or_else(|| de::Error::custom("64 hex digits are expected"))
    }
}
