//! Revocations and halts as a fold over the log (format §6, *Revocation* and *Halt*).
//!
//! The control state of a server and the bundle check feed the same entries in the same order and get the same
//! answers. A look-up costs a few searches for each link of a chain, however many orders there are.

use std::collections::{BTreeMap, BTreeSet};

use evidence::delegation::{On, Target, What};
use evidence::id;
use serde::{Deserialize, Serialize};

use crate::chain::Chain;

/// The `iss` and `sub` of the principal that the key with a thumbprint is registered for.
pub type Owner<'a> = dyn Fn(&str) -> Option<(String, String)> + 'a;

/// The orders of a log up to some position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Orders {
    /// By log index.
    revocations: BTreeMap<u64, Revoked>,
    /// Log index by effective time, for each thing that was revoked; the first order of a time counts.
    by_target: BTreeMap<Fits, BTreeMap<u64, u64>>,
    /// Those in force, by log index.
    halts: BTreeMap<u64, On>,
    /// Log indexes of those in force, for each that was halted.
    by_halted: BTreeMap<Stops, BTreeSet<u64>>,
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Revoked {
    index: u64,
    what: What,
    target: Target,
    eff: u64,
}

/// One halt in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Halted {
    index: u64,
    on: On,
}

/// What is stored of [`Orders`]; everything else follows from it.
#[derive(Serialize, Deserialize)]
struct Kept {
    revocations: Vec<Revoked>,
    halts: Vec<Halted>,
}

/// What a revocation is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    /// A word of kind 4, and its target.
    Text(&'static str, String),
    /// `iss` and `sub`.
    Principal(String, String),
}

/// What a halt is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stops {
    Agent(String),
    Principal(String, String),
    All,
}

impl Orders {
    /// Takes in a kind 4 entry: `eff` in seconds.
    pub fn revoke(&mut self, index: u64, what: What, target: Target, eff: u64) {
        let times = self.by_target.entry(Fits::by(what, &target)).or_default();
        times.entry(eff).or_insert(index);
        self.revocations.insert(index, Revoked { index, what, target, eff });
    }

    /// Takes in a kind 20 entry that halts.
    pub fn halt(&mut self, index: u64, on: On) {
        self.by_halted.entry(Stops::by(&on)).or_default().insert(index);
        self.halts.insert(index, on);
    }

    /// Takes in a kind 20 entry that lifts the halt with this index; `false` where none with it is in force.
    pub fn resume(&mut self, halt: u64) -> bool {
        let Some(on) = self.halts.remove(&halt) else { return false };
        let stops = Stops::by(&on);
        if let Some(indexes) = self.by_halted.get_mut(&stops) {
            indexes.remove(&halt);
            if indexes.is_empty() {
                self.by_halted.remove(&stops);
            }
        }
        true
    }

    /// The revocation of a chain at a time: its log index, and what of the chain it takes away, for people.
    ///
    /// `root_logged_s` is when the log recorded the root, which a revocation of the issuer's key spares then; `owner`
    /// tells whose the keys behind the root are.
    pub fn revoked(
        &self,
        chain: &Chain,
        at_s: u64,
        root_logged_s: Option<u64>,
        owner: &Owner<'_>,
    ) -> Option<(u64, String)> {
        if self.by_target.is_empty() {
            return None;
        }
        let links = chain.links().find_map(|link| {
            let key = link.claims.holder();
            self.find(What::Delegation, &link.digest, at_s)
                .map(|index| (index, format!("the delegation `{}`", link.digest)))
                .or_else(|| {
                    let found = self.find(What::HolderKey, &key.key, at_s);
                    found.map(|index| (index, format!("the key `{}` of `{}`", key.key, key.id)))
                })
        });
        links.or_else(|| self.root_revoked(chain, at_s, root_logged_s)).or_else(|| {
            Self::principals(chain, owner)
                .find_map(|who| Some((self.at(&who, at_s)?, format!("the authority of {}", who.name()))))
        })
    }

