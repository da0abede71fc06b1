//! The chain of an act, hop by hop, and what stands around it: mandate, break-glass, later revocations, the hand-over.

use evidence::delegation::{BREAK_GLASS, Link as Claims};
use evidence::label::{Assurance, Check};
use evidence::{Digest, Entry, id};
use serde::Serialize;
use serde_json::{Value, json};
use verify::orders::Orders;

use super::checks::{Checked, Part};
use crate::answer::{Fact, Margin};
use crate::error::LineageError;
use crate::index::Index;
use crate::query::actions::announced;
use crate::query::chains::Until;
use crate::query::standing::revocation;
use crate::query::utc;
use crate::record::Record;

/// One signed link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkPart {
    /// Its token digest.
    pub digest: String,
    /// Position of its entry.
    pub index: u64,
    /// Who holds it: {id, inst, kind, asr, key}.
    pub holder: Fact,
    /// Thumbprint of the key it is bound to.
    pub key: String,
    /// Who gave it: the principal of a root, the holder of the link above for a child.
    pub delegator: Fact,
    /// Its tools with the limits on their arguments.
    pub scope: Value,
    /// What is narrower than in the link above; of a root: than in the request or the mandate.
    pub narrowed: Vec<String>,
    /// The first second at which it no longer holds.
    pub exp: u64,
    /// Why it was given.
    pub purpose: String,
    /// Links above it.
    pub depth: u64,
    /// How deep the chain may grow.
    pub max_depth: u64,
    /// Whether another link of the chain is bound to the same key: then nobody can tell the two holders apart.
    pub shares_key: bool,
    /// What was checked of it for this answer.
    pub checks: Vec<LinkCheck>,
}

/// One check of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkCheck {
    /// `signature` (by the issuer, by the holder above), `within` (the request, the mandate, the link above), `time`,
    /// `registered` (the keys behind a root), `revocation` (nothing known at the decision revoked or halted it),
    /// `scope` (it includes the tool and its arguments), `possession` (the holder proved this act).
    pub what: &'static str,
    /// `verified-captured` where it was made and holds, else `not-checked`.
    pub check: &'static str,
}

/// The standing authority behind a root.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MandatePart {
    /// Its token digest.
    pub digest: String,
    /// Position of its entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Who signed it.
    pub principal: Fact,
    /// Who asked under it for this root: a registered service.
    pub holder: Fact,
    /// The first second at which it no longer holds; nothing where it could not be read.
    pub exp: Option<u64>,
}

/// A root that a person took on its own authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakGlass {
    /// The reason that was signed.
    pub why: Option<String>,
    /// `open`: nothing records a review.
    pub review: &'static str,
}

/// Which revocations were known, and which have come since.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RevocationsPart {
    /// The last log-level entry that the decision took into account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What has been revoked since that fits this chain, oldest first.
    pub now: Vec<RevocationRow>,
}

/// A revocation that fits a chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RevocationRow {
    /// Position of its entry.
    pub index: u64,
    /// A word of format §5, kind 4.
    pub what: &'static str,
    /// What it names.
    pub target: Value,
    /// From when it is in effect, seconds.
    pub eff: u64,
    /// The reason given.
    pub why: Fact,
    /// In effect at the time of the act, which is in doubt then.
    pub in_doubt: bool,
}

/// The links, root first.
pub(super) fn chain_part(checked: &Checked) -> Vec<LinkPart> {
    let recorded = &checked.recorded;
    let keys: Vec<String> = recorded.claims.iter().map(|link| link.cnf().thumbprint()).collect();
    let links = recorded.records.iter().zip(&recorded.claims).enumerate();
    links
        .map(|(place, (record, link))| {
            let key = link.cnf().thumbprint();
            LinkPart {
                digest: digest_of(record, checked, place),
                index: record.index,
                holder: holder(checked, place, record, link),
                shares_key: keys.iter().filter(|other| **other == key).count() > 1,
                key,
                delegator: delegator(checked, place, record),
                scope: link.scope().to_json(),
                narrowed: narrowed(checked, place, link),
                exp: link.exp(),
                purpose: link.purpose().to_owned(),
                depth: link.depth(),
                max_depth: link.max_depth(),
                checks: checks(checked, place),
            }
        })
        .collect()
}

