//! Step 10: delegations and the requests behind them. No act relies on any of these, so that each shows alone.

use evidence::Scope;
use evidence::delegation::{Named, Root, RootRequest, Source};
use evidence::jws;
use evidence::principal::PrincipalKind;
use serde_json::{Map, Value, json};
use testkit::{Draft, resigned, source_of};

use super::{READ, Scene, Vector, at, failed, with_signature_of};

pub(super) fn vectors() -> Vec<Vector> {
    [roots(), claims(), scopes(), requests(), bindings(), holders()].into_iter().flatten().collect()
}

/// Records a delegation at 5 after changes to its request and itself.
fn issued(request: impl FnOnce(&mut RootRequest), root: impl FnOnce(&mut Root)) -> Scene {
    let mut scene = Scene::started();
    let mut asked = scene.log.root_request(&scene.run, &scene.person);
    request(&mut asked);
    let asked = asked.sign(&scene.person.key);
    let mut given = scene.log.root_delegation(&scene.run, source_of(&asked));
    root(&mut given);
    scene.log.record(&mut scene.run, &given, Some(&asked));
    scene
}

/// Records at 5 what a change makes of the usual draft of a delegation.
fn recorded(change: impl FnOnce(&mut Scene, Draft) -> Draft) -> Scene {
    let mut scene = Scene::started();
    let request = scene.log.root_request(&scene.run, &scene.person).sign(&scene.person.key);
    let token = scene.log.root_delegation(&scene.run, source_of(&request)).sign(&scene.log.issuer_key);
    let draft = scene.log.delegated(&scene.run, &token, Some(&request));
    let draft = change(&mut scene, draft);
    scene.log.append(draft);
    scene
}

fn one(name: &'static str, description: &'static str, scene: Scene, code: &'static str) -> Vector {
    let (log, parts) = scene.close();
    failed(name, description, &log, &parts, &[at(5, code)])
}

fn roots() -> Vec<Vector> {
    let digest =
        recorded(|_, draft| draft.with("digest", &json!("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")));
    let garbage = recorded(|_, draft| draft.with("token", &json!("a.b.c")).without("digest"));
    let number = recorded(|_, draft| draft.with("token", &json!(1)).without("digest"));
    let long = issued(|request| request.ttl = 100_000, |root| root.exp = root.iat + 86_401);
    let elsewhere = recorded(|scene, draft| {
        let request = scene.log.root_request(&scene.run, &scene.person).sign(&scene.person.key);
        let mut root = scene.log.root_delegation(&scene.run, source_of(&request));
        root.issuer = "deeds://elsewhere.test/log".into();
        let token = root.sign(&scene.log.issuer_key);
        draft.with("token", &json!(token)).without("digest").with("request", &json!(request))
    });
    let tenant = issued(|request| request.tenant = "other".into(), |root| root.tenant = "other".into());
    let forged = recorded(|scene, draft| {
        let request = scene.log.root_request(&scene.run, &scene.person).sign(&scene.person.key);
        let token = scene.log.root_delegation(&scene.run, source_of(&request)).sign(&scene.person.key);
        draft.with("token", &json!(token)).without("digest").with("request", &json!(request))
    });
    let transplanted = recorded(|scene, draft| {
        let request = scene.log.root_request(&scene.run, &scene.person).sign(&scene.person.key);
        let mut root = scene.log.root_delegation(&scene.run, source_of(&request));
        let signature = root.sign(&scene.log.issuer_key);
        root.exp -= 1;
        let token = with_signature_of(&root.sign(&scene.log.issuer_key), &signature);
        draft.with("token", &json!(token)).without("digest").with("request", &json!(request))
    });
    let both = recorded(|scene, draft| {
        let mut root = scene.log.root_delegation(&scene.run, Source::PeerCredentials { uid: 1_000 });
        root.exp = root.iat + 86_401;
        draft.with("token", &json!(root.sign(&scene.log.issuer_key))).without("request")
    });
    let (both, both_parts) = both.close();
    vec![
        failed(
            "delegation-digest-and-malformed",
            "A delegation that lives too long, recorded with another one's digest.",
            &both,
            &both_parts,
            &[at(5, "delegation-digest"), at(5, "delegation-malformed")],
        ),
        one("delegation-digest", "The recorded digest is not the delegation's.", digest, "delegation-digest"),
        one("delegation-garbage", "A delegation that is no signed object.", garbage, "delegation-malformed"),
        one("delegation-number", "A delegation that is not even text.", number, "delegation-malformed"),
        one(
            "delegation-too-long",
            "A delegation that lives a second too long.",
            long,
            "delegation-malformed",
        ),
        one(
            "delegation-issuer",
            "A delegation of another issuer, signed with this one's key.",
            elsewhere,
            "delegation-malformed",
        ),
        one("delegation-tenant", "A delegation for another tenant.", tenant, "delegation-malformed"),
        one(
            "delegation-other-key",
            "A delegation that the principal signed instead of the issuer.",
            forged,
            "delegation-signature",
        ),
        one(
            "delegation-signature",
            "A delegation with the signature of another one.",
            transplanted,
            "delegation-signature",
        ),
    ]
}

