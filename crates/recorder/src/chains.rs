//! Chains that somebody presents: checked, kept, taken into a run (format §6, *Chain*).
//!
//! What a chain says is pinned by the digest of its leaf, so a chain that was checked once is known by that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};

use evidence::Kind;
use evidence::delegation::Source;
use evidence::id::{self, Id};
use evidence::jws::{self, Signed};
use evidence::label::Grade;
use evidence::principal::Holder;
use serde_json::{Value, json};
use verify::chain::{self, Anchor, Chain, Failure, Known, Step};
use verify::orders::Orders;

use crate::control::Run;
use crate::draft::{CauseRef, Draft, Fields, Guard, Item, Place};
use crate::limits::{CHAIN_CACHE, CHAIN_CACHE_BYTES, STALE_RETRIES_MAX};
use crate::sequencing::Reply;
use crate::{Peer, Recorder, RecorderError};

/// A chain that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// Every link (JWS), root first.
    Chain(Vec<String>),
    /// Token digest of the leaf of a chain that is known here.
    Ref(String),
}

/// A chain that was checked and is kept, so that it can be named by the digest of its leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Token digest of the leaf.
    pub digest: String,
    /// Number of links.
    pub links: usize,
    /// The first second at which some link no longer holds.
    pub exp: u64,
}

/// What a writer acts under: the leaf of a chain, as it was recorded in its run.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The leaf's token: a root that was issued, or a child that was presented.
    pub token: String,
    /// Its token digest.
    pub digest: String,
    /// `iss` of the root and audience of proofs.
    pub issuer: String,
    /// The task.
    pub txn: Id,
    /// Who holds the leaf, as far as it can be vouched for.
    pub holder: Holder,
    /// The first second at which some link no longer holds.
    pub exp: u64,
    /// Index of the leaf's entry.
    pub index: u64,
    /// One past the highest counter seen of the leaf's key: where its next proof starts.
    pub next_counter: u64,
}

/// A chain that holds, and what its entries say of it.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    pub(crate) chain: Arc<Chain>,
    /// Root first.
    pub(crate) tokens: Vec<String>,
    /// The signed request behind the root (JWS), or null.
    pub(crate) request: Value,
}

impl Authority {
    pub(crate) fn grade(&self) -> Grade {
        grade_of(&self.chain.root().source)
    }

    pub(crate) fn txn(&self) -> String {
        id::text(&self.chain.root().txn)
    }

    /// The leaf's token.
    fn leaf(&self) -> String {
        self.tokens.last().cloned().unwrap_or_default()
    }
}

/// What evidence stands behind a root.
pub(crate) fn grade_of(source: &Source) -> Grade {
    match source {
        Source::KeyRequest(_) | Source::Mandate { .. } => Grade::KeySigned,
        Source::PeerCredentials { .. } => Grade::IssuerOnly,
    }
}

/// Chains that were checked, oldest first, by the digest of their leaf.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    by_leaf: BTreeMap<String, (Vec<String>, Arc<Chain>)>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&self, leaf: &str) -> Option<(&[String], &Arc<Chain>)> {
        self.by_leaf.get(leaf).map(|(tokens, chain)| (tokens.as_slice(), chain))
    }

    pub(crate) fn put(&mut self, tokens: Vec<String>, chain: Arc<Chain>) {
        let leaf = chain.leaf().digest.clone();
        self.bytes += size(&tokens);
        match self.by_leaf.insert(leaf.clone(), (tokens, chain)) {
            // the same claims under another signature
            Some((before, _)) => self.bytes -= size(&before),
            None => self.order.push_back(leaf),
        }
        while self.order.len() > CHAIN_CACHE || self.bytes > CHAIN_CACHE_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            let gone = self.by_leaf.remove(&oldest);
            self.bytes -= gone.map_or(0, |(tokens, _)| size(&tokens));
        }
    }
}

fn size(tokens: &[String]) -> usize {
    tokens.iter().map(String::len).sum()
}

/// What the control state knows about the authority behind a chain.
pub(crate) struct Facts {
    /// The keys behind the root that are registered, and whose they are.
    keys: BTreeMap<String, (String, String)>,
    orders: Arc<Orders>,
    root_logged_s: Option<u64>,
    /// The latest time that the log has seen, s.
    latest_s: u64,
}

