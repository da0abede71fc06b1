//! The chain behind an act, link by link: who gave what to whom, and what each signature was checked with.

use evidence::delegation::BREAK_GLASS;
use evidence::label::Check;
use serde_json::json;

use super::{Established, Identity, LinkFacts, MandateFacts, weaker};
use crate::chain::Link;
use crate::genesis::key_check;
use crate::steps::delegations::Held;

/// All links, root first; `principal` is on whose authority.
pub(super) fn of(held: &Held, principal: &Identity, established: &Established<'_>) -> Vec<LinkFacts> {
    let check = check(held, established);
    let mandate = mandate_of(held, established);
    let mut above: Option<&Link> = None;
    let mut facts: Vec<LinkFacts> = Vec::new();
    for link in held.chain.links() {
        let wider = above.map(|above| above.claims.scope()).or(mandate.map(|(_, mandate)| &mandate.scope));
        let narrowed = wider.map(|wider| link.claims.scope().difference(wider)).unwrap_or_default();
        let delegator = above.map_or_else(|| principal.clone(), |above| holder(above, check));
        facts.push(fact(link, delegator, narrowed, check, held));
        above = Some(link);
    }
    facts
}

fn fact(link: &Link, delegator: Identity, narrowed: Vec<String>, check: Check, held: &Held) -> LinkFacts {
    let claims = &link.claims;
    let key = claims.holder().key;
    let bound_to_it = held.chain.links().filter(|other| other.claims.holder().key == key).count();
    LinkFacts {
        digest: link.digest.clone(),
        holder: holder(link, check),
        delegator,
        tools: claims.scope().tools().map(str::to_owned).collect(),
        narrowed,
        exp: claims.exp(),
        purpose: claims.purpose().to_owned(),
        depth: claims.depth(),
        max_depth: claims.max_depth(),
        shares_key: bound_to_it > 1,
        key,
    }
}

fn holder(link: &Link, check: Check) -> Identity {
    let holder = link.claims.holder();
    Identity { assurance: Some(holder.asr.clone()), value: json!(holder), check }
}

/// What the signatures of a chain are worth: those of children hang on the issuer's.
pub(super) fn check(held: &Held, established: &Established<'_>) -> Check {
    if !held.signature_checked {
        return Check::NotChecked;
    }
    weaker(established.genesis.issuer_check(established.trust), established.head.check)
}

/// The mandate that the root of a chain was issued under.
pub(super) fn mandate(held: &Held, established: &Established<'_>) -> Option<MandateFacts> {
    let named = held.chain.root().source.mandate()?;
    let (index, mandate) = mandate_of(held, established)?;
    let check = weaker(key_check(&named.kid, established.trust), established.head.check);
    Some(MandateFacts {
        digest: named.digest.clone(),
        index,
        principal: Identity { value: json!(mandate.principal), assurance: None, check },
        holders: mandate.holders.clone(),
        exp: mandate.exp,
    })
}

fn mandate_of<'k>(
    held: &Held,
    established: &Established<'k>,
) -> Option<(u64, &'k evidence::delegation::Mandate)> {
    let named = held.chain.root().source.mandate()?;
    // a root is sound only if its mandate came before it
    established.delegations.mandate(&named.digest, u64::MAX)
}

/// The reason for a break-glass act.
pub(super) fn break_glass(held: &Held) -> Option<String> {
    let root = held.chain.root();
    (root.purpose == BREAK_GLASS).then(|| root.why.clone().unwrap_or_default())
}