/// Records at 5 a delegation from the operating system's word, with another claim at one place, signed again.
fn changed(place: &str, value: Value) -> Scene {
    recorded(|scene, draft| {
        let root = scene.log.root_delegation(&scene.run, Source::PeerCredentials { uid: 1_000 });
        let token =
            resigned(&root.sign(&scene.log.issuer_key), jws::DELEGATION, &scene.log.issuer_key, place, value);
        draft.with("token", &json!(token)).without("digest").without("request")
    })
}

/// Records at 5 a delegation on a request with another claim in that, signed again.
fn changed_request(place: &str, value: Value) -> Scene {
    recorded(|scene, draft| {
        let request = scene.log.root_request(&scene.run, &scene.person).sign(&scene.person.key);
        let asked = resigned(&request, jws::ROOT_REQUEST, &scene.person.key, place, value);
        let source = match source_of(&request) {
            Source::KeyRequest(named) => {
                Source::KeyRequest(Named { digest: testkit::token_digest(&asked), ..named })
            }
            other => other,
        };
        let token = scene.log.root_delegation(&scene.run, source).sign(&scene.log.issuer_key);
        draft.with("token", &json!(token)).without("digest").with("request", &json!(asked))
    })
}

/// A delegation with one claim that makes it malformed.
fn malformed(name: &'static str, description: &'static str, place: &str, value: Value) -> Vector {
    let (log, parts) = changed(place, value).close();
    // nobody vouches for what is malformed, not even the operating system
    failed(name, description, &log, &parts, &[at(5, "delegation-malformed")])
}

fn claims() -> Vec<Vector> {
    let upper = json!("01900000-0000-7000-8000-00000000000A");
    let other_key = json!("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    vec![
        malformed(
            "delegation-long",
            "A signed object of more than 16,384 bytes.",
            "/more",
            json!("x".repeat(16_384)),
        ),
        malformed("delegation-empty-text", "A delegation for no purpose.", "/deeds/purpose", json!("")),
        malformed(
            "delegation-long-text",
            "A purpose of 4,097 bytes.",
            "/deeds/purpose",
            json!("x".repeat(4_097)),
        ),
        malformed("delegation-upper-case", "A delegation whose id is in upper case.", "/jti", upper),
        malformed(
            "delegation-fraction",
            "A time with a fraction of a second.",
            "/iat",
            json!(1_794_999_999.5),
        ),
        malformed(
            "delegation-holder-key",
            "A holder with another key than the one it is bound to.",
            "/deeds/hld/key",
            other_key,
        ),
        malformed(
            "delegation-principal-member",
            "A principal with a member that no principal has.",
            "/deeds/prin/mail",
            json!("alice@v0.test"),
        ),
        malformed(
            "delegation-principal-list",
            "A principal that is a list of what its members would be.",
            "/deeds/prin",
            json!(["human", "deeds://v0.test/log", "alice"]),
        ),
        malformed(
            "delegation-kind-object",
            "A kind that is an object named after it.",
            "/deeds/hld/kind",
            json!({"agent": null}),
        ),
    ]
}

