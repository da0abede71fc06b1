//! What it costs to check a delegation chain: cold (parse and verify everything), cached (an act under a chain that
//! was verified), a proof of possession by itself; and how large chains are.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up should stop there"
)]

mod measure;

use ed25519_dalek::SigningKey;
use evidence::delegation::{Named, Narrowing, Pop, Root, Source, args_digest, delegate};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::PrincipalKind;
use evidence::{Holder, Principal, Scope};
use measure::time;
use serde_json::{Map, Value, json};
use testkit::signing_key;
use verify::chain::{Act, Anchor, Chain, Known, chain, covered, in_force, possession};
use verify::orders::Orders;

const ISSUER: &str = "deeds://deeds.local/0011223344556677";
const TENANT: &str = "local";
const MADE: u64 = 1_790_000_000;
const TOOL: &str = "stdio:edr#isolate_host";
const LONGEST: usize = 9;

/// What a response agent is given: four tools on three servers, their arguments limited. Each link narrows it.
fn scope(depth: usize) -> Scope {
    let folder = ["/srv", "tickets", "2026", "11", "t-4711", "evidence", "host", "memory", "raw"];
    let path = folder.get(..=depth).unwrap().join("/");
    let hosts: Vec<String> = (0..10 - depth).map(|n| format!("ws-{n:02}.corp.example")).collect();
    let tools = json!({
        TOOL: {
            "host": {"constraint_type": "one_of", "values": hosts},
            "reason": {"constraint_type": "prefix", "prefix": "IR-4711"},
            "ttl_minutes": {"constraint_type": "range", "min": 5, "max": 240 - 10 * depth},
        },
        "stdio:fs#read_text_file": {
            "path": {"constraint_type": "path_under", "path": path},
            "head": {"constraint_type": "range", "min": 1, "max": 1_000, "optional": true},
        },
        "https://tickets.example/mcp#comment": {
            "ticket": {"constraint_type": "exact", "value": "IR-4711"},
            "text": {"constraint_type": "wildcard"},
        },
        "https://tickets.example/mcp#refund": {
            "amount": {"constraint_type": "decimal_range", "min": "0", "max": format!("{}.50", 900 - 100 * depth)},
            "currency": {"constraint_type": "one_of", "values": ["EUR", "USD"]},
        },
    });
    Scope::parse(&tools).unwrap()
}

/// The least that can be given: every tool of one server, at every link.
fn server(_depth: usize) -> Scope {
    Scope::server("stdio:edr")
}

fn arguments() -> Map<String, Value> {
    let args =
        json!({"host": "ws-01.corp.example", "reason": "IR-4711: beacon to 203.0.113.9", "ttl_minutes": 60});
    args.as_object().unwrap().clone()
}

fn holder_key(depth: usize) -> SigningKey {
    signing_key(&format!("holder {depth}"))
}

fn named_id(number: usize) -> Id {
    id::parse(&format!("01890a5d-ac96-774b-bcce-b302099a80{number:02x}")).unwrap()
}

fn root(scope: Scope) -> Root {
    let (person, cnf) = (Jwk::of(&signing_key("ana")).thumbprint(), Jwk::of(&holder_key(0)));
    let digest =
        jws::Signed::parse(&jws::sign(jws::ROOT_REQUEST, &json!({}), &signing_key("ana")), jws::ROOT_REQUEST);
    Root {
        jti: id::text(&named_id(0)),
        issuer: ISSUER.into(),
        iat: MADE,
        nbf: MADE,
        exp: MADE + 3_600,
        max_depth: 8,
        scope,
        tenant: TENANT.into(),
        txn: named_id(99),
        purpose: "contain the infection of IR-4711".into(),
        principal: Principal {
            kind: PrincipalKind::Human,
            iss: ISSUER.into(),
            sub: "ana.lopez".into(),
            key: Some(person.clone()),
        },
        holder: Holder {
            id: "responder".into(),
            inst: "4711".into(),
            kind: PrincipalKind::Agent,
            asr: "delegator-asserted".into(),
            key: cnf.thumbprint(),
        },
        cnf,
        source: Source::KeyRequest(Named {
            kid: person,
            jti: id::text(&named_id(98)),
            digest: digest.unwrap().digest(),
        }),
        why: None,
        intent: None,
        approvals: None,
    }
}

/// Chains of 1 to [`LONGEST`] links are the beginnings of this one.
fn longest(scope: impl Fn(usize) -> Scope) -> Vec<String> {
    let mut tokens = vec![root(scope(0)).sign(&signing_key("issuer"))];
    for depth in 1..LONGEST {
        let narrowing = Narrowing {
            jti: named_id(depth),
            iat: MADE,
            ttl: 3_600,
            cnf: Jwk::of(&holder_key(depth)),
            max_depth: None,
            scope: Some(scope(depth)),
            purpose: None,
            holder: (format!("responder/sub-{depth}"), PrincipalKind::Agent, format!("{}", 4_711 + depth)),
            handoff: None,
            approvals: None,
        };
        tokens.push(delegate(&tokens, &holder_key(depth - 1), &narrowing).unwrap());
    }
    tokens
}

