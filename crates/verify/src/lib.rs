//! Offline checks of bundles and delegation chains: the one verifier, used online and by auditors.
//!
//! Deterministic: no clock, no I/O, no randomness. Every event is judged at its own time. The specification is
//! `docs/format.md`: §6 for signed objects, §9 for the bundle, §10 for the checks and their order.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod chain;
pub mod finding;
mod genesis;
mod items;
pub mod limits;
pub mod orders;
pub mod report;
mod steps;
pub mod trust;

pub use bundle::{Bundle, BundleError};
pub use finding::{Code, Finding, Severity};
pub use report::{Report, Verdict};
pub use trust::{TrustError, TrustRoots};

use finding::Findings;
use genesis::Genesis;
use items::Items;
use report::Established;
use steps::{causes, chains, checkpoint, children, counters, decisions, delegations, entries, fields, keys};
use steps::{manifests, outcomes, policies, subject};

/// Verifies a bundle against the keys that the caller trusts: the steps of format §10, in their order.
pub fn verify_bundle(bytes: &[u8], trust: &TrustRoots) -> Report {
    let mut findings = Findings::default();
    // 1: the container
    let Some(bundle) = bundle::open(bytes, &mut findings) else { return Report::unreadable(findings) };
    let items = Items::read(&bundle);
    let genesis = Genesis::read(&items, &bundle.origin);
    // 2: the checkpoint and whose it is
    let head = checkpoint::check(&bundle, &genesis, trust, &mut findings);
    // 3: each entry, and that it is in the log
    entries::check(&items, head.checkpoint.as_ref(), &mut findings);
    // 4: the log is the one that is named
    entries::check_log_id(&items, &bundle.log_id, &mut findings);
    // 5: nothing is missing between the entries of a chain
    chains::check(&items, &bundle.log_id, &mut findings);
    // 6: what is shown is what was committed to
    fields::check(&items, &mut findings);
    // 7: causes come first
    causes::check(&items, &mut findings);
    // 8: nothing is missing at the end of a chain
    manifests::check(&items, &mut findings);
    // 9: what was handed over is accounted for on both sides; whose keys they are
    children::check(&items, &mut findings);
    let register = keys::check(&items, &mut findings);
    // 10: mandates and delegations
    let delegations = delegations::check(&items, &genesis, &register, &mut findings);
    children::check_delegations(&items, &delegations, &mut findings);
    // 11: decisions that allowed an act, and the counters of their proofs
    let orders = steps::orders::read(&items);
    let earlier = decisions::Earlier { delegations: &delegations, register: &register, orders: &orders };
    decisions::check(&items, &earlier, &mut findings);
    counters::check(&items, &mut findings);
    // 12: orders and policies
    steps::orders::check(&items, &genesis, &register, &mut findings);
    policies::check(&items, &mut findings);
    // 13: outcomes
    outcomes::check(&items, &mut findings);
    // 14: what the bundle is about
    subject::check(&items, bundle.subject, &mut findings);
    // 15: the earlier checkpoint
    checkpoint::check_earlier(bundle.earlier.as_ref(), &bundle.origin, &head, &mut findings);
    let established =
        Established { bundle: &bundle, head: &head, genesis: &genesis, delegations: &delegations, trust };
    Report::of(&items, &established, findings)
}