impl Facts {
    /// The same for a root that the log records now.
    pub(crate) fn recorded_at(self, now_s: u64) -> Self {
        Self { root_logged_s: Some(now_s), ..self }
    }

    /// Puts the facts to a check.
    pub(crate) fn known<T>(&self, check: impl FnOnce(&Known<'_>) -> T) -> T {
        let registered = |kid: &str| self.keys.contains_key(kid);
        let owner = |kid: &str| self.keys.get(kid).cloned();
        check(&Known {
            registered: &registered,
            owner: &owner,
            orders: &self.orders,
            root_logged_s: self.root_logged_s,
        })
    }

    /// Whether a chain is in force at a time, as auditors will check it, and was not revoked at a later one.
    pub(crate) fn in_force(&self, chain: &Chain, at_s: u64) -> Result<(), Failure> {
        self.known(|known| chain::in_force(chain, at_s, known)).and_then(|()| self.still_stands(chain))
    }

    /// What was revoked at the latest time that the log has seen stays so when the clock is set back.
    pub(crate) fn still_stands(&self, chain: &Chain) -> Result<(), Failure> {
        let owner = |kid: &str| self.keys.get(kid).cloned();
        let revoked = self.orders.revoked(chain, self.latest_s, self.root_logged_s, &owner);
        let Some((index, what)) = revoked else { return Ok(()) };
        let text = format!(
            "{what} was revoked (@{index}), and the clock was set back since: ask for a new delegation"
        );
        Err(Failure { step: Step::Revoked, text })
    }
}

impl Recorder {
    /// Checks a chain and keeps it, so that it can be named by the digest of its leaf.
    pub async fn keep_chain(&self, tokens: Vec<String>, peer: Peer) -> Result<Kept, RecorderError> {
        let about = tokens.concat();
        let held = self.presented(&Presented::Chain(tokens));
        let held = self.on_record(held, &about, peer).await?;
        let chain = held.chain;
        Ok(Kept { digest: chain.leaf().digest.clone(), links: chain.count(), exp: chain.exp() })
    }

    /// Takes a chain into a run: its links are recorded there, as far as they are not yet.
    ///
    /// A chain that the run has already is answered as it stands, whatever happened to it since: each decision under
    /// it says that anew.
    pub async fn take_chain(
        &self,
        run: Id,
        stream: u64,
        presented: Presented,
        peer: Peer,
    ) -> Result<Renewal, RecorderError> {
        let name = id::text(&run);
        for overtaken in 0..STALE_RETRIES_MAX {
            let undisturbed = self.undisturbed(overtaken).await;
            let log_index = self.control().log_index;
            self.acting(&run, stream)?;
            if let Some(taken) = self.taken(&run, &presented) {
                return Ok(taken);
            }
            let fitting = self.presented(&presented).and_then(|held| {
                let control = self.control();
                let state = control.run(&run).ok_or_else(|| RecorderError::RunUnknown(name.clone()))?;
                check_fits(state, &held.chain).map(|()| held)
            });
            let _undisturbed = undisturbed.filter(|_| fitting.is_ok());
            let held = self.on_record(fitting, presented.text().as_str(), peer).await?;
            let items = self.missing_links(&held, None, Place::harness(run, stream))?;
            let count = items.len();
            if count == 0 {
                // somebody else has just brought the last of them
                continue;
            }
            // After a crash before this is durable the run does not know the chain, and it is presented again.
            match self.append(Draft { guard: Guard::Takes { log_index }, items }).await? {
                Reply::Written(written) => return Ok(self.renewal(&held, written.first + count as u64 - 1)),
                Reply::Gone => return Err(RecorderError::RunEnded(name)),
                Reply::Full(what) => return Err(RecorderError::RunFull(name, what)),
                _ => {}
            }
        }
        Err(RecorderError::Busy)
    }