/// What an act costs under a verified chain, proof of possession apart: steps 2 to 4, 6 and 7 of format §6.
fn check_act(chain: &Chain, args: &Map<String, Value>, orders: &Orders) -> bool {
    let known = Known { registered: &|_| true, owner: &|_| None, orders, root_logged_s: Some(MADE) };
    in_force(chain, MADE + 60, &known).unwrap();
    covered(chain, TOOL, Some(args)).unwrap()
}

/// 1,000 revocations of other things: what a log that has been in use for a while holds.
fn orders() -> Orders {
    let mut orders = Orders::default();
    for index in 0..1_000_u64 {
        let other = Jwk::of(&signing_key(&index.to_string())).thumbprint();
        let target = evidence::delegation::Target::Text(other);
        orders.revoke(index, evidence::delegation::What::Delegation, target, MADE);
    }
    orders
}

fn proof(chain: &Chain, args_digest: &str) -> String {
    let pop = Pop {
        jti: "9f2c6c1e0b6d4f7a".into(),
        iat: MADE + 60,
        exp: MADE + 120,
        audience: ISSUER.into(),
        leaf: chain.leaf().digest.clone(),
        tool: TOOL.into(),
        args_digest: args_digest.to_owned(),
        act_id: named_id(77),
        counter: 12,
    };
    pop.sign(&holder_key(chain.count() - 1))
}

fn main() {
    let (warm_up, count) = if measure::is_asked_for() { (500, 10_000) } else { (0, 1) };
    let tokens = longest(scope);
    println!("machine: {}", measure::machine());
    println!("{:58} {}", "reading the clock, which is in every figure", time(warm_up, count, || ()));
    println!("\nchains, without proof of possession");
    for links in [1, 3, 8] {
        speed(tokens.get(..links).unwrap(), warm_up, count);
    }
    println!("\nparts of the cold check of one link, the third");
    parts(&tokens, warm_up, count);
    println!("\nproof of possession, any chain");
    possessions(tokens.get(..3).unwrap(), warm_up, count);
    println!("\nsizes");
    for (kind, tokens) in [("four tools", tokens), ("one server", longest(server))] {
        for links in [1, 2, 3, 5, 8] {
            sizes(kind, tokens.get(..links).unwrap());
        }
    }
}

fn speed(tokens: &[String], warm_up: usize, count: usize) {
    let issuer_key = Jwk::of(&signing_key("issuer"));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let (args, orders) = (arguments(), orders());
    let cold = time(warm_up, count, || check_act(&chain(tokens, &anchor).unwrap(), &args, &orders));
    let verified = chain(tokens, &anchor).unwrap();
    let cached = time(warm_up, count, || check_act(&verified, &args, &orders));
    let links = tokens.len();
    println!("{:58} {cold}", format!("{links} links, cold: parse, verify, check the act"));
    println!("{:58} {cached}", format!("{links} links, cached: check the act"));
}

fn parts(tokens: &[String], warm_up: usize, count: usize) {
    let token = tokens.get(2).unwrap();
    let parse = || Signed::parse(token, jws::DELEGATION).unwrap();
    let signed = parse();
    let claims = || evidence::delegation::Link::parse(signed.unverified()).unwrap();
    let key = Jwk::of(&holder_key(1));
    println!("{:58} {}", "base64url, JSON, header", time(warm_up, count, parse));
    println!("{:58} {}", "claims into types, its key among them", time(warm_up, count, claims));
    println!("{:58} {}", "signature (strict Ed25519), thumbprint of the key", {
        time(warm_up, count, || signed.verify(&key).is_ok())
    });
    println!("{:58} {}", "scope within its parent's", {
        let (inner, outer) = (scope(2), scope(1));
        time(warm_up, count, || inner.within(&outer))
    });
}

fn possessions(tokens: &[String], warm_up: usize, count: usize) {
    let issuer_key = Jwk::of(&signing_key("issuer"));
    let anchor = Anchor { issuer: ISSUER, issuer_key: &issuer_key, tenant: TENANT };
    let chain = chain(tokens, &anchor).unwrap();
    let args = arguments();
    let args_digest = args_digest(&args);
    let pop = proof(&chain, &args_digest);
    let act = Act {
        tool: TOOL,
        args: Some(&args),
        args_digest: &args_digest,
        act_id: named_id(77),
        at_ms: (MADE + 61) * 1_000,
    };
    let check = time(warm_up, count, || possession(&chain, &pop, &act).unwrap());
    let sign = time(warm_up, count, || proof(&chain, &args_digest));
    println!("{:58} {check}", "check (the server's part)");
    println!("{:58} {sign}", "sign (the holder's part)");
    println!("{:58} {} bytes", "size", pop.len());
}

/// As MCP `_meta` carries them beside the proof: by value a list of tokens, by reference the leaf's digest.
fn sizes(scope: &str, tokens: &[String]) {
    let bytes: usize = tokens.iter().map(String::len).sum();
    let by_value = json!({"chain": tokens}).to_string().len();
    let leaf = Signed::parse(tokens.last().unwrap(), jws::DELEGATION).unwrap().digest();
    let by_reference = json!({"ref": leaf}).to_string().len();
    println!(
        "{} links, {scope}: tokens {bytes:6} bytes, by value {by_value:6} bytes of JSON, by reference {by_reference} bytes of JSON",
        tokens.len()
    );
}
