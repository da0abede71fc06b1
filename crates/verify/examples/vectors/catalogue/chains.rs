//! Steps 9 to 11: children below a root, in one run and across runs.

use evidence::Kind;
use evidence::delegation::{Approvals, BREAK_GLASS, Child, Root, RootRequest};
use evidence::jws::{self, Jwk};
use serde_json::{Value, json};
use testkit::{Call, LogBuilder, Parts, SigningKey, TestRun, resigned, signing_key, source_of, token_digest};

use super::{POLICY, READ, SEED, Vector, at, failed, scope, verified, with_signature_of};

pub(super) fn vectors() -> Vec<Vector> {
    [good(), keys_and_purposes(), parents(), narrowing(), bindings(), sizes(), decisions(), issuance()]
        .into_iter()
        .flatten()
        .collect()
}

/// A helper with a root, and a searcher below it in a run that stands alone: 0 and 1 genesis, 2 the person's key, 3 the
/// policy, 4 the searcher's run, 5 the root, 6 the child.
struct Pair {
    log: LogBuilder,
    helper: TestRun,
    searcher: TestRun,
}

impl Pair {
    /// Up to the root, after changes to the request for it and to itself.
    fn rooted(ask: impl FnOnce(&mut RootRequest), give: impl FnOnce(&mut Root)) -> Self {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        log.activate(POLICY);
        let mut helper = log.agent("helper", &person.principal);
        helper.max_depth = 4;
        let mut request = log.root_request(&helper, &person);
        ask(&mut request);
        let request = request.sign(&person.key);
        let mut root = log.root_delegation(&helper, source_of(&request));
        give(&mut root);
        helper.chain = vec![root.sign(&log.issuer_key)];
        helper.delegation = token_digest(&helper.chain[0]);
        helper.request = Some(request);
        let mut searcher = log.sub_agent(&helper, "searcher");
        searcher.parent = None;
        log.start(&searcher);
        log.record_chain(&mut searcher, helper.chain.clone());
        Self { log, helper, searcher }
    }

    fn new() -> Self {
        Self::rooted(|_| {}, |_| {})
    }

    /// Signs a child for the searcher after a change.
    fn child(&mut self, change: impl FnOnce(&mut Child)) -> String {
        let mut child = self.log.child_delegation(&self.helper, &self.searcher);
        change(&mut child);
        child.sign(&self.helper.key)
    }

    /// Records a link below the one before it, which the searcher then uses.
    fn record(&mut self, token: &str) -> u64 {
        let above = self.log.leaf(self.log.size() - 1);
        self.searcher.chain.push(token.to_owned());
        self.searcher.delegation = token_digest(token);
        self.log.append(self.log.linked(&self.searcher, token, Some(above)))
    }

    /// With a child after a change, and an act under it.
    fn acted(mut self, change: impl FnOnce(&mut Child)) -> Self {
        let token = self.child(change);
        self.record(&token);
        let call = self.read();
        self.log.act(&mut self.searcher, &call);
        self
    }

    fn read(&mut self) -> Call {
        self.log.call(READ, json!({"path": "/srv/report.txt"}))
    }

    fn close(mut self) -> (LogBuilder, Parts) {
        self.log.end(&self.searcher);
        let parts = self.log.bundle();
        (self.log, parts)
    }
}

/// A child, changed, that has one thing wrong with it; nothing is done under it.
fn one(
    name: &'static str,
    description: &'static str,
    code: &'static str,
    change: impl FnOnce(&mut Child),
) -> Vector {
    let mut pair = Pair::new();
    let token = pair.child(change);
    pair.record(&token);
    let (log, parts) = pair.close();
    failed(name, description, &log, &parts, &[at(6, code)])
}

fn good() -> Vec<Vector> {
    let (log, parts) = Pair::new().acted(|_| {}).close();
    let (narrow, narrow_parts) = Pair::new()
        .acted(|child| {
            child.scope = scope(&json!({READ: {"path": {"constraint_type": "path_under", "path": "/srv"}}}));
            child.exp -= 600;
            child.max_depth = 1;
            child.purpose = "one report".into();
        })
        .close();
    let (attested, attested_parts) = Pair::new().acted(|child| child.holder.asr = "attested".into()).close();
    let withheld = log.bundle_showing(|kind, name| (kind, name) != (Kind::LogGenesis, "issuer_key"));
    let (three, run) = three_links();
    let about = three.bundle().about("run", run.id);
    vec![
        verified("chain", "An act under a child of a root, recorded in one run.", &log, &parts, &[]),
        verified(
            "chain-narrower",
            "The child has one tool with one argument, ends earlier, cannot be passed on and has its own purpose.",
            &narrow,
            &narrow_parts,
            &[],
        ),
        verified(
            "chain-attested",
            "The delegator says that the holder is attested; the decision records what it can vouch for.",
            &attested,
            &attested_parts,
            &[],
        ),
        verified(
            "chain-issuer-key-missing",
            "The issuer's key is withheld: the child is checked all the same.",
            &log,
            &withheld,
            &[at(1, "withheld"), at(5, "issuer-key-missing")],
        ),
        verified(
            "chain-three-links",
            "An agent, its sub-agent and the sub-agent of that, each with its own run, key and act; every run names the next.",
            &three,
            &about,
            &[],
        ),
    ]
}