/// Each limit of a scope (format §6), one past its boundary.
fn scopes() -> Vec<Vector> {
    let tools = |name, about, tools: Value| malformed(name, about, "/authorization_details/0/tools", tools);
    let row = |row: Value| json!({READ: row});
    let wildcard = json!({"constraint_type": "wildcard"});
    let many = |count: u32, value: &Value| -> Value {
        (0..count).map(|n| (format!("s#{n}"), value.clone())).collect::<Map<_, _>>().into()
    };
    let one_of = |values: Value| row(json!({"path": {"constraint_type": "one_of", "values": values}}));
    let long = format!("s#{}", "x".repeat(1_023));
    vec![
        tools("scope-no-tools", "A scope without tools.", json!({})),
        tools("scope-many-tools", "A scope of 257 tools.", many(257, &json!({}))),
        tools("scope-many-arguments", "65 constrained arguments of one tool.", row(many(65, &wildcard))),
        tools("scope-many-values", "A choice of 257 values.", one_of((0..257).collect())),
        tools("scope-no-values", "A choice of no values.", one_of(json!([]))),
        tools("scope-long-string", "A value of 4,097 bytes.", one_of(json!(["x".repeat(4_097)]))),
        tools("scope-tool-space", "A tool URI with a space.", json!({"stdio:fs#read file": {}})),
        tools("scope-tool-hash", "A tool URI with two number signs.", json!({"stdio:fs#read#file": {}})),
        tools("scope-tool-bare", "A tool without its server.", json!({"read_file": {}})),
        tools("scope-tool-long", "A tool URI of 1,025 bytes.", json!({long: {}})),
    ]
}

fn requests() -> Vec<Vector> {
    let null = recorded(|_, draft| draft.with("request", &serde_json::Value::Null));
    let absent = recorded(|_, draft| draft.without("request"));
    let other = recorded(|scene, draft| {
        let mut request = scene.log.root_request(&scene.run, &scene.person);
        let token = scene.log.root_delegation(&scene.run, source_of(&request.sign(&scene.person.key)));
        let token = token.sign(&scene.log.issuer_key);
        request.exp -= 1;
        let request = request.sign(&scene.person.key);
        draft.with("token", &json!(token)).without("digest").with("request", &json!(request))
    });
    let long = issued(|request| request.exp = request.iat + 301, |_| {});
    let elsewhere = issued(|request| request.audience = "deeds://elsewhere.test/log".into(), |_| {});
    let mut stranger = Scene::started();
    stranger.person = stranger.log.person("mallory");
    stranger.run.principal = stranger.person.principal.clone();
    stranger.log.delegate(&mut stranger.run, &stranger.person);
    let mut retired = Scene::new();
    retired.log.append(retired.log.key_change("principal-retired", &retired.person));
    retired.log.delegate(&mut retired.run, &retired.person);
    let signature = recorded(|scene, draft| {
        let mut request = scene.log.root_request(&scene.run, &scene.person);
        let signature = request.sign(&scene.person.key);
        request.exp -= 1;
        let request = with_signature_of(&request.sign(&scene.person.key), &signature);
        let token = scene.log.root_delegation(&scene.run, source_of(&request)).sign(&scene.log.issuer_key);
        draft.with("token", &json!(token)).without("digest").with("request", &json!(request))
    });
    let holder = changed_request("/deeds/hld", json!({"id": "helper", "kind": "agent", "key": ""}));
    let kind = changed_request("/deeds/hld", json!({"id": "helper", "kind": {"agent": null}}));
    let id = changed_request("/jti", json!("01900000-0000-7000-8000-00000000000A"));
    vec![
        one(
            "request-holder-members",
            "A request that says more of its holder than id and kind.",
            holder,
            "request-malformed",
        ),
        one("request-holder-kind", "A request whose holder's kind is an object.", kind, "request-malformed"),
        one("request-upper-case", "A request whose id is in upper case.", id, "request-malformed"),
        one("request-null", "The principal's request is missing.", null, "request-missing"),
        one("request-absent", "The entry has no request at all.", absent, "request-missing"),
        one(
            "request-other",
            "Another request than the one that the delegation names.",
            other,
            "request-malformed",
        ),
        one("request-too-long", "A request that holds a second too long.", long, "request-malformed"),
        one("request-audience", "A request to another issuer.", elsewhere, "request-malformed"),
        one(
            "request-unregistered",
            "A request signed with a key that nobody registered.",
            stranger,
            "request-key",
        ),
        one(
            "request-retired",
            "A request signed with a key that was retired before.",
            retired,
            "request-key",
        ),
        one(
            "request-signature",
            "A request with the signature of another one.",
            signature,
            "request-signature",
        ),
    ]
}

