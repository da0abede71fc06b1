//! The fold as the control state uses it. Which chain each order fits is in the vectors.

use proptest::prelude::*;
use testkit::{LogBuilder, source_of};

use super::*;
use crate::chain::{Anchor, root};

const DIGEST: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

fn chain() -> Chain {
    let mut log = LogBuilder::new("orders");
    let person = log.person("alice");
    let run = log.agent("helper", &person.principal);
    let request = log.root_request(&run, &person).sign(&person.key);
    let token = log.root_delegation(&run, source_of(&request)).sign(&log.issuer_key);
    let issuer_key = evidence::jws::Jwk::of(&log.issuer_key);
    root(&token, &Anchor { issuer: &log.issuer, issuer_key: &issuer_key, tenant: "local" }).unwrap()
}

fn text(text: &str) -> Target {
    Target::Text(text.to_owned())
}

fn revoked(orders: &Orders, chain: &Chain, at_s: u64) -> Option<u64> {
    orders.revoked(chain, at_s, None, &|_| None).map(|(index, _)| index)
}

#[test]
fn the_earliest_time_of_a_target_counts_whatever_came_first() {
    let chain = chain();
    let mut orders = Orders::default();
    orders.revoke(5, What::Tenant, text("local"), 100);
    orders.revoke(6, What::Tenant, text("local"), 50);
    orders.revoke(7, What::Tenant, text("local"), 50);
    assert_eq!(revoked(&orders, &chain, 49), None);
    assert_eq!(revoked(&orders, &chain, 50), Some(6));
    assert_eq!(revoked(&orders, &chain, 100), Some(6));
    let all: Vec<u64> = orders.revocations().map(|(index, ..)| index).collect();
    assert_eq!(all, [5, 6, 7]);
}

#[test]
fn a_target_of_another_form_fits_nothing() {
    let chain = chain();
    let who = Target::Principal { iss: chain.root().principal.iss.clone(), sub: "alice".into() };
    let mut orders = Orders::default();
    orders.revoke(1, What::Tenant, who.clone(), 0);
    orders.revoke(2, What::Principal, text("alice"), 0);
    orders.revoke(3, What::Delegation, text(DIGEST), 0);
    assert_eq!(revoked(&orders, &chain, 10), None);
    orders.revoke(4, What::Principal, who, 0);
    assert_eq!(revoked(&orders, &chain, 10), Some(4));
}

#[test]
fn a_principal_is_found_by_the_keys_behind_the_root() {
    let chain = chain();
    let key = chain.root().source.keys().next().unwrap().to_owned();
    let mut orders = Orders::default();
    orders.revoke(3, What::Principal, Target::Principal { iss: "i".into(), sub: "service".into() }, 0);
    let owner = |kid: &str| (kid == key).then(|| ("i".to_owned(), "service".to_owned()));
    let (index, what) = orders.revoked(&chain, 1, None, &owner).unwrap();
    assert_eq!((index, what.as_str()), (3, "the authority of `service`"));
    assert_eq!(revoked(&orders, &chain, 1), None);
}

#[test]
fn an_issuer_key_spares_what_was_recorded_before() {
    let chain = chain();
    let kid = chain.root_link().kid.clone();
    let mut orders = Orders::default();
    orders.revoke(3, What::IssuerKey, text(&kid), 100);
    let at = |logged| orders.revoked(&chain, 200, logged, &|_| None).is_some();
    assert_eq!((at(None), at(Some(99)), at(Some(100))), (true, false, true));
    assert!(orders.is_issuer_key_revoked(&kid, 100) && !orders.is_issuer_key_revoked(&kid, 99));
}

#[test]
fn halts_are_lifted_one_by_one() {
    let chain = chain();
    let helper = On::Agent { id: "helper".into() };
    let mut orders = Orders::default();
    orders.halt(3, helper.clone());
    orders.halt(4, helper.clone());
    orders.halt(5, On::Agent { id: "reader".into() });
    assert_eq!(orders.halted(&chain), Some(3));
    assert!(orders.resume(3) && !orders.resume(3) && !orders.resume(9));
    assert_eq!(orders.halted(&chain), Some(4));
    assert!(orders.resume(4));
    assert_eq!(orders.halted(&chain), None);
    assert_eq!(orders.halts().map(|(index, _)| index).collect::<Vec<_>>(), [5]);
}

fn order() -> impl Strategy<Value = (bool, u64, u64)> {
    (any::<bool>(), 0_u64..6, 0_u64..200)
}

proptest! {
    #[test]
    fn a_stored_state_is_the_state(steps in proptest::collection::vec(order(), 0..40)) {
        let mut orders = Orders::default();
        for (index, (revokes, which, eff)) in (0..).zip(steps) {
            match (revokes, which) {
                (true, which) => orders.revoke(index, What::Tenant, text(&which.to_string()), eff),
                (false, 0) => orders.halt(index, On::All),
                (false, 1) => orders.halt(index, On::Principal { iss: "i".into(), sub: "s".into() }),
                (false, 2 | 3) => orders.halt(index, On::Agent { id: which.to_string() }),
                (false, _) => drop(orders.resume(eff)),
            }
        }
        let stored = serde_json::to_string(&orders).unwrap();
        prop_assert_eq!(serde_json::from_str::<Orders>(&stored).unwrap(), orders);
    }
}