/// The digest that the checked chain has, else the recorded one.
fn digest_of(record: &Record, checked: &Checked, place: usize) -> String {
    let of_chain = checked.recorded.chain.as_ref().and_then(|chain| chain.links().nth(place));
    of_chain.map(|link| link.digest.clone()).or_else(|| record.text("digest")).unwrap_or_default()
}

fn holder(checked: &Checked, place: usize, record: &Record, link: &Claims) -> Fact {
    let holder = link.holder();
    let check = match place {
        // the issuer's word alone, unless the principal named the holder
        0 if checked.behind.request.as_ref().is_none_or(|request| request.request.holder.is_none()) => {
            Check::NotChecked
        }
        _ => checked.recorded.signed(place),
    };
    Fact::recorded(json!(holder), record.index).assured(Assurance::parse(&holder.asr)).checked(check)
}

fn delegator(checked: &Checked, place: usize, record: &Record) -> Fact {
    let above = place.checked_sub(1).and_then(|above| checked.recorded.claims.get(above));
    match (above, checked.root()) {
        (Some(above), _) => {
            let holder = above.holder();
            Fact::recorded(json!(holder), record.index)
                .assured(Assurance::parse(&holder.asr))
                .checked(checked.recorded.signed(place))
        }
        (None, Some(root)) => Fact::recorded(json!(root.principal), record.index).checked(checked.asked()),
        (None, None) => Fact::missing("unknown", Some(record.index)),
    }
}

/// What a link takes away.
fn narrowed(checked: &Checked, place: usize, link: &Claims) -> Vec<String> {
    if let Some(above) = place.checked_sub(1).and_then(|above| checked.recorded.claims.get(above)) {
        let mut texts = link.scope().difference(above.scope());
        if link.exp() < above.exp() {
            texts.push(format!("until: {} (of {})", utc(link.exp()), utc(above.exp())));
        }
        if link.max_depth() < above.max_depth() {
            texts.push(format!(
                "depth of the chain: at most {} (of {})",
                link.max_depth(),
                above.max_depth()
            ));
        }
        if link.purpose() != above.purpose() {
            texts.push(format!("purpose: `{}` (of `{}`)", link.purpose(), above.purpose()));
        }
        return texts;
    }
    if let Some(mandated) = &checked.behind.mandated {
        return link.scope().difference(&mandated.mandate.scope);
    }
    checked
        .behind
        .request
        .as_ref()
        .map(|request| link.scope().difference(&request.request.scope))
        .unwrap_or_default()
}

fn checks(checked: &Checked, place: usize) -> Vec<LinkCheck> {
    let signed = checked.recorded.signed(place);
    let is_root = place == 0;
    let is_leaf = place + 1 == checked.recorded.records.len();
    let holds = |holds: bool| if holds { signed } else { Check::NotChecked };
    let mut all = vec![("signature", signed)];
    match checked.root().filter(|_| is_root) {
        Some(root) if root.source.request().is_none() => {}
        Some(_) => all.push(("within", holds(checked.behind.request.is_some()))),
        None => all.push(("within", signed)),
    }
    all.push(("time", holds(checked.holds(Part::Time))));
    if is_root && checked.root().is_some_and(|root| root.source.request().is_some()) {
        all.push(("registered", holds(checked.holds(Part::Keys))));
    }
    all.push(("revocation", holds(checked.holds(Part::Orders))));
    all.push(("scope", holds(checked.holds(Part::Scope))));
    if is_leaf {
        all.push(("possession", holds(checked.holds(Part::Proof))));
    }
    all.into_iter().map(|(what, check)| LinkCheck { what, check: check.as_str() }).collect()
}