fn bindings() -> Vec<Vector> {
    let wider = issued(|request| request.scope = Scope::server("stdio:other"), |_| {});
    let longer = issued(|request| request.ttl = 60, |_| {});
    let deeper = issued(|_| {}, |root| root.max_depth = 1);
    let late = issued(
        |_| {},
        |root| {
            root.iat += 331;
            root.nbf += 331;
            root.exp += 331;
        },
    );
    let (late, late_parts) = late.close();
    let impersonated = issued(|_| {}, |root| root.principal.sub = "bob".into());
    let tenant = issued(|request| request.tenant = "other".into(), |_| {});
    let purpose = issued(|_| {}, |root| root.purpose = "something else".into());
    let task = issued(|request| request.txn = Some([7; 16]), |_| {});
    let bound = issued(
        |_| {},
        |root| {
            let other = evidence::jws::Jwk::of(&testkit::signing_key("another holder"));
            root.holder.key = other.thumbprint();
            root.cnf = other;
        },
    );
    vec![
        one(
            "binding-scope",
            "The delegation allows another server than was asked for.",
            wider,
            "request-binding",
        ),
        one("binding-life", "The delegation lives longer than was asked for.", longer, "request-binding"),
        one(
            "binding-depth",
            "The delegation allows a deeper chain than was asked for.",
            deeper,
            "request-binding",
        ),
        failed(
            "binding-late",
            "The delegation was issued long after the request ended.",
            &late,
            &late_parts,
            &[at(5, "issuance-not-shown"), at(5, "request-binding")],
        ),
        one(
            "binding-principal",
            "The delegation names another principal than the one who signed.",
            impersonated,
            "request-binding",
        ),
        one("binding-tenant", "The request names another tenant.", tenant, "request-binding"),
        one(
            "binding-purpose",
            "The delegation states another purpose than was asked for.",
            purpose,
            "request-binding",
        ),
        one("binding-task", "The request names another task.", task, "request-binding"),
        one(
            "binding-key",
            "The delegation is bound to another key than was asked for.",
            bound,
            "request-binding",
        ),
    ]
}

fn holders() -> Vec<Vector> {
    let holder =
        issued(|request| request.holder = Some(("somebody".to_owned(), PrincipalKind::Agent)), |_| {});
    let unsaid = issued(|request| request.holder = Some(("helper".to_owned(), PrincipalKind::Agent)), |_| {});
    vec![
        one("binding-holder", "The request names another holder.", holder, "request-binding"),
        one(
            "binding-assurance",
            "The request names the holder, and the delegation does not say that it did.",
            unsaid,
            "request-binding",
        ),
    ]
}
