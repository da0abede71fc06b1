//! Step 10 at log level: standing authorities, and the roots that services get under them.

use evidence::Scope;
use evidence::delegation::{BREAK_GLASS, Mandate, Root, RootRequest};
use evidence::principal::PrincipalKind;
use serde_json::json;
use testkit::{Draft, LogBuilder, Person, TestRun, source_under, token_digest};

use super::{POLICY, READ, SEED, Vector, at, failed, scope, verified, with_signature_of};

pub(super) fn vectors() -> Vec<Vector> {
    [good(), mandates(), roots(), requests(), retired()].into_iter().flatten().collect()
}

/// 0 and 1 genesis, 2 the person's key, 3 the service's, 4 the policy, 5 the mandate.
struct Standing {
    log: LogBuilder,
    person: Person,
    service: Person,
    token: String,
    run: TestRun,
}

impl Standing {
    /// Up to the policy.
    fn people() -> (LogBuilder, Person, Person) {
        let mut log = LogBuilder::new(SEED);
        let person = log.register("alice");
        let mut service = log.person("nightly");
        service.principal.kind = PrincipalKind::Service;
        log.append(log.key_change("principal-registered", &service));
        log.activate(POLICY);
        (log, person, service)
    }

    /// With a mandate after a change; the entry is what `entry` makes of it.
    fn with(change: impl FnOnce(&mut Mandate), entry: impl FnOnce(Draft) -> Draft) -> Self {
        let (mut log, person, service) = Self::people();
        let mut mandate = log.mandate(&person, &["nightly"], &Scope::server("stdio:fs"));
        change(&mut mandate);
        let token = mandate.sign(&person.key);
        let draft = log.mandated(&person, &token);
        log.append(entry(draft));
        let run = log.service(&service, &person);
        Self { log, person, service, token, run }
    }

    fn new() -> Self {
        Self::with(|_| {}, |entry| entry)
    }

    /// 6 the run, 7 a root after changes to its request and itself.
    fn rooted(mut self, ask: impl FnOnce(&mut RootRequest), give: impl FnOnce(&mut Root)) -> Self {
        self.log.start(&self.run);
        let mut request = self.log.root_request(&self.run, &self.service);
        request.mandate = Some(token_digest(&self.token));
        ask(&mut request);
        let request = request.sign(&self.service.key);
        let mut root = self.log.root_delegation(&self.run, source_under(&self.token, &request));
        give(&mut root);
        self.log.record(&mut self.run, &root, Some(&request));
        self
    }

    /// 8 an act, 9 its outcome.
    fn acted(mut self) -> Self {
        let call = self.log.call(READ, json!({"path": "/srv/report.txt"}));
        self.log.act(&mut self.run, &call);
        self
    }

    fn end(mut self) -> LogBuilder {
        self.log.end(&self.run);
        self.log
    }
}

fn good() -> Vec<Vector> {
    let log = Standing::new().rooted(|_| {}, |_| {}).acted().end();
    let narrower = Standing::with(|mandate| mandate.root_ttl = 600, |entry| entry);
    let narrower = narrower
        .rooted(
            |_| {},
            |root| {
                root.scope = scope(&json!({READ: {}}));
                root.exp = root.iat + 600;
            },
        )
        .acted()
        .end();
    vec![
        verified(
            "mandate",
            "A service acts under a root that it got under a person's mandate.",
            &log,
            &log.bundle(),
            &[],
        ),
        verified(
            "mandate-narrower",
            "A root that is narrower than its mandate, and lives as long as that allows.",
            &narrower,
            &narrower.bundle(),
            &[],
        ),
    ]
}