    /// What is revoked of the root, but for who stands behind it.
    fn root_revoked(&self, chain: &Chain, at_s: u64, root_logged_s: Option<u64>) -> Option<(u64, String)> {
        let root = chain.root();
        let mandate = root.source.mandate().and_then(|named| {
            let index = self.find(What::Delegation, &named.digest, at_s)?;
            Some((index, format!("the mandate `{}`", named.digest)))
        });
        let task = || {
            let txn = id::text(&root.txn);
            Some((self.find(What::Lineage, &txn, at_s)?, format!("the task `{txn}`")))
        };
        let issuer = || {
            // what the log recorded before the key was lost stands
            let until = root_logged_s.map_or(at_s, |logged| logged.min(at_s));
            let kid = &chain.root_link().kid;
            Some((self.find(What::IssuerKey, kid, until)?, format!("the issuer's key `{kid}`")))
        };
        let tenant = || {
            let index = self.find(What::Tenant, &root.tenant, at_s)?;
            Some((index, format!("the tenant `{}`", root.tenant)))
        };
        mandate.or_else(task).or_else(issuer).or_else(tenant)
    }

    /// The principals that a chain rests on: the one it names, and those whose keys signed request and mandate.
    fn principals<'a>(chain: &'a Chain, owner: &'a Owner<'_>) -> impl Iterator<Item = Fits> + 'a {
        let root = chain.root();
        let named = (root.principal.iss.clone(), root.principal.sub.clone());
        let all = core::iter::once(named).chain(root.source.keys().filter_map(owner));
        all.map(|(iss, sub)| Fits::Principal(iss, sub))
    }

    fn find(&self, what: What, target: &str, at_s: u64) -> Option<u64> {
        self.at(&Fits::Text(what.as_str(), target.to_owned()), at_s)
    }

    fn at(&self, fits: &Fits, at_s: u64) -> Option<u64> {
        self.by_target.get(fits)?.range(..=at_s).next().map(|(_, index)| *index)
    }

    /// Log index of a halt in force that stops a chain.
    pub fn halted(&self, chain: &Chain) -> Option<u64> {
        if self.by_halted.is_empty() {
            return None;
        }
        let root = chain.root();
        let agents = chain.links().map(|link| Stops::Agent(link.claims.holder().id));
        let principal = Stops::Principal(root.principal.iss.clone(), root.principal.sub.clone());
        let all = agents.chain([principal, Stops::All]);
        all.filter_map(|stops| self.by_halted.get(&stops)?.first().copied()).min()
    }

    /// The halts in force, by log index.
    pub fn halts(&self) -> impl Iterator<Item = (u64, &On)> {
        self.halts.iter().map(|(index, on)| (*index, on))
    }

    /// All revocations by log index: what, target, effective time in seconds.
    pub fn revocations(&self) -> impl Iterator<Item = (u64, What, &Target, u64)> {
        self.revocations.values().map(|revoked| (revoked.index, revoked.what, &revoked.target, revoked.eff))
    }

    /// Whether a principal is revoked at a time: it signs no orders then.
    pub fn is_principal_revoked(&self, iss: &str, sub: &str, at_s: u64) -> bool {
        self.at(&Fits::Principal(iss.to_owned(), sub.to_owned()), at_s).is_some()
    }

    /// Whether a key of the issuer is revoked at a time: no root may be signed with it then.
    pub fn is_issuer_key_revoked(&self, thumbprint: &str, at_s: u64) -> bool {
        self.find(What::IssuerKey, thumbprint, at_s).is_some()
    }
}

impl Fits {
    fn by(what: What, target: &Target) -> Self {
        match (what, target) {
            (_, Target::Text(text)) => Self::Text(what.as_str(), text.clone()),
            (What::Principal, Target::Principal { iss, sub }) => Self::Principal(iss.clone(), sub.clone()),
            // nothing else has such a target, so it fits nothing: no digest, id or name is empty
            (_, Target::Principal { .. }) => Self::Text(what.as_str(), String::new()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Text(_, text) | Self::Principal(_, text) => format!("`{text}`"),
        }
    }
}

impl Stops {
    fn by(on: &On) -> Self {
        match on {
            On::Agent { id } => Self::Agent(id.clone()),
            On::Principal { iss, sub } => Self::Principal(iss.clone(), sub.clone()),
            On::All => Self::All,
        }
    }
}

impl From<Kept> for Orders {
    fn from(kept: Kept) -> Self {
        let mut orders = Self::default();
        for Revoked { index, what, target, eff } in kept.revocations {
            orders.revoke(index, what, target, eff);
        }
        for Halted { index, on } in kept.halts {
            orders.halt(index, on);
        }
        orders
    }
}

impl From<Orders> for Kept {
    fn from(orders: Orders) -> Self {
        let halts = orders.halts.into_iter().map(|(index, on)| Halted { index, on });
        Self { revocations: orders.revocations.into_values().collect(), halts: halts.collect() }
    }
}

#[cfg(test)]
mod tests;
