//! Bundles that verify, each with one thing that makes it different.

use evidence::Kind;
use evidence::cbor::Encoder;
use evidence::id;
use evidence::jws::Jwk;
use evidence::principal::PrincipalKind;
use serde_json::{Map, Value, json};
use testkit::{Draft, LogBuilder, Parts, signing_key, source_of};
use tlog::note::VerifierKey;

use super::{Expected, Scene, Vector, at, scope, verified, whole};

pub(super) fn vectors() -> Vec<Vector> {
    [
        actions(),
        shown(),
        constrained(),
        runs(),
        vec![peer(), named_holder(), boundaries(), unknown_kinds(), unknown_values(), earlier()],
        limits(),
        changes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn withheld(indexes: &[u64]) -> Vec<Expected> {
    indexes.iter().map(|index| at(*index, "withheld")).collect()
}

fn actions() -> Vec<Vector> {
    let (scene, call) = Scene::ended();
    let log = &scene.log;
    let small = log.bundle_showing(LogBuilder::needed).about("action", call.act_id);
    let notes = withheld(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let complete = log.bundle().about("action", call.act_id);
    let captured = [whole("log-key-captured")];
    let mut denied = Scene::delegated();
    let refused = denied.read();
    denied.log.decide(&mut denied.run, &refused, "deny");
    let (denied_log, denied_parts) = denied.close();
    vec![
        verified("action-pinned", "One action, the fields that the checks need, log key and principal's key pinned.", log, &small, &notes)
            .trusting(vec![log.vkey().to_string()], vec![Jwk::of(&scene.person.key).thumbprint()]),
        verified("action-captured", "The same action with every field shown, and no pinned key: the log's key is taken from its entry 1.", log, &complete, &captured)
            .trusting(Vec::new(), Vec::new()),
        verified("action-complete", "The same action with every field shown.", log, &complete, &[]),
        verified("action-denied", "A call that was refused: its decision is evidence too.", &denied_log, &denied_parts.about("action", refused.act_id), &[]),
        verified("two-log-keys", "Two keys are pinned under the log's name; one of them signed.", log, &log.bundle(), &[])
            .trusting(vec![other_key(log), log.vkey().to_string()], Vec::new()),
    ]
}

pub(super) fn other_key(log: &LogBuilder) -> String {
    let key = VerifierKey::ed25519(&log.origin, signing_key("next log key").verifying_key());
    key.map(|key| key.to_string()).unwrap_or_default()
}

fn shown() -> Vec<Vector> {
    let (scene, _) = Scene::ended();
    let log = &scene.log;
    let but =
        |kind: Kind, name: &'static str| log.bundle_showing(move |of, field| (of, field) != (kind, name));
    let nothing = {
        let mut notes = withheld(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        notes.push(at(8, "manifest-withheld"));
        notes
    };
    vec![
        verified(
            "nothing-shown",
            "Every field withheld: only what the entries themselves say is checked.",
            log,
            &log.bundle_showing(|_, _| false),
            &nothing,
        ),
        verified(
            "manifest-withheld",
            "The run's end does not show what it accounts for.",
            log,
            &but(Kind::RunEnded, "streams"),
            &[at(8, "withheld"), at(8, "manifest-withheld")],
        ),
        verified(
            "revocations-withheld",
            "The decision does not show which revocations it took into account.",
            log,
            &but(Kind::Decided, "revocations"),
            &[at(6, "withheld"), at(6, "revocations-withheld")],
        ),
        verified(
            "policy-withheld",
            "The decision does not show the policy that it was made under.",
            log,
            &but(Kind::Decided, "policy_digest"),
            &[at(6, "withheld"), at(6, "policy-withheld")],
        ),
        verified(
            "issuer-key-missing",
            "The issuer's key is withheld, so its signature is not checked.",
            log,
            &but(Kind::LogGenesis, "issuer_key"),
            &[at(1, "withheld"), at(5, "issuer-key-missing")],
        ),
        verified(
            "decision-withheld",
            "The decision does not say which delegation it relied on.",
            log,
            &but(Kind::Decided, "chain"),
            &[at(6, "withheld"), at(6, "decision-withheld")],
        ),
    ]
}

fn constrained() -> Vec<Vector> {
    let mut constrained = Scene::started();
    constrained.run.scope =
        scope(&json!({"stdio:fs#read_file": {"path": {"constraint_type": "prefix", "prefix": "/srv/"}}}));
    constrained.log.delegate(&mut constrained.run, &constrained.person);
    let call = constrained.read();
    constrained.log.act(&mut constrained.run, &call);
    let (constrained, parts) = constrained.close();
    let hidden = constrained.bundle_showing(|_, name| name != "args");
    vec![
        verified(
            "arguments-constrained",
            "The delegation constrains an argument, and the call fits.",
            &constrained,
            &parts,
            &[],
        ),
        verified(
            "arguments-withheld",
            "The delegation constrains an argument, and the arguments are withheld.",
            &constrained,
            &hidden,
            &[at(6, "withheld"), at(6, "scope-args-withheld")],
        ),
    ]
}

fn runs() -> Vec<Vector> {
    let (open, _) = Scene::acted();
    let mut waiting = Scene::delegated();
    let call = waiting.read();
    waiting.log.decide(&mut waiting.run, &call, "allow");
    let (waiting_log, waiting_parts) = waiting.close();
    let (ended, _) = Scene::ended();
    let about_run = ended.log.bundle().about("run", ended.run.id);
    let observed = |scene: &Scene| {
        Draft::new(Kind::Observed).run(scene.run.id).stream(1).with("subtype", &json!("frame"))
    };
    let (mut two, _) = Scene::acted();
    two.log.append(observed(&two));
    two.log.append(observed(&two));
    let (two, two_parts) = two.close();
    let (mut late, _) = Scene::ended();
    late.log.append(observed(&late));
    let open_stream = late.log.bundle();
    let late_open = late.clone();
    let last = late.log.streams(&late.run.id).into_iter().filter(|(stream, ..)| *stream == 1);
    let streams: Vec<Value> = last
        .map(|(stream, count, last)| json!({"stream": stream, "count": count, "last": evidence::digest::hex(&last)}))
        .collect();
    let closing = late.log.manifest(&late.run).stream(1).with("streams", &json!(streams));
    late.log.append(closing);
    vec![
        verified("run", "A bundle about a whole run.", &ended.log, &about_run, &[]),
        verified(
            "open-run",
            "The run has no end yet.",
            &open.log,
            &open.log.bundle().about("run", open.run.id),
            &[at(7, "open-run")],
        ),
        verified(
            "outcome-open",
            "An act that was allowed, and no outcome of it.",
            &waiting_log,
            &waiting_parts,
            &[at(6, "outcome-open")],
        ),
        verified("two-streams", "A run with two streams, both in its manifest.", &two, &two_parts, &[]),
        verified(
            "open-stream",
            "A stream that began after the run's end and goes on.",
            &late_open.log,
            &open_stream,
            &[at(9, "open-stream")],
        ),
        verified(
            "late-stream-closed",
            "A stream that began after the run's end, with an end of its own.",
            &late.log,
            &late.log.bundle(),
            &[],
        ),
    ]
}

fn peer() -> Vector {
    let mut scene = Scene::started();
    scene.run.principal.kind = PrincipalKind::Unknown;
    scene.run.principal.key = None;
    scene.log.delegate_to_peer(&mut scene.run, 1_000);
    let call = scene.read();
    scene.log.act(&mut scene.run, &call);
    let (log, parts) = scene.close();
    let notes = [at(5, "principal-inferred")];
    verified(
        "peer-credentials",
        "Only the operating system vouches for who stands behind the delegation.",
        &log,
        &parts,
        &notes,
    )
}

fn named_holder() -> Vector {
    let mut scene = Scene::started();
    let mut request = scene.log.root_request(&scene.run, &scene.person);
    request.holder = Some(("containment-agent".to_owned(), PrincipalKind::Agent));
    request.max_depth = 2;
    request.txn = Some(scene.run.txn);
    let request = request.sign(&scene.person.key);
    scene.run.holder.id = "containment-agent".into();
    scene.run.holder.asr = "delegator-asserted".into();
    scene.run.scope = scope(
        &json!({"stdio:fs#read_file": {"path": {"constraint_type": "one_of", "values": ["/srv/report.txt", "/srv/b"]},
        "limit": {"constraint_type": "wildcard", "optional": true}}}),
    );
    let mut root = scene.log.root_delegation(&scene.run, source_of(&request));
    root.exp = root.iat + 600;
    scene.log.record(&mut scene.run, &root, Some(&request));
    let call = scene.read();
    scene.log.act(&mut scene.run, &call);
    let (log, parts) = scene.close();
    let about = "The principal names the holder, and the root is narrower than the request.";
    verified("narrower-root", about, &log, &parts, &[])
}

fn boundaries() -> Vector {
    let mut scene = Scene::delegated();
    let nbf = scene.log.clock.now_ms() / 1_000;
    // decided a minute before it was recorded, 30 s before the delegation begins, with a proof made 30 s later
    timed(&mut scene, nbf - 30, nbf + 30, nbf, nbf + 60);
    // decided a minute after it was recorded, in the delegation's last second, with a proof made 30 s earlier and in
    // its last second
    let last = nbf + 3_599;
    timed(&mut scene, last, last - 60, last - 30, last + 1);
    let (log, parts) = scene.close();
    let about = "Every time is as far off as the format allows.";
    verified("time-boundaries", about, &log, &parts, &[])
}

/// An allowed call with an outcome; all times in seconds.
fn timed(scene: &mut Scene, decided: u64, observed: u64, iat: u64, exp: u64) {
    let call = scene.read();
    let mut pop = scene.log.pop(&mut scene.run, &call);
    (pop.iat, pop.exp) = (iat, exp);
    let draft = scene.log.decided(&scene.run, &call, &pop.sign(&scene.run.key), "allow");
    // appending moves the clock by 1 ms
    scene.log.clock.set(observed * 1_000 - 1);
    let decision = scene.log.append(draft.with("decided_at_ms", &json!(decided * 1_000)));
    let outcome = scene.log.finished(&scene.run, &call, scene.log.leaf(decision));
    scene.log.append(outcome);
}

fn unknown_kinds() -> Vector {
    let (mut scene, _) = Scene::acted();
    scene.log.append(Draft::of_code(200).run(scene.run.id));
    scene.log.append(Draft::new(Kind::Note));
    let mut later = Encoder::new();
    later.map(2).uint(0).uint(1).uint(1).text("a later version");
    scene.log.push_bytes(&later.finish());
    let (log, parts) = scene.close();
    let notes = [at(8, "entry-uninterpreted"), at(9, "entry-uninterpreted"), at(10, "entry-uninterpreted")];
    let about = "A kind that no version has, a reserved kind, and an entry of a later version: included, not interpreted.";
    verified("uninterpreted", about, &log, &parts, &notes)
}

fn limits() -> Vec<Vector> {
    let values: Vec<String> = (0..255).map(|n| n.to_string()).chain(["x".repeat(4_096)]).collect();
    let mut tools: Map<String, Value> = (1..256).map(|n| (format!("s#{n}"), json!({}))).collect();
    tools.insert(super::READ.into(), json!({"path": {"constraint_type": "one_of", "values": values}}));
    let (many, many_parts) = allowed(&tools.into(), super::READ, json!({"path": "x".repeat(4_096)}));
    let wildcard = json!({"constraint_type": "wildcard", "optional": true});
    let row: Map<String, Value> = (0..64).map(|n| (n.to_string(), wildcard.clone())).collect();
    let long = format!("s#{}", "x".repeat(1_022));
    let (wide, wide_parts) = allowed(&json!({&long: row}), &long, json!({"63": null}));
    let notes = [at(5, "principal-inferred")];
    vec![
        verified(
            "scope-limits",
            "A delegation of 256 tools, of a choice of 256 values, and of a value of 4,096 bytes.",
            &many,
            &many_parts,
            &notes,
        ),
        verified(
            "scope-limits-arguments",
            "A delegation of 64 arguments of a tool whose URI has 1,024 bytes.",
            &wide,
            &wide_parts,
            &notes,
        ),
    ]
}

/// One call under a delegation of these tools.
fn allowed(tools: &Value, tool: &str, args: Value) -> (LogBuilder, Parts) {
    let mut scene = Scene::started();
    scene.run.scope = scope(tools);
    scene.log.delegate_to_peer(&mut scene.run, 1_000);
    let call = scene.log.call(tool, args);
    scene.log.act(&mut scene.run, &call);
    scene.close()
}

/// What the log does not know is not present; arguments and results are whatever they are.
fn unknown_values() -> Vector {
    let mut scene = Scene::delegated();
    let unknown = json!({"unknown": "it was not there"});
    let call = scene.log.call(super::READ, unknown.clone());
    let pop = scene.log.pop(&mut scene.run, &call).sign(&scene.run.key);
    let draft = scene.log.decided(&scene.run, &call, &pop, "allow");
    let draft = ["txn", "principal", "holder", "revocations", "policy_digest"]
        .into_iter()
        .fold(draft, |draft, name| draft.with(name, &unknown));
    let decision = scene.log.append(draft);
    let outcome = scene.log.finished(&scene.run, &call, scene.log.leaf(decision));
    scene.log.append(outcome.with("act_id", &unknown).with("result_digest", &unknown));
    let (log, parts) = scene.close();
    let about = "Values that the log says it does not know; the arguments only look like one.";
    verified(
        "unknown-values",
        about,
        &log,
        &parts,
        &[at(6, "revocations-withheld"), at(6, "policy-withheld")],
    )
}

fn earlier() -> Vector {
    let (scene, call) = Scene::ended();
    let mut parts = scene.log.bundle_showing(LogBuilder::needed).about("action", call.act_id);
    parts.earlier = Some((scene.log.checkpoint(3).into_bytes(), scene.log.consistency(3)));
    let about = "With an earlier checkpoint, and the proof that the later one extends it.";
    let notes = withheld(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    verified("earlier-checkpoint", about, &scene.log, &parts, &notes)
}

fn changes() -> Vec<Vector> {
    let genesis = LogBuilder::new(super::SEED);
    let (mut retired, _) = Scene::ended();
    retired.log.append(retired.log.key_change("principal-retired", &retired.person));
    let (mut policy, _) = Scene::acted();
    policy.log.activate("@id(\"none\")\nforbid(principal, action, resource);\n");
    let second = policy.read();
    policy.log.decide(&mut policy.run, &second, "deny");
    let third = policy.read();
    policy.log.act(&mut policy.run, &third);
    let (policy, policy_parts) = policy.close();
    let (mut seen, _) = Scene::acted();
    let lost = json!({"unknown": "the server could not be reached"});
    seen.log.append(
        Draft::new(Kind::Gap)
            .run(seen.run.id)
            .with("reason", &json!("server-unreachable"))
            .with("detail", &lost),
    );
    seen.log.append(Draft::new(Kind::ClockAdjusted).with("before_ms", &json!(1)).with("after_ms", &json!(2)));
    seen.log.append(Draft::new(Kind::Observed).with("subtype", &json!("refusals")).with("count", &json!(3)));
    let (seen, seen_parts) = seen.close();
    let about = json!({"run": id::text(&[1; 16])});
    let mut grown = LogBuilder::new(super::SEED);
    grown.append(Draft::new(Kind::Gap));
    grown.append(Draft::new(Kind::Gap));
    let mut extended = grown.bundle();
    extended.earlier = Some((grown.checkpoint(3).into_bytes(), grown.consistency(3)));
    let mut decoy = LogBuilder::new(super::SEED);
    decoy.append(
        Draft::new(Kind::Observed)
            .with("subtype", &json!("lifecycle"))
            .with("payload", &about)
            .with("source", &Value::Null),
    );
    vec![
        verified("genesis-alone", "A log of its two genesis entries.", &genesis, &genesis.bundle(), &[]),
        verified(
            "genesis-captured",
            "The same without any pinned key.",
            &genesis,
            &genesis.bundle(),
            &[whole("log-key-captured")],
        )
        .trusting(Vec::new(), Vec::new()),
        verified("earlier-small", "A small log, with an earlier checkpoint of it.", &grown, &extended, &[]),
        verified(
            "retired-later",
            "The principal's key was retired after the act: the act stands.",
            &retired.log,
            &retired.log.bundle(),
            &[],
        ),
        verified(
            "policy-changed",
            "Two policies, each decision under the one that was active.",
            &policy,
            &policy_parts,
            &[],
        ),
        verified("observations", "A gap, an adjusted clock and counted refusals.", &seen, &seen_parts, &[]),
        verified(
            "decoy-field",
            "A field that is there only to hide that it is absent.",
            &decoy,
            &decoy.bundle(),
            &[],
        ),
    ]
}