/// 4 the helper's run, 5 its root, 6 and 7 its act, 8 to 10 the searcher's run, 11 announced, 12 and 13 its act, 14 to 17
/// the reader's run, 18 announced, 19 and 20 its act, then the ends.
fn three_links() -> (LogBuilder, TestRun) {
    let mut log = LogBuilder::new(SEED);
    let person = log.register("alice");
    log.activate(POLICY);
    let mut helper = log.agent("helper", &person.principal);
    helper.max_depth = 3;
    log.start(&helper);
    log.delegate(&mut helper, &person);
    let acts = |log: &mut LogBuilder, run: &mut TestRun| {
        let call = log.call(READ, json!({"path": "/srv/report.txt"}));
        log.act(run, &call);
    };
    acts(&mut log, &mut helper);
    let mut searcher = log.sub_agent(&helper, "searcher");
    log.hand_over(&mut helper, &mut searcher);
    acts(&mut log, &mut searcher);
    let mut reader = log.sub_agent(&searcher, "reader");
    reader.scope = scope(&json!({READ: {"path": {"constraint_type": "prefix", "prefix": "/srv/"}}}));
    log.hand_over(&mut searcher, &mut reader);
    acts(&mut log, &mut reader);
    for run in [&reader, &searcher, &helper] {
        log.end(run);
    }
    (log, searcher)
}

fn keys_and_purposes() -> Vec<Vector> {
    let mut shared = Pair::new();
    shared.searcher.key = shared.helper.key.clone();
    shared.searcher.holder.key.clone_from(&shared.helper.holder.key);
    let (shared, shared_parts) = shared.acted(|_| {}).close();
    let broken = |ask: &mut RootRequest| {
        ask.purpose = BREAK_GLASS.into();
        ask.why = Some("the host is lost".into());
    };
    let given = |root: &mut Root| {
        root.purpose = BREAK_GLASS.into();
        root.why = Some("the host is lost".into());
    };
    let (glass, glass_parts) = Pair::rooted(broken, given).acted(|_| {}).close();
    let mut unsaid = Pair::rooted(
        |ask| {
            broken(ask);
            ask.why = None;
        },
        |root| {
            given(root);
            root.why = None;
        },
    );
    unsaid.log.end(&unsaid.searcher);
    let other_reason = Pair::rooted(broken, |root| {
        given(root);
        root.why = Some("no reason".into());
    });
    let (other_reason, other_parts) = other_reason.close();
    vec![
        verified(
            "key-reused",
            "The sub-agent works with its parent's key.",
            &shared,
            &shared_parts,
            &[at(7, "key-reused")],
        ),
        verified(
            "break-glass",
            "A person broke the glass, for a reason; her agent handed the work on.",
            &glass,
            &glass_parts,
            &[at(7, "break-glass")],
        ),
        failed(
            "break-glass-without-reason",
            "A break-glass root that gives no reason.",
            &unsaid.log,
            &unsaid.log.bundle(),
            &[at(5, "delegation-malformed")],
        ),
        failed(
            "binding-why",
            "The root gives another reason than the request.",
            &other_reason,
            &other_parts,
            &[at(5, "request-binding")],
        ),
    ]
}