    /// A chain that holds now and hangs on a root that this log issued.
    ///
    /// A halt does not keep it away: that stops acts, and may be lifted while the chain lives.
    pub(crate) fn presented(&self, presented: &Presented) -> Result<Authority, RecorderError> {
        let (tokens, chain) = match presented {
            Presented::Chain(tokens) => {
                let chain = self.held(tokens).map_err(|failure| RecorderError::delegation(&failure))?;
                (tokens.clone(), chain)
            }
            Presented::Ref(leaf) => self.kept(leaf).ok_or_else(|| unknown(leaf))?,
        };
        let root = &chain.root_link().digest;
        let issued = self.control().roots.get(root).copied().ok_or_else(|| unknown(root))?;
        let now_s = self.0.clock.wall_ms() / 1_000;
        let facts = self.facts(&chain);
        match facts.known(|known| chain::in_force(&chain, now_s, known)) {
            Err(failure) if failure.step != Step::Halted => return Err(RecorderError::delegation(&failure)),
            _ => facts.still_stands(&chain).map_err(|failure| RecorderError::delegation(&failure))?,
        }
        Ok(Authority { request: self.request_behind(issued.index)?, chain, tokens })
    }

    /// A chain whose links hold by themselves.
    fn held(&self, tokens: &[String]) -> Result<Arc<Chain>, Failure> {
        match leaf_of(tokens) {
            Some(leaf) => self.held_as(&leaf, tokens),
            // what is wrong with it is the check's to say
            None => chain::chain(tokens, &self.anchor()).map(Arc::new),
        }
    }

    /// The same of a chain whose leaf has this digest. It is checked once while it comes with the same signatures.
    pub(crate) fn held_as(&self, leaf: &str, tokens: &[String]) -> Result<Arc<Chain>, Failure> {
        if let Some((known, chain)) = self.cache().get(leaf)
            && known == tokens
        {
            return Ok(Arc::clone(chain));
        }
        let chain = Arc::new(chain::chain(tokens, &self.anchor())?);
        self.cache().put(tokens.to_vec(), Arc::clone(&chain));
        Ok(chain)
    }

    fn kept(&self, leaf: &str) -> Option<(Vec<String>, Arc<Chain>)> {
        self.cache().get(leaf).map(|(tokens, chain)| (tokens.to_vec(), Arc::clone(chain)))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every chain of this log hangs on.
    pub(crate) fn anchor(&self) -> Anchor<'_> {
        let names = self.names();
        Anchor { issuer: &names.issuer, issuer_key: &names.issuer_key, tenant: &names.tenant }
    }

    /// What is known about the authority behind a chain, as the control state stands.
    pub(crate) fn facts(&self, chain: &Chain) -> Facts {
        let control = self.control();
        let keys = chain.root().source.keys().filter_map(|kid| {
            let key = control.keys.get(kid).filter(|key| key.retired.is_none())?;
            Some((kid.to_owned(), (key.principal.iss.clone(), key.principal.sub.clone())))
        });
        Facts {
            keys: keys.collect(),
            orders: Arc::clone(&control.orders),
            root_logged_s: control.roots.get(&chain.root_link().digest).map(|issued| issued.at_ms / 1_000),
            latest_s: control.latest_ms / 1_000,
        }
    }

    /// The request that a root was issued on, from the root's first entry: every run that uses the root shows it.
    fn request_behind(&self, index: u64) -> Result<Value, RecorderError> {
        let unreadable = |what: &dyn ToString| {
            let text = format!("the entry @{index} of the root cannot be read: {}", what.to_string());
            RecorderError::Invalid(text)
        };
        let (_, fields) = self.entries().open(index).map_err(|error| unreadable(&error))?;
        let fields = fields.ok_or_else(|| unreadable(&"it was erased"))?;
        let request = fields.get(Kind::Delegated, "request").unwrap_or("null");
        serde_json::from_str(request).map_err(|error| unreadable(&error))
    }

    /// The answer for a chain that a run has already, for its own holder: the links of others on the way are no chains
    /// to act under here.
    fn taken(&self, run: &Id, presented: &Presented) -> Option<Renewal> {
        let leaf = presented.leaf()?;
        let (tokens, index) = {
            let control = self.control();
            let state = control.run(run)?;
            (state.chain(&leaf)?, state.delegations.get(&leaf)?.index)
        };
        let same = match presented {
            Presented::Chain(given) => *given == tokens,
            Presented::Ref(_) => true,
        };
        let chain = self.held_as(&leaf, &tokens).ok().filter(|_| same)?;
        check_fits(self.control().run(run)?, &chain).ok()?;
        Some(self.renewal(&Authority { chain, tokens, request: Value::Null }, index))
    }