fn mandates() -> Vec<Vector> {
    let alone = |name, about, code, change: fn(&mut Mandate)| {
        let log = Standing::with(change, |entry| entry).log;
        failed(name, about, &log, &log.bundle(), &[at(5, code)])
    };
    let garbage = Standing::with(|_| {}, |entry| entry.with("token", &json!("a.b.c")).without("digest")).log;
    let digest = Standing::with(
        |_| {},
        |entry| entry.with("digest", &json!("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")),
    )
    .log;
    let (mut stranger, _, _) = Standing::people();
    let mallory = stranger.person("mallory");
    let token = stranger.mandate(&mallory, &["nightly"], &Scope::server("stdio:fs")).sign(&mallory.key);
    stranger.append(stranger.mandated(&mallory, &token));
    let (mut forged, person, _) = Standing::people();
    let mandate = forged.mandate(&person, &["nightly"], &Scope::server("stdio:fs"));
    let mut longer = mandate.clone();
    longer.exp += 1;
    let token = with_signature_of(&mandate.sign(&person.key), &longer.sign(&person.key));
    forged.append(forged.mandated(&person, &token));
    vec![
        alone("mandate-long", "A mandate of 35 days and a second.", "mandate-malformed", |mandate| {
            mandate.exp = mandate.iat + 3_024_001;
        }),
        alone(
            "mandate-break-glass",
            "A standing authority to break the glass.",
            "mandate-malformed",
            |mandate| {
                mandate.purpose = BREAK_GLASS.into();
            },
        ),
        alone("mandate-audience", "A mandate for another issuer.", "mandate-malformed", |mandate| {
            mandate.audience = "deeds://elsewhere.test/log".into();
        }),
        alone("mandate-tenant", "A mandate for another tenant.", "mandate-malformed", |mandate| {
            mandate.tenant = "other".into();
        }),
        alone(
            "mandate-root-ttl",
            "A mandate for roots of an hour and a second.",
            "mandate-malformed",
            |mandate| {
                mandate.root_ttl = 3_601;
            },
        ),
        alone("mandate-of-another", "A mandate in another's name.", "mandate-binding", |mandate| {
            mandate.principal.sub = "bob".into();
        }),
        alone(
            "mandate-of-kind",
            "A mandate in the name of a service, by a person's key.",
            "mandate-binding",
            |mandate| {
                mandate.principal.kind = PrincipalKind::Service;
            },
        ),
        failed(
            "mandate-garbage",
            "A mandate that is no signed object.",
            &garbage,
            &garbage.bundle(),
            &[at(5, "mandate-malformed")],
        ),
        failed(
            "mandate-digest",
            "The recorded digest is not the mandate's.",
            &digest,
            &digest.bundle(),
            &[at(5, "delegation-digest")],
        ),
        failed(
            "mandate-key",
            "A mandate signed with a key that nobody registered.",
            &stranger,
            &stranger.bundle(),
            &[at(5, "mandate-key")],
        ),
        failed(
            "mandate-signature",
            "A mandate with the signature of another one.",
            &forged,
            &forged.bundle(),
            &[at(5, "mandate-signature")],
        ),
    ]
}

/// A root at 7 that is not under its mandate.
fn one(
    name: &'static str,
    description: &'static str,
    mandate: fn(&mut Mandate),
    ask: fn(&mut RootRequest),
    give: fn(&mut Root),
) -> Vector {
    let log = Standing::with(mandate, |entry| entry).rooted(ask, give).end();
    failed(name, description, &log, &log.bundle(), &[at(7, "mandate-binding")])
}