fn parents() -> Vec<Vector> {
    let stranger = signing_key("a stranger");
    let mut forged = Pair::new();
    let mut claims = forged.log.child_delegation(&forged.helper, &forged.searcher);
    claims.delegator = Jwk::of(&stranger).thumbprint();
    forged.record(&claims.sign(&stranger));
    let (forged, forged_parts) = forged.close();

    let mut transplanted = Pair::new();
    let (one_of_them, other) = (transplanted.child(|_| {}), transplanted.child(|child| child.exp -= 1));
    transplanted.record(&with_signature_of(&one_of_them, &other));
    let (transplanted, transplanted_parts) = transplanted.close();

    let mut elsewhere = Pair::new();
    let token = elsewhere.child(|_| {});
    elsewhere.log.end(&elsewhere.searcher);
    elsewhere.searcher = elsewhere.log.run_under(&elsewhere.searcher.clone());
    elsewhere.log.start(&elsewhere.searcher);
    let link = elsewhere.log.linked(&elsewhere.searcher, &token, Some(elsewhere.log.leaf(5)));
    elsewhere.log.append(link);
    let (elsewhere, elsewhere_parts) = elsewhere.close();

    let mut below = Pair::rooted(|ask| ask.ttl = 60, |_| {});
    let token = below.child(|_| {});
    below.record(&token);
    let (below, below_parts) = below.close();

    let mut named = Pair::new();
    let token = named.child(|_| {});
    let other =
        json!(format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{}", Jwk::of(&stranger).thumbprint()));
    named.record(&resigned(&token, jws::DELEGATION, &named.helper.key, "/iss", other));
    let (named, named_parts) = named.close();
    vec![
        one("link-missing", "A child of a delegation that was never recorded.", "link-missing", |child| {
            child.parent = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".into();
        }),
        failed(
            "link-missing-in-run",
            "The parent of a child is recorded in another run only.",
            &elsewhere,
            &elsewhere_parts,
            &[at(8, "link-missing")],
        ),
        failed(
            "link-missing-sound",
            "The parent of a child goes beyond its own request.",
            &below,
            &below_parts,
            &[at(5, "request-binding"), at(6, "link-missing")],
        ),
        failed(
            "link-parent",
            "A child signed with a key that its parent is not bound to.",
            &forged,
            &forged_parts,
            &[at(6, "link-parent")],
        ),
        failed(
            "link-signature",
            "A child with the signature of another one.",
            &transplanted,
            &transplanted_parts,
            &[at(6, "delegation-signature")],
        ),
        failed(
            "link-issuer",
            "A child that names another key as its issuer than the one that signed it.",
            &named,
            &named_parts,
            &[at(6, "delegation-malformed")],
        ),
    ]
}

fn narrowing() -> Vec<Vector> {
    let mut repeated = Pair::new();
    let jti = claim(&repeated.helper.chain[0], "jti");
    let token = repeated.child(|child| child.jti = jti);
    repeated.record(&token);
    let (repeated, repeated_parts) = repeated.close();
    vec![
        one("link-depth", "A child that skips a depth.", "link-depth", |child| child.depth = 2),
        one(
            "link-depth-more",
            "A child that may be passed on further than its parent.",
            "link-depth",
            |child| {
                child.max_depth = 5;
            },
        ),
        one("link-time", "A child that ends a second after its parent.", "link-time", |child| child.exp += 1),
        one("link-time-before", "A child that is a second older than its parent.", "link-time", |child| {
            child.iat -= 1;
        }),
        one("link-scope", "A child with a tool that its parent does not have.", "link-scope", |child| {
            child.scope = scope(&json!({READ: {}, "stdio:edr#isolate_host": {}}));
        }),
        failed(
            "chain-repeated",
            "A child with the id of its parent.",
            &repeated,
            &repeated_parts,
            &[at(6, "chain-repeated")],
        ),
    ]
}

/// A text claim of a token.
fn claim(token: &str, name: &str) -> String {
    let signed = jws::Signed::parse(token, jws::DELEGATION).ok();
    signed.and_then(|signed| Some(signed.unverified().get(name)?.as_str()?.to_owned())).unwrap_or_default()
}

fn bindings() -> Vec<Vector> {
    let demanded = || Approvals {
        tools: vec!["stdio:fs#write_file".into()],
        m: 1,
        by: vec!["group:owners".into()],
        ttl: 600,
    };
    let below = |change: fn(&mut Approvals)| {
        let mut pair =
            Pair::rooted(|ask| ask.approvals = Some(demanded()), |root| root.approvals = Some(demanded()));
        let token = pair.child(|child| {
            if let Some(approvals) = &mut child.approvals {
                change(approvals);
            }
        });
        pair.record(&token);
        pair.close()
    };
    let (longer, longer_parts) = below(|approvals| approvals.ttl = 601);
    let (stricter, stricter_parts) = below(|approvals| {
        approvals.m = 2;
        approvals.tools.push(READ.into());
    });
    let none = |ask: &mut RootRequest| ask.approvals = Some(demanded());
    let (unasked, unasked_parts) = Pair::rooted(none, |_| {}).close();
    let acted = |tool: &str| {
        let mut pair =
            Pair::rooted(|ask| ask.approvals = Some(demanded()), |root| root.approvals = Some(demanded()));
        let token = pair.child(|_| {});
        pair.record(&token);
        let call = pair.log.call(tool, json!({}));
        pair.log.act(&mut pair.searcher, &call);
        pair.close()
    };
    let (unapproved, unapproved_parts) = acted("stdio:fs#write_file");
    let (other_tool, other_tool_parts) = acted("stdio:fs#list_directory");
    vec![
        one("link-tenant", "A child for another tenant.", "link-binding", |child| {
            child.tenant = "other".into();
        }),
        one("link-task", "A child for another task.", "link-binding", |child| child.txn = [7; 16]),
        one("link-audience", "A child for another enforcement point.", "link-binding", |child| {
            child.audience = "deeds://elsewhere.test/log".into();
        }),
        one(
            "link-break-glass",
            "A child that breaks a glass that its parent did not.",
            "link-binding",
            |child| {
                child.purpose = BREAK_GLASS.into();
            },
        ),
        failed(
            "link-approvals",
            "A child whose approvals hold a second longer than its parent's.",
            &longer,
            &longer_parts,
            &[at(6, "link-approvals")],
        ),
        verified(
            "link-approvals-more",
            "A child that demands more approvals, for more tools, than its parent.",
            &stricter,
            &stricter_parts,
            &[],
        ),
        failed(
            "binding-approvals",
            "The root demands no approvals, and the request did.",
            &unasked,
            &unasked_parts,
            &[at(5, "request-binding")],
        ),
        failed(
            "approval",
            "An act with a tool for which the chain demands an approval.",
            &unapproved,
            &unapproved_parts,
            &[at(7, "approval")],
        ),
        verified(
            "approval-of-another",
            "An act with a tool for which the chain demands none.",
            &other_tool,
            &other_tool_parts,
            &[],
        ),
    ]
}

/// The largest chain that is allowed, and one byte more.
fn sizes() -> Vec<Vector> {
    let (log, parts) = sized(65_536);
    let (over, over_parts) = sized(65_537);
    vec![
        verified("chain-size-limit", "A chain of 65,536 bytes.", &log, &parts, &[]),
        failed("chain-size", "A chain of 65,537 bytes.", &over, &over_parts, &[at(9, "chain-size")]),
    ]
}

/// A root and four children that are as long as this together. Not every length is that of a token, so the third child
/// gives way until the fourth has one that is.
fn sized(bytes: usize) -> (LogBuilder, Parts) {
    let chains = (0..4).map(|given| chain_of(bytes, given));
    let fits = |(_, tokens): &(Pair, Vec<String>)| tokens.iter().map(String::len).sum::<usize>() == bytes;
    let (mut pair, tokens) = chains.into_iter().find(fits).unwrap_or_else(|| (Pair::new(), Vec::new()));
    for token in tokens.iter().skip(1) {
        pair.record(token);
    }
    pair.close()
}

fn chain_of(bytes: usize, given: usize) -> (Pair, Vec<String>) {
    let mut pair = Pair::new();
    let mut above = pair.helper.clone();
    for links in 1..=4 {
        let mut run = pair.log.sub_agent(&above, &format!("agent {links}"));
        let token = pair.log.child_delegation(&above, &run).sign(&above.key);
        let left = bytes - above.chain.iter().map(String::len).sum::<usize>();
        let share = if links == 3 { left / 2 - given } else { left / (5 - links) };
        run.chain = [above.chain.clone(), vec![padded(&token, &above.key, share)]].concat();
        above = run;
    }
    (pair, above.chain)
}

/// The same delegation with a claim that nobody reads, signed again: the longest of at most this many bytes.
fn padded(token: &str, key: &SigningKey, at_most: usize) -> String {
    let with =
        |length: usize| resigned(token, jws::DELEGATION, key, "/more", Value::String("x".repeat(length)));
    let room = at_most.saturating_sub(with(0).len()) * 3 / 4;
    let fits = (room.saturating_sub(4)..=room + 4).rev().map(with).find(|token| token.len() <= at_most);
    fits.unwrap_or_else(|| token.to_owned())
}

fn decisions() -> Vec<Vector> {
    let acted = |child: fn(&mut Child), entry: fn(&mut Pair, testkit::Draft) -> testkit::Draft| {
        let mut pair = Pair::new();
        let token = pair.child(child);
        pair.record(&token);
        let call = pair.read();
        let pop = pair.log.pop(&mut pair.searcher, &call).sign(&pair.searcher.key);
        let draft = pair.log.decided(&pair.searcher, &call, &pop, "allow");
        let draft = entry(&mut pair, draft);
        let decision = pair.log.append(draft);
        let outcome = pair.log.finished(&pair.searcher, &call, pair.log.leaf(decision));
        pair.log.append(outcome);
        pair.close()
    };
    let (early, early_parts) = acted(|child| child.nbf += 31, |_, entry| entry);
    let (narrow, narrow_parts) = acted(
        |child| {
            let row = json!({"path": {"constraint_type": "prefix", "prefix": "/tmp/"}});
            child.scope = scope(&json!({READ: row}));
        },
        |_, entry| entry,
    );
    let (raised, raised_parts) = acted(
        |child| child.holder.asr = "attested".into(),
        |pair, entry| {
            let mut holder = pair.searcher.holder.clone();
            holder.asr = "attested".into();
            entry.with("holder", &json!(holder))
        },
    );
    let (middle, middle_parts) = acted(
        |child| child.exp -= 3_599,
        |pair, entry| {
            pair.log.clock.advance(1_000);
            let now = pair.log.clock.now_ms();
            entry.with("decided_at_ms", &json!(now))
        },
    );
    let mut ahead = Pair::rooted(
        |_| {},
        |root| {
            root.iat += 31;
            root.exp += 31;
        },
    );
    // no child is older than its parent
    let token = ahead.child(|child| child.iat += 31);
    ahead.record(&token);
    let call = ahead.read();
    ahead.log.act(&mut ahead.searcher, &call);
    let (ahead, ahead_parts) = ahead.close();
    let unsound = {
        let mut pair = Pair::new();
        let token = pair.child(|child| child.exp += 1);
        pair.record(&token);
        let call = pair.read();
        pair.log.act(&mut pair.searcher, &call);
        pair.close()
    };
    vec![
        failed(
            "link-early",
            "The child begins 31 seconds after the act.",
            &early,
            &early_parts,
            &[at(7, "delegation-time")],
        ),
        failed(
            "link-expired",
            "The child ended in the second of the act.",
            &middle,
            &middle_parts,
            &[at(7, "delegation-time")],
        ),
        failed(
            "link-ahead",
            "The root was made 31 seconds after the act.",
            &ahead,
            &ahead_parts,
            &[at(7, "delegation-time")],
        ),
        failed(
            "link-argument",
            "An argument that the root allows and the child does not.",
            &narrow,
            &narrow_parts,
            &[at(7, "scope")],
        ),
        failed(
            "decision-assurance",
            "The decision calls a holder attested for whom only its delegator vouches.",
            &raised,
            &raised_parts,
            &[at(7, "decision-binding")],
        ),
        failed(
            "decision-unsound",
            "The decision relies on a child that is wider than its parent.",
            &unsound.0,
            &unsound.1,
            &[at(6, "link-time"), at(7, "decision-delegation")],
        ),
    ]
}

/// A root is issued in a run of its own and used ten minutes later.
fn issuance() -> Vec<Vector> {
    let mut log = LogBuilder::new(SEED);
    let person = log.register("alice");
    log.activate(POLICY);
    let mut issued = log.agent("helper", &person.principal);
    log.issue(&mut issued, &person);
    log.clock.advance(600_000);
    let mut run = log.run_under(&issued);
    log.start(&run);
    let chain = run.chain.clone();
    log.record_chain(&mut run, chain);
    let call = log.call(READ, json!({"path": "/srv/report.txt"}));
    log.act(&mut run, &call);
    log.end(&run);
    let parts = log.bundle().about("action", call.act_id);
    let without = parts.clone().without(4).without(5).without(6);
    let after = |ms: u64| {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        log.activate(POLICY);
        let mut run = log.agent("helper", &person.principal);
        log.start(&run);
        let request = log.root_request(&run, &person).sign(&person.key);
        let root = log.root_delegation(&run, source_of(&request));
        // appending moves the clock by 1 ms
        log.clock.set(root.iat * 1_000 + ms - 1);
        log.record(&mut run, &root, Some(&request));
        log.end(&run);
        log
    };
    let (within, beyond) = (after(60_000), after(60_001));
    vec![
        verified(
            "issuance-limit",
            "A root recorded a minute after it was issued.",
            &within,
            &within.bundle(),
            &[],
        ),
        verified(
            "issuance-late",
            "A root recorded a minute and a millisecond after it was issued.",
            &beyond,
            &beyond.bundle(),
            &[at(5, "issuance-not-shown")],
        ),
        verified(
            "issuance",
            "A root issued in a run of its own, and used in another one ten minutes later.",
            &log,
            &parts,
            &[],
        ),
        verified(
            "issuance-not-shown",
            "The same without the run in which the root was issued.",
            &log,
            &without,
            &[at(8, "issuance-not-shown")],
        ),
    ]
}
