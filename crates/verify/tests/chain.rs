//! Properties of chains: what a holder derives verifies, nothing that was altered does, and the links together allow what
//! the leaf allows. `PROPTEST_CASES` sets the number of cases; without it there are 10,000 (calls, where chains are
//! built: each is of 20).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests stop where something impossible was set up"
)]

use std::sync::LazyLock;
use std::thread;

use evidence::delegation::{Narrowing, On, Target, What, args_digest, delegate};
use evidence::jws::Jwk;
use evidence::principal::PrincipalKind;
use evidence::{Scope, base64url, id};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};
use testkit::{LogBuilder, SeededRandom, SigningKey, signing_key, source_of};
use verify::chain::{self, Act, Anchor, Chain, Failure, Known, Proven};
use verify::orders::Orders;

const TOOLS: [&str; 3] = ["stdio:fs#read", "stdio:fs#write", "stdio:db#query"];

fn cases() -> ProptestConfig {
    let set = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    // what the library runs where nobody said how many
    if set.cases == 256 { ProptestConfig { cases: 10_000, ..set } } else { set }
}

/// Constraints from wide to narrow, each within the one before it.
fn ladders() -> Vec<Vec<Value>> {
    let of = |kind: &str, member: &str, values: &[Value]| -> Vec<Value> {
        let wildcard = json!({"constraint_type": "wildcard"});
        let steps = values.iter().map(|value| json!({"constraint_type": kind, member: value}));
        core::iter::once(wildcard).chain(steps).collect()
    };
    let exact = |value: &str| json!({"constraint_type": "exact", "value": value});
    let prefix = |text: &str| json!({"constraint_type": "prefix", "prefix": text});
    vec![
        of("prefix", "prefix", &[json!(""), json!("/s"), json!("/srv"), json!("/srv/data")]),
        of("path_under", "path", &[json!("/"), json!("/srv"), json!("/srv/data"), json!("/srv/data/a")]),
        of("one_of", "values", &[json!(["/srv", "a", 5, null]), json!(["a", 5]), json!([5])]),
        of("not_one_of", "excluded", &[json!(["a"]), json!(["a", 5]), json!([5, "a", "/srv"])]),
        of("host_in", "hosts", &[json!(["*.org", "a.x.org"]), json!(["*.x.org"]), json!(["a.x.org"])]),
        of("contains", "required", &[json!(["a"]), json!([5, "a"])]),
        of("subset", "allowed", &[json!(["a", 5, "b"]), json!(["a", 5]), json!(["a"])]),
        of(
            "any",
            "constraints",
            &[json!([prefix("/"), exact("a")]), json!([exact("a"), prefix("/srv")]), json!([prefix("/srv")])],
        ),
        of(
            "all",
            "constraints",
            &[
                json!([prefix("/")]),
                json!([prefix("/srv"), prefix("/")]),
                json!([prefix("/"), prefix("/srv/data"), prefix("/srv")]),
            ],
        ),
        vec![
            json!({"constraint_type": "wildcard"}),
            json!({"constraint_type": "decimal_range", "min": "-0.5", "max": "99.99"}),
            json!({"constraint_type": "range", "min": 0, "max": 10}),
            json!({"constraint_type": "range", "min": 0, "max": 10, "max_inclusive": false}),
            json!({"constraint_type": "exact", "value": 5}),
        ],
    ]
}

/// What arguments are drawn from.
fn values() -> Vec<Value> {
    vec![
        json!("/srv/data/a"),
        json!("/srv/data"),
        json!("/srv"),
        json!("/srv/../etc"),
        json!("a"),
        json!("b"),
        json!(5),
        json!(10),
        json!(0.5),
        json!("5.0"),
        json!(-1),
        json!(null),
        json!(["a"]),
        json!([5, "a"]),
        json!([]),
        json!("a.x.org"),
        json!("https://b.x.org/p"),
        json!({}),
    ]
}

fn pick<'a, T>(random: &mut SeededRandom, from: &'a [T]) -> &'a T {
    &from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

fn one_in(random: &mut SeededRandom, n: u64) -> bool {
    random.below(n) == 0
}