pub(super) fn mandate_part(checked: &Checked) -> Option<MandatePart> {
    let root = checked.root()?;
    let named = root.source.mandate()?;
    let mandated = checked.behind.mandated.as_ref();
    let index = checked.behind.mandate.as_ref().map(|record| record.index);
    let check = checked.asked();
    let principal = match (mandated, index) {
        (Some(mandated), Some(index)) => Fact::recorded(json!(mandated.mandate.principal), index),
        _ => Fact::recorded(json!(root.principal), checked.root_index()),
    };
    let holder = checked.behind.request.as_ref().map_or_else(
        || Fact::missing("unknown", None),
        |request| Fact::recorded(json!(request.principal), checked.root_index()).checked(check),
    );
    Some(MandatePart {
        digest: named.digest.clone(),
        index,
        principal: principal.checked(check),
        holder,
        exp: mandated.map(|mandated| mandated.mandate.exp),
    })
}

pub(super) fn break_glass(checked: &Checked) -> Option<BreakGlass> {
    let root = checked.root().filter(|root| root.purpose == BREAK_GLASS)?;
    Some(BreakGlass { why: root.why.clone(), review: "open" })
}

impl Index {
    /// Which revocations the decision knew of, and what has been revoked since.
    pub(super) fn revocations_part(
        &self,
        decision: &Record,
        checked: &Checked,
        margin: &mut Margin,
    ) -> Result<RevocationsPart, LineageError> {
        let index = decision.value("revocations").and_then(|value| value.get("index")?.as_u64());
        let mut part = RevocationsPart { index, now: Vec::new() };
        let Some(chain) = checked.chain() else { return Ok(part) };
        let at_s = decision.number("decided_at_ms").map(|ms| ms / 1_000);
        let knowledge = self.knowledge(chain, Until::END, margin)?;
        for record in knowledge.entries.values().filter(|record| record.index > decision.index) {
            let Some((what, target, eff)) = revocation(record) else { continue };
            let mut alone = Orders::default();
            alone.revoke(record.index, what, target.clone(), eff);
            let fits = |at_s: u64| {
                knowledge.with(|known| alone.revoked(chain, at_s, known.root_logged_s, known.owner)).is_some()
            };
            if fits(u64::MAX) {
                part.now.push(RevocationRow {
                    index: record.index,
                    what: what.as_str(),
                    target: target.to_json(),
                    eff,
                    why: Fact::of(record, "why").assured(Some(Assurance::Asserted)),
                    in_doubt: at_s.is_some_and(fits),
                });
            }
        }
        Ok(part)
    }

    /// The run that handed the work over, and what it handed over.
    pub(super) fn handed_over(
        &self,
        entry: &Entry,
        checked: &Checked,
        margin: &mut Margin,
    ) -> Result<(Fact, Fact), LineageError> {
        let none = || Fact::missing("none", None);
        let found = self.read(|db, _| announced(db, &entry.run))?;
        let announced = found.map_or(Ok(None), |at| self.expect(at, margin))?;
        let parent = announced
            .as_ref()
            .and_then(|record| Some(Fact::recorded(id::text(&record.entry.as_ref()?.run), record.index)));
        let Some(leaf) = checked.leaf().and_then(Claims::as_child) else {
            return Ok((parent.unwrap_or_else(none), none()));
        };
        // the text goes with the delegation that the run was opened under, which need not be that of this act
        let leaf_digest = checked.chain().map(|chain| chain.leaf().digest.clone());
        let of_leaf = announced.filter(|record| record.text("delegation") == leaf_digest);
        let text = of_leaf.as_ref().and_then(|record| Some((record.index, record.text("handoff")?)));
        let handoff = match (&leaf.handoff, text) {
            (None, None) => none(),
            (Some(digest), Some((index, text))) if Digest::of(text.as_bytes()).to_string() == *digest => {
                let signed = checked.recorded.signed(checked.recorded.records.len().saturating_sub(1));
                Fact::recorded(json!({"digest": digest, "text": text}), index).checked(signed)
            }
            (digest, Some((index, text))) => {
                let said = "the text handed over is not the one that the delegation names";
                margin.finding("handoff-digest", Some(index), said);
                Fact::recorded(json!({"digest": digest, "text": text}), index)
            }
            (Some(digest), None) => {
                let at = checked.recorded.leaf().map_or(0, |record| record.index);
                let signed = checked.recorded.signed(checked.recorded.records.len().saturating_sub(1));
                Fact::recorded(json!({"digest": digest}), at).checked(signed)
            }
        };
        Ok((parent.unwrap_or_else(none), handoff))
    }
}
