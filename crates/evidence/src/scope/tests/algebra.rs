//! What a narrower scope permits, every wider one permits: on random scopes, with values that pass.

use core::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::testing::{Choices, cases, scopes};

/// Runs a property and gives how often each thing that it counts happened, and how many cases there were.
fn counted(
    usual: u32,
    property: impl Fn(u64, &mut dyn FnMut(String)) -> Result<(), TestCaseError>,
) -> (BTreeMap<String, u32>, u32) {
    let config = ProptestConfig { failure_persistence: None, ..cases(usual) };
    let runs = config.cases;
    let counts = RefCell::new(BTreeMap::new());
    let outcome = TestRunner::new(config).run(&any::<u64>(), |seed| {
        property(seed, &mut |what| *counts.borrow_mut().entry(what).or_default() += 1)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    (counts.into_inner(), runs)
}

fn happened(counts: &BTreeMap<String, u32>, what: &str, at_least: u32) {
    let times = counts.get(what).copied().unwrap_or_default();
    assert!(
        times >= at_least,
        "{what}: {times} times, {at_least} are expected of a test that says something"
    );
}

#[test]
fn whatever_a_leaf_permits_every_ancestor_permits() {
    let (counts, runs) = counted(10_000, |seed, count| {
        let mut choices = Choices(seed);
        let mut chain = vec![scopes::scope(&mut choices)];
        for _ in 0..=choices.below(4) {
            let narrower = scopes::narrower_scope(&mut choices, chain.last().unwrap());
            chain.push(narrower);
        }
        let parsed: Vec<Scope> = chain.iter().map(super::scope).collect();
        for pair in parsed.windows(2) {
            prop_assert!(pair[1].within(&pair[0]));
        }
        if chain.first() != chain.last() {
            count("narrowed".into());
        }
        let (uri, args) = scopes::call(&mut choices, chain.last().unwrap());
        if parsed.last().unwrap().permits(uri, &args).is_ok() {
            count("permitted".into());
            for (ancestor, json) in parsed.iter().zip(&chain) {
                prop_assert_eq!(ancestor.permits(uri, &args), Ok(()), "{} {:?} in {}", uri, args, json);
            }
        }
        Ok(())
    });
    happened(&counts, "narrowed", runs / 2);
    happened(&counts, "permitted", runs / 2);
}

#[test]
fn what_a_rule_permits_every_rule_it_is_within_permits() {
    let (counts, runs) = counted(10_000, |seed, count| {
        let mut choices = Choices(seed);
        let outer = scopes::rule(&mut choices, 1);
        // not narrowed on purpose: the near misses are those that `within` must refuse
        let inner = match choices.below(4) {
            0 => scopes::rule(&mut choices, 1),
            _ => scopes::nearby(&mut choices, &outer),
        };
        if !scopes::within(&inner, &outer) {
            count("refused".into());
            return Ok(());
        }
        let (permits, allowed) = (scopes::constraint(&inner), scopes::constraint(&outer));
        let kind = |rule: &Value| rule["constraint_type"].as_str().unwrap().to_owned();
        for _ in 0..4 {
            let value = scopes::value(&mut choices, &inner);
            if permits.permits("a", Some(&value)).is_ok() {
                count(format!("{} in {}", kind(&inner), kind(&outer)));
                prop_assert_eq!(
                    allowed.permits("a", Some(&value)),
                    Ok(()),
                    "{}: {} in {}",
                    value,
                    inner,
                    outer
                );
            }
        }
        Ok(())
    });
    happened(&counts, "refused", runs / 10);
    for child in ["exact", "one_of", "range", "decimal_range", "prefix", "path_under", "host_in"] {
        happened(&counts, &format!("{child} in {child}"), runs / 400);
        happened(&counts, &format!("{child} in wildcard"), runs / 1_000);
    }
    for child in ["not_one_of", "contains", "subset", "all", "any"] {
        happened(&counts, &format!("{child} in {child}"), runs / 400);
    }
    for pair in [
        "exact in one_of",
        "exact in range",
        "exact in decimal_range",
        "exact in prefix",
        "exact in path_under",
        "exact in host_in",
        "one_of in decimal_range",
        "one_of in prefix",
        "one_of in path_under",
        "one_of in host_in",
        "range in decimal_range",
    ] {
        happened(&counts, pair, runs / 1_000);
    }
}

#[test]
fn within_is_transitive() {
    let (counts, runs) = counted(10_000, |seed, count| {
        let mut choices = Choices(seed);
        let a = scopes::scope(&mut choices);
        let b = match choices.below(3) {
            0 => scopes::scope(&mut choices),
            _ => scopes::narrower_scope(&mut choices, &a),
        };
        let c = match choices.below(3) {
            0 => scopes::scope(&mut choices),
            1 => scopes::narrower_scope(&mut choices, &a),
            _ => scopes::narrower_scope(&mut choices, &b),
        };
        let (a, b, c) = (super::scope(&a), super::scope(&b), super::scope(&c));
        if c.within(&b) && b.within(&a) {
            if c != b && b != a {
                count("proper".into());
            }
            prop_assert!(c.within(&a), "{} in {} in {}", c.to_json(), b.to_json(), a.to_json());
        }
        Ok(())
    });
    happened(&counts, "proper", runs / 10);
}

#[test]
fn words_agree_with_within() {
    let (counts, runs) = counted(10_000, |seed, count| {
        let mut choices = Choices(seed);
        let outer = scopes::scope(&mut choices);
        let inner = match choices.below(3) {
            0 => scopes::scope(&mut choices),
            _ => scopes::narrower_scope(&mut choices, &outer),
        };
        let (inner, outer) = (super::scope(&inner), super::scope(&outer));
        prop_assert_eq!(inner.excess(&outer).is_empty(), inner.within(&outer));
        if inner.within(&outer) {
            let alike = outer.within(&inner);
            count(if alike { "alike" } else { "narrower" }.into());
            prop_assert_eq!(
                inner.difference(&outer).is_empty(),
                alike,
                "{} in {}: {:?}",
                inner.to_json(),
                outer.to_json(),
                inner.difference(&outer)
            );
        }
        Ok(())
    });
    happened(&counts, "alike", runs / 10);
    happened(&counts, "narrower", runs / 5);
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn within_is_reflexive_and_json_round_trips(seed in any::<u64>()) {
        let scope = scope(&scopes::scope(&mut Choices(seed)));
        prop_assert!(scope.within(&scope));
        prop_assert_eq!(Scope::parse(&scope.to_json()), Ok(scope));
    }

    #[test]
    fn no_json_makes_a_scope_panic(
        seed in any::<u64>(),
        junk in "[{\\[\"a-z0-9.,:*/\\]}\\\\]{0,12}",
        at in any::<prop::sample::Index>(),
    ) {
        // any JSON in any place of a scope, as member name and as value
        let mut choices = Choices(seed);
        let text = scopes::scope(&mut choices).to_string();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let cut = places[at.index(places.len())];
        let mangled = format!("{}{junk}{}", &text[..cut], &text[cut..]);
        if let Ok(value) = crate::json::parse(mangled.as_bytes())
            && let Ok(scope) = Scope::parse(&value)
        {
            let (uri, args) = scopes::call(&mut choices, &text.parse().unwrap());
            let _ = scope.permits(uri, &args);
            prop_assert!(scope.within(&scope));
            prop_assert!(scope.difference(&scope).is_empty());
        }
    }
}