fn roots() -> Vec<Vector> {
    vec![
        one(
            "root-scope",
            "A root with tools that its mandate does not have.",
            |mandate| mandate.scope = scope(&json!({READ: {}})),
            |_| {},
            |_| {},
        ),
        one(
            "root-life",
            "A root that lives longer than its mandate allows.",
            |mandate| mandate.root_ttl = 3_599,
            |_| {},
            |_| {},
        ),
        one(
            "root-end",
            "A root that ends after its mandate.",
            |mandate| mandate.exp = mandate.iat + 3_599,
            |_| {},
            |_| {},
        ),
        one(
            "root-before",
            "A root issued 31 seconds before its mandate begins.",
            |mandate| mandate.nbf += 31,
            |_| {},
            |_| {},
        ),
        one(
            "root-depth",
            "A root that may be passed on further than its mandate.",
            |_| {},
            |ask| ask.max_depth = 4,
            |root| root.max_depth = 4,
        ),
        one(
            "root-purpose",
            "A root for another purpose than its mandate.",
            |_| {},
            |ask| ask.purpose = "else".into(),
            |root| root.purpose = "else".into(),
        ),
        one(
            "root-principal",
            "A root in another's name than its mandate.",
            |_| {},
            |_| {},
            |root| root.principal.sub = "bob".into(),
        ),
        one(
            "root-principal-key",
            "A root that does not say which key of the principal signed the mandate.",
            |_| {},
            |_| {},
            |root| root.principal.key = None,
        ),
        one(
            "root-service",
            "A root for a service that its mandate does not name.",
            |mandate| mandate.holders = vec!["weekly".into()],
            |_| {},
            |_| {},
        ),
        one(
            "root-holder",
            "A root held by somebody else than the service that asked.",
            |_| {},
            |_| {},
            |root| root.holder.id = "weekly".into(),
        ),
        one(
            "root-mandate-id",
            "A root that names the mandate by another id.",
            |_| {},
            |_| {},
            |root| {
                if let evidence::delegation::Source::Mandate { mandate, .. } = &mut root.source {
                    mandate.jti = "01900000-0000-7000-8000-000000000000".into();
                }
            },
        ),
    ]
}

fn requests() -> Vec<Vector> {
    let unasked = Standing::new().rooted(|request| request.mandate = None, |_| {}).end();
    let mut late = Standing::new();
    late.token = {
        let mandate = late.log.mandate(&late.person, &["nightly"], &Scope::server("stdio:fs"));
        mandate.sign(&late.person.key)
    };
    let mut late = late.rooted(|_| {}, |_| {});
    late.log.append(late.log.mandated(&late.person, &late.token));
    let late = late.end();
    let long =
        Standing::new().rooted(|request| request.ttl = 3_601, |root| root.exp = root.iat + 3_601).end();
    let broken = Standing::with(|mandate| mandate.principal.sub = "bob".into(), |entry| entry);
    let broken = broken.rooted(|_| {}, |root| root.principal.sub = "bob".into()).end();
    vec![
        failed(
            "binding-mandate",
            "The root is under a mandate that the request does not name.",
            &unasked,
            &unasked.bundle(),
            &[at(7, "request-binding")],
        ),
        failed(
            "mandate-missing",
            "The mandate was recorded after the root.",
            &late,
            &late.bundle(),
            &[at(7, "mandate-missing")],
        ),
        failed(
            "mandate-unsound",
            "The mandate has an error, so no root is under it.",
            &broken,
            &broken.bundle(),
            &[at(5, "mandate-binding"), at(7, "mandate-missing")],
        ),
        failed(
            "delegation-mandate-long",
            "A root of an hour and a second, in a person's name, under a mandate.",
            &long,
            &long.bundle(),
            &[at(7, "delegation-malformed")],
        ),
    ]
}

/// Keys that are not registered any more.
fn retired() -> Vec<Vector> {
    let mut before = Standing::new();
    before.log.append(before.log.key_change("principal-retired", &before.person));
    let before = before.rooted(|_| {}, |_| {}).end();
    let after = |whose: fn(&Standing) -> &Person| {
        let mut standing = Standing::new().rooted(|_| {}, |_| {});
        let change = standing.log.key_change("principal-retired", whose(&standing));
        standing.log.append(change);
        standing.acted().end()
    };
    let (person, service) = (after(|standing| &standing.person), after(|standing| &standing.service));
    vec![
        // the mandate's key was retired at 6
        failed(
            "mandate-retired",
            "The key that signed the mandate was retired before the root was issued.",
            &before,
            &before.bundle(),
            &[at(8, "mandate-binding")],
        ),
        failed(
            "mandate-principal-retired",
            "The key that signed the mandate was retired before the act.",
            &person,
            &person.bundle(),
            &[at(9, "principal-retired")],
        ),
        failed(
            "mandate-service-retired",
            "The service's key was retired before the act.",
            &service,
            &service.bundle(),
            &[at(9, "principal-retired")],
        ),
    ]
}