/// For each tool the ladder of each argument and the step that it stands on; no arguments: any.
type Rows = Vec<(&'static str, Vec<(usize, usize, bool)>)>;

fn any_rows(random: &mut SeededRandom) -> Rows {
    let row = |random: &mut SeededRandom| {
        let count = random.below(3);
        (0..count).map(|_| (usize::try_from(random.below(10)).unwrap(), 0, one_in(random, 3))).collect()
    };
    let kept = TOOLS.into_iter().filter(|tool| *tool == TOOLS[0] || random.below(2) == 0);
    let kept: Vec<&str> = kept.collect();
    kept.into_iter().map(|tool| (tool, row(random))).collect()
}

/// Rows that are within these.
fn narrowed(random: &mut SeededRandom, rows: &Rows, ladders: &[Vec<Value>]) -> Rows {
    let mut narrower: Rows = Vec::new();
    for (at, (tool, row)) in rows.iter().enumerate() {
        if at > 0 && one_in(random, 4) {
            continue;
        }
        let mut row = row.clone();
        if row.is_empty() && one_in(random, 2) {
            row.push((usize::try_from(random.below(10)).unwrap(), 0, one_in(random, 3)));
        }
        for (ladder, step, optional) in &mut row {
            *step = (*step + usize::try_from(random.below(2)).unwrap()).min(ladders[*ladder].len() - 1);
            *optional = *optional && !one_in(random, 4);
        }
        narrower.push((tool, row));
    }
    narrower
}

fn scope_of(rows: &Rows, ladders: &[Vec<Value>]) -> Scope {
    let row = |row: &[(usize, usize, bool)]| -> Value {
        let arguments = row.iter().enumerate().map(|(name, (ladder, step, optional))| {
            let mut constraint = ladders[*ladder][*step].clone();
            if *optional {
                constraint["optional"] = json!(true);
            }
            (format!("arg{name}"), constraint)
        });
        arguments.collect::<Map<_, _>>().into()
    };
    let tools: Map<String, Value> = rows.iter().map(|(tool, own)| ((*tool).to_owned(), row(own))).collect();
    Scope::parse(&tools.into()).unwrap()
}

/// A chain with the keys of its holders.
struct Derived {
    log: LogBuilder,
    tokens: Vec<String>,
    keys: Vec<SigningKey>,
    scopes: Vec<Scope>,
    /// What the last scope was made from.
    rows: Rows,
}

/// A root and this many children, each narrowed at random by the holder above.
fn derived(random: &mut SeededRandom, children: usize) -> Derived {
    let ladders = ladders();
    let mut log = LogBuilder::new("properties");
    let person = log.person("alice");
    let mut run = log.agent("agent 0", &person.principal);
    let mut rows = any_rows(random);
    run.scope = scope_of(&rows, &ladders);
    run.max_depth = 8;
    let request = log.root_request(&run, &person).sign(&person.key);
    let root = log.root_delegation(&run, source_of(&request)).sign(&log.issuer_key);
    let (mut tokens, mut keys, mut scopes) = (vec![root], vec![run.key], vec![run.scope]);
    let now = log.clock.now_ms() / 1_000;
    for depth in 1..=children {
        rows = narrowed(random, &rows, &ladders);
        let scope = scope_of(&rows, &ladders);
        let key = if one_in(random, 8) { keys[0].clone() } else { signing_key(&format!("agent {depth}")) };
        let narrowing = Narrowing {
            jti: log.id(),
            iat: now,
            ttl: 60 + random.below(10_000),
            cnf: Jwk::of(&key),
            max_depth: None,
            scope: (!one_in(random, 4)).then(|| scope.clone()),
            purpose: one_in(random, 2).then(|| format!("purpose {depth}")),
            holder: (format!("agent {depth}"), PrincipalKind::Agent, "1".into()),
            handoff: one_in(random, 2).then_some("look into it"),
            approvals: None,
        };
        if narrowing.scope.is_none() {
            scopes.push(scopes.last().unwrap().clone());
        } else {
            scopes.push(scope);
        }
        tokens.push(delegate(&tokens, keys.last().unwrap(), &narrowing).unwrap());
        keys.push(key);
    }
    Derived { log, tokens, keys, scopes, rows }
}

impl Derived {
    fn checked(&self, tokens: &[String]) -> Result<Chain, Failure> {
        let issuer_key = Jwk::of(&self.log.issuer_key);
        chain::chain(tokens, &Anchor { issuer: &self.log.issuer, issuer_key: &issuer_key, tenant: "local" })
    }

    /// The proof of the leaf's holder for a call now.
    fn proof(&self, tool: &str, args: &Map<String, Value>) -> String {
        let now = self.log.clock.now_ms() / 1_000;
        let pop = evidence::delegation::Pop {
            jti: "7".into(),
            iat: now,
            exp: now + 60,
            audience: self.log.issuer.clone(),
            leaf: testkit::token_digest(self.tokens.last().unwrap()),
            tool: tool.into(),
            args_digest: args_digest(args),
            act_id: [7; 16],
            counter: 0,
        };
        pop.sign(self.keys.last().unwrap())
    }

    fn act(
        &self,
        tokens: &[String],
        pop: &str,
        tool: &str,
        args: &Map<String, Value>,
    ) -> Result<Proven, Failure> {
        let chain = self.checked(tokens)?;
        let digest = args_digest(args);
        let at_ms = self.log.clock.now_ms();
        let act = Act { tool, args: Some(args), args_digest: &digest, act_id: [7; 16], at_ms };
        let orders = Orders::default();
        let known = Known { registered: &|_| true, owner: &|_| None, orders: &orders, root_logged_s: None };
        chain::act(&chain, pop, &act, &known)
    }
}

fn call(random: &mut SeededRandom, scope: &Scope) -> (&'static str, Map<String, Value>) {
    let tool = *pick(random, &TOOLS);
    let row = scope.row(tool);
    let names = row.map(|row| row.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut args = Map::new();
    for name in names {
        if !one_in(random, 6) {
            args.insert(name, pick(random, &values()).clone());
        }
    }
    if one_in(random, 8) {
        args.insert("more".into(), json!(1));
    }
    (tool, args)
}

/// An agent, its sub-agent, the sub-agent of that, and a call with its proof.
static THREE: LazyLock<(Derived, String, Map<String, Value>)> = LazyLock::new(|| {
    let mut random = SeededRandom::new(3);
    let mut three = derived(&mut random, 2);
    // one that includes a call without arguments to think about
    while three.act(&three.tokens, &three.proof(TOOLS[0], &Map::new()), TOOLS[0], &Map::new()).is_err() {
        three = derived(&mut random, 2);
    }
    let proof = three.proof(TOOLS[0], &Map::new());
    (three, proof, Map::new())
});

/// One byte of a text is replaced, left out or put in.
fn altered(text: &str, at: Index, byte: u8, how: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    match how {
        // another one, in any case
        0 => bytes[at] = if bytes[at] == byte { byte ^ 1 } else { byte },
        1 => drop(bytes.remove(at)),
        _ => bytes.insert(at, byte),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One bit of what a segment decodes to is changed: still base64url, still as long.
fn flipped(token: &str, at: Index, bit: u8) -> String {
    let mut segments: Vec<Vec<u8>> =
        token.split('.').map(|segment| base64url::decode(segment).unwrap()).collect();
    let mut at = at.index(segments.iter().map(Vec::len).sum());
    for segment in &mut segments {
        if let Some(byte) = segment.get_mut(at) {
            *byte ^= 1 << bit;
            break;
        }
        at -= segment.len();
    }
    segments.iter().map(|segment| base64url::encode(segment)).collect::<Vec<_>>().join(".")
}

fn alphabet() -> impl Strategy<Value = u8> {
    let used = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=".to_vec();
    prop_oneof![4 => proptest::sample::select(used), 1 => any::<u8>()]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_altered_verifies(
        which in 0_usize..4,
        at in any::<Index>(),
        byte in alphabet(),
        how in 0_u8..4,
        bit in 0_u8..8,
    ) {
        let (three, proof, args) = &*THREE;
        let (mut tokens, mut pop) = (three.tokens.clone(), proof.clone());
        let target = tokens.get_mut(which).unwrap_or(&mut pop);
        let before = target.clone();
        *target = if how == 3 { flipped(&before, at, bit) } else { altered(&before, at, byte, how) };
        prop_assert_ne!(&*target, &before);
        prop_assert!(three.act(&tokens, &pop, TOOLS[0], args).is_err());
    }
}

/// Chains of one to three links to derive one more from: making them costs most.
static PARENTS: LazyLock<Vec<Derived>> = LazyLock::new(|| {
    (0..64).map(|seed| derived(&mut SeededRandom::new(seed), usize::try_from(seed % 3).unwrap())).collect()
});

/// Who gets the child.
static CHILD: LazyLock<SigningKey> = LazyLock::new(|| signing_key("child"));

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_child_that_is_derived_verifies_and_permits_no_more(seed in any::<u64>()) {
        let mut random = SeededRandom::new(seed);
        let (parent, ladders) = (pick(&mut random, &PARENTS), ladders());
        let scope = scope_of(&narrowed(&mut random, &parent.rows, &ladders), &ladders);
        let narrowing = Narrowing {
            jti: id::uuid_v7(random.below(1 << 40), &random.array()),
            iat: parent.log.clock.now_ms() / 1_000 + random.below(60),
            ttl: 1 + random.below(10_000),
            cnf: Jwk::of(&CHILD),
            max_depth: one_in(&mut random, 2).then(|| 3 + random.below(6)),
            scope: Some(scope.clone()),
            purpose: one_in(&mut random, 2).then(|| "less".to_owned()),
            holder: ("child".into(), PrincipalKind::Agent, String::new()),
            handoff: one_in(&mut random, 2).then_some("look into it"),
            approvals: None,
        };
        let child = delegate(&parent.tokens, parent.keys.last().unwrap(), &narrowing).unwrap();
        let tokens = [parent.tokens.as_slice(), &[child]].concat();
        let chain = parent.checked(&tokens).unwrap();
        prop_assert_eq!(chain.leaf().claims.scope(), &scope);
        let (tool, args) = call(&mut random, &scope);
        let allowed = scope.permits(tool, &args).is_ok();
        prop_assert_eq!(chain::covered(&chain, tool, Some(&args)).is_ok(), allowed);
        prop_assert!(!allowed || parent.scopes.iter().all(|above| above.permits(tool, &args).is_ok()));
    }
}

/// Of what builds chains, which costs a hundred times as much.
fn chains(share: u32) -> ProptestConfig {
    let cases = cases();
    ProptestConfig { cases: (cases.cases / share).max(1), ..cases }
}

proptest! {
    // each with 20 calls
    #![proptest_config(chains(20))]

    #[test]
    fn what_is_derived_verifies_and_the_links_allow_what_the_leaf_allows(seed in any::<u64>(), children in 0_usize..=8) {
        let mut random = SeededRandom::new(seed);
        let derived = derived(&mut random, children);
        let chain = derived.checked(&derived.tokens).unwrap();
        prop_assert_eq!(chain.count(), children + 1);
        prop_assert_eq!(chain.leaf().claims.depth(), children as u64);
        let leaf = derived.scopes.last().unwrap();
        prop_assert_eq!(chain.leaf().claims.scope(), leaf);
        for _ in 0..20 {
            let (tool, args) = call(&mut random, leaf);
            let allowed = leaf.permits(tool, &args).is_ok();
            prop_assert_eq!(chain::covered(&chain, tool, Some(&args)).is_ok(), allowed, "{} {:?}", tool, args);
            for above in &derived.scopes {
                prop_assert!(!allowed || above.permits(tool, &args).is_ok());
            }
        }
        let (tool, args) = call(&mut random, leaf);
        let acted = derived.act(&derived.tokens, &derived.proof(tool, &args), tool, &args);
        prop_assert_eq!(acted.is_ok(), leaf.permits(tool, &args).is_ok());
    }

}

proptest! {
    #![proptest_config(chains(100))]

    #[test]
    fn no_shorter_or_reordered_chain_verifies(seed in any::<u64>(), children in 2_usize..=8, at in any::<Index>(), to in any::<Index>()) {
        let derived = derived(&mut SeededRandom::new(seed), children);
        let (at, to) = (at.index(children), to.index(children + 1));
        let mut without = derived.tokens.clone();
        without.remove(at);
        prop_assert!(derived.checked(&without).is_err());
        let mut swapped = derived.tokens.clone();
        swapped.swap(at, to);
        prop_assert_eq!(derived.checked(&swapped).is_ok(), at == to);
    }

    #[test]
    fn a_verdict_depends_on_nothing_but_its_inputs(seeds in proptest::collection::vec(any::<u64>(), 2..4)) {
        let judge = |seed: u64| {
            let mut random = SeededRandom::new(seed);
            let derived = derived(&mut random, 2);
            let (tool, args) = call(&mut random, derived.scopes.last().unwrap());
            let acted = derived.act(&derived.tokens, &derived.proof(tool, &args), tool, &args);
            acted.map_err(|failure| (failure.step, failure.text))
        };
        let forward: Vec<_> = seeds.iter().map(|seed| judge(*seed)).collect();
        let mut backward: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = seeds.iter().rev().map(|seed| scope.spawn(|| judge(*seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        backward.reverse();
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn the_order_of_revocations_does_not_matter(effective in proptest::collection::vec((0_u64..4, 0_u64..100), 0..12), at in 0_u64..100) {
        let (three, ..) = &*THREE;
        let chain = three.checked(&three.tokens).unwrap();
        let targets = [
            (What::Delegation, Target::Text(chain.leaf().digest.clone())),
            (What::Lineage, Target::Text(id::text(&chain.root().txn))),
            (What::HolderKey, Target::Text(chain.holder().key)),
            (What::Tenant, Target::Text("other".into())),
        ];
        let fold = |order: &[(u64, u64)]| {
            let mut orders = Orders::default();
            for (index, (which, eff)) in (0..).zip(order) {
                let (what, target) = targets[usize::try_from(*which).unwrap()].clone();
                orders.revoke(index, what, target, *eff);
            }
            orders.revoked(&chain, at, None, &|_| None).is_some()
        };
        let expected = effective.iter().any(|(which, eff)| *which < 3 && *eff <= at);
        let backward: Vec<(u64, u64)> = effective.iter().rev().copied().collect();
        prop_assert_eq!((fold(&effective), fold(&backward)), (expected, expected));
    }
}

proptest! {
    #[test]
    fn no_text_stops_the_verifier(tokens in proptest::collection::vec("\\PC{0,200}", 0..4), pop in "\\PC{0,200}") {
        let (three, ..) = &*THREE;
        prop_assert!(three.act(&tokens, &pop, TOOLS[0], &Map::new()).is_err());
        prop_assert!(three.act(&three.tokens, &pop, TOOLS[0], &Map::new()).is_err());
    }
}

/// A scope whose comparison costs as much as one token allows.
fn costly(reversed: bool) -> Scope {
    let prefixes = (0..14).map(
        |n| json!({"constraint_type": "prefix", "prefix": "x".repeat(if reversed { 14 - n } else { n + 1 })}),
    );
    let clauses: Vec<Value> = prefixes.collect();
    let row = json!({
        "a": {"constraint_type": "all", "constraints": clauses},
        "b": {"constraint_type": "any", "constraints": clauses},
        "c": {"constraint_type": "all", "constraints": clauses},
        "d": {"constraint_type": "any", "constraints": clauses},
    });
    let tools: Map<String, Value> = (0..3).map(|n| (format!("stdio:fs#tool{n}"), row.clone())).collect();
    Scope::parse(&tools.into()).unwrap()
}

/// Hostile input is judged within bounded work: this ends, in a time that nobody notices.
#[test]
fn costly_chains_are_judged_soon() {
    let mut log = LogBuilder::new("costly");
    let person = log.person("alice");
    let mut run = log.agent("agent 0", &person.principal);
    (run.scope, run.max_depth) = (costly(false), 8);
    let request = log.root_request(&run, &person).sign(&person.key);
    let root = log.root_delegation(&run, source_of(&request)).sign(&log.issuer_key);
    run.chain = vec![root.clone()];
    let mut tokens = vec![root];
    for depth in 1..5 {
        let mut child = log.sub_agent(&run, &format!("agent {depth}"));
        child.scope = costly(depth % 2 == 1);
        let token = log.child_delegation(&run, &child).sign(&run.key);
        tokens.push(token);
        child.chain.clone_from(&tokens);
        run = child;
    }
    let issuer_key = Jwk::of(&log.issuer_key);
    let anchor = Anchor { issuer: &log.issuer, issuer_key: &issuer_key, tenant: "local" };
    let size: usize = tokens.iter().map(String::len).sum();
    assert!(size > 60_000, "{size} bytes are not as many as they could be");
    for _ in 0..20 {
        assert_eq!(chain::chain(&tokens, &anchor).unwrap().count(), 5);
    }
}

/// However many orders there are, a chain is looked up among them.
#[test]
fn many_orders_cost_one_look_up_each() {
    let (three, ..) = &*THREE;
    let chain = three.checked(&three.tokens).unwrap();
    let mut orders = Orders::default();
    for n in 0..100_000 {
        orders.revoke(n, What::Tenant, Target::Text(format!("tenant {n}")), 0);
        orders.halt(n, On::Agent { id: format!("somebody {n}") });
    }
    for _ in 0..10_000 {
        assert_eq!(orders.revoked(&chain, u64::MAX, None, &|_| None), None);
        assert_eq!(orders.halted(&chain), None);
    }
}