    pub(crate) fn renewal(&self, under: &Authority, index: u64) -> Renewal {
        let chain = &under.chain;
        let holder = chain.holder();
        Renewal {
            token: under.leaf(),
            digest: chain.leaf().digest.clone(),
            issuer: chain.root().issuer.clone(),
            txn: chain.root().txn,
            exp: chain.exp(),
            index,
            next_counter: self.control().windows.next(&holder.key),
            holder,
        }
    }

    /// The entries of the links that a run does not know yet, root first, each caused by its parent's.
    /// That of a root is `first`, where there is one.
    pub(crate) fn missing_links(
        &self,
        held: &Authority,
        first: Option<CauseRef>,
        place: Place,
    ) -> Result<Vec<Item>, RecorderError> {
        let (known, cause) = {
            let control = self.control();
            let links = control.run(&place.run).map(|run| &run.delegations);
            let mut known = 0;
            let mut cause = first;
            for digest in held.chain.digests() {
                let Some(link) = links.and_then(|links| links.get(digest)) else { break };
                cause = Some(CauseRef::Leaf(link.leaf));
                known += 1;
            }
            (known, cause)
        };
        self.link_items(held, known, cause, place)
    }

    /// One entry for each link of a chain but the first `known` (format §5, kind 3); `cause` is that of the first.
    pub(crate) fn link_items(
        &self,
        under: &Authority,
        known: usize,
        cause: Option<CauseRef>,
        place: Place,
    ) -> Result<Vec<Item>, RecorderError> {
        let root = under.chain.root();
        let mut cause = cause;
        let links = under.chain.links().zip(&under.tokens).skip(known);
        links
            .map(|(link, token)| {
                let (holder, request) = match link.claims.as_child() {
                    Some(child) => (&child.holder, Value::Null),
                    None => (&root.holder, under.request.clone()),
                };
                let fields = Fields::new()
                    .text("token", token)
                    .text("digest", &link.digest)
                    .json("request", &request)
                    .text("evidence_grade", under.grade().as_str())
                    .json("principal", &json!(root.principal))
                    .json("holder", &json!(holder))
                    .text("txn", &under.txn())
                    .json("exp", &json!(link.claims.exp()));
                let item = self.0.sealer.item(Kind::Delegated, place, fields)?;
                Ok(match cause.replace(CauseRef::Previous) {
                    Some(cause) => item.caused_by(cause),
                    None => item,
                })
            })
            .collect()
    }
}

impl Presented {
    /// Token digest of the leaf, where it can be told.
    fn leaf(&self) -> Option<String> {
        match self {
            Self::Ref(leaf) => Some(leaf.clone()),
            Self::Chain(tokens) => leaf_of(tokens),
        }
    }

    /// What was presented, to be digested on the record of a refusal.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Ref(leaf) => leaf.clone(),
            Self::Chain(tokens) => tokens.concat(),
        }
    }
}

fn leaf_of(tokens: &[String]) -> Option<String> {
    Some(Signed::parse(tokens.last()?, jws::DELEGATION).ok()?.digest())
}

/// A run belongs to one task and one holder, who is known by the holders on the way: a chain of another is for another
/// run. The name alone would not do, because a sub-agent can give its own children any name, that of its delegator or
/// of a stranger too.
pub(crate) fn check_fits(run: &Run, chain: &Chain) -> Result<(), RecorderError> {
    let root = chain.root();
    let holders: Vec<Holder> = chain.links().map(|link| link.claims.holder()).collect();
    let mut holders: Vec<&str> = holders.iter().map(|holder| holder.id.as_str()).collect();
    // one who passes authority on to itself counts once
    holders.dedup();
    let other = if run.txn != id::text(&root.txn) {
        "task"
    } else if !run.principal.same(&root.principal) {
        "principal"
    } else if !run.is_held_by(&holders) {
        "holder"
    } else {
        return Ok(());
    };
    let text = format!("the run is of another {other} than the delegation: open a run of its own");
    Err(RecorderError::DelegationRefused { step: "run-binding", text })
}

/// The same answer for what never was, what was forgotten, and what is another log's.
fn unknown(digest: &str) -> RecorderError {
    RecorderError::DelegationUnknown(digest.chars().take(64).collect())
}
