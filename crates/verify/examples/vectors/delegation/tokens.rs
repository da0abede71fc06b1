//! What is no delegation: headers, encodings, claims, signatures. The numbers of the attacks on other algorithms do
//! not arise: there is one algorithm, and a signature that was altered in any way does not hold (a second valid
//! signature for one message, as ECDSA has it, cannot be made from a first one).

use evidence::base64url;
use evidence::delegation::BREAK_GLASS;
use evidence::jws::{self, Jwk};
use evidence::principal::PrincipalKind;
use serde_json::{Value, json};
use testkit::{signed_text, signing_key};

use super::{Case, READ, Scene, reclaimed, retold};

pub(super) fn cases() -> Vec<Case> {
    [headers(), kids(), encodings(), payloads(), claims(), keys(), children(), signatures()]
        .into_iter()
        .flatten()
        .collect()
}

/// A root whose header is this text, signed by the issuer.
fn header(name: &str, about: &str, text: &str) -> Case {
    let scene = Scene::links(1).leaf(|scene, token| {
        retold(token, &scene.log.issuer_key, |header, _| {
            let kid = Jwk::of(&scene.log.issuer_key).thumbprint();
            *header = text.replace("KID", &kid);
        })
    });
    scene.refused(name, about, "delegation-malformed")
}

fn headers() -> Vec<Case> {
    let typ = r#""typ":"deeds-delegation+jwt""#;
    let with = |alg: &str| format!(r#"{{"alg":{alg},"kid":"KID",{typ}}}"#);
    let more = |member: &str| format!(r#"{{"alg":"Ed25519","kid":"KID",{typ},{member}}}"#);
    let typed = |typ: &str| format!(r#"{{"alg":"Ed25519","kid":"KID","typ":"{typ}"}}"#);
    let jwk = r#""jwk":{"alg":"Ed25519","crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    vec![
        header("alg-none", "Algorithm `none`.", &with(r#""none""#)),
        header("alg-empty", "An empty algorithm.", &with(r#""""#)),
        header("alg-null", "The algorithm is null.", &with("null")),
        header("alg-hs256", "Algorithm HS256.", &with(r#""HS256""#)),
        header("alg-es256", "Algorithm ES256.", &with(r#""ES256""#)),
        header("alg-eddsa", "Algorithm `EdDSA`, which could be another curve.", &with(r#""EdDSA""#)),
        header("alg-case", "Algorithm `ed25519` in lower case.", &with(r#""ed25519""#)),
        header("header-jwk", "A header with a key.", &more(jwk)),
        header(
            "header-jku",
            "A header with the URL of a key.",
            &more(r#""jku":"http://169.254.169.254/keys""#),
        ),
        header(
            "header-x5u",
            "A header with the URL of a certificate.",
            &more(r#""x5u":"file:///etc/passwd""#),
        ),
        header("header-crit", "A header with critical extensions.", &more(r#""crit":["exp"]"#)),
        header("header-b64", "A header that says the payload is not encoded.", &more(r#""b64":false"#)),
        header(
            "header-twice",
            "A header that names two algorithms.",
            &format!(r#"{{"alg":"none","alg":"Ed25519","kid":"KID",{typ}}}"#),
        ),
        header("header-without-kid", "A header without a key id.", &format!(r#"{{"alg":"Ed25519",{typ}}}"#)),
        header(
            "header-kid-number",
            "A key id that is a number.",
            &format!(r#"{{"alg":"Ed25519","kid":1,{typ}}}"#),
        ),
        header("typ-jwt", "A token of type `JWT`.", &typed("JWT")),
        header("typ-pop", "A token of the type of proofs.", &typed("deeds-pop+jwt")),
        header("typ-request", "A token of the type of requests.", &typed("deeds-root-request+jwt")),
        header(
            "typ-media-type",
            "The type written as a media type.",
            &typed("application/deeds-delegation+jwt"),
        ),
    ]
}

/// Key ids that are not the issuer's.
fn kids() -> Vec<Case> {
    let case = |name, about, kid: &str| {
        let header = json!({"alg": "Ed25519", "kid": kid, "typ": jws::DELEGATION}).to_string();
        let scene =
            Scene::links(1).leaf(|scene, token| retold(token, &scene.log.issuer_key, |own, _| *own = header));
        scene.refused(name, about, "delegation-signature")
    };
    vec![
        case("kid-path", "A key id that is a path.", "../../keys/issuer"),
        case("kid-sql", "A key id with SQL in it.", "' OR 1=1 --"),
        case("kid-empty", "An empty key id.", ""),
        case(
            "kid-other",
            "The key id of another key; the issuer's signature.",
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ]
}

/// One token, spelled otherwise.
fn encodings() -> Vec<Case> {
    let case = |name, about, change: fn(&str) -> String| {
        Scene::links(1).leaf(|_, token| change(token)).refused(name, about, "delegation-malformed")
    };
    vec![
        case("segments-two", "A token without its signature.", |token| {
            token.rsplit_once('.').map_or_else(String::new, |(input, _)| input.to_owned())
        }),
        case("segments-four", "A token with a fourth segment.", |token| format!("{token}.AA")),
        case("signature-empty", "A token with an empty signature.", |token| {
            token.rsplit_once('.').map_or_else(String::new, |(input, _)| format!("{input}."))
        }),
        case("signature-short", "A signature of 63 bytes.", |token| token[..token.len() - 2].to_owned()),
        case("padding", "A token with padding.", |token| format!("{token}==")),
        case("line-end", "A token with a line end.", |token| format!("{token}\n")),
        case("standard-alphabet", "A signature in the standard alphabet of base64.", |token| {
            let (input, signature) = token.rsplit_once('.').unwrap_or_default();
            format!("{input}.{}", signature.replace('-', "+").replace('_', "/"))
        }),
        case("trailing-bits", "A signature whose last character has bits that say nothing.", |token| {
            let (rest, last) = token.split_at(token.len() - 1);
            let next = match last {
                "A" => "B",
                "Q" => "R",
                "g" => "h",
                _ => "x",
            };
            format!("{rest}{next}")
        }),
        case("json-serialization", "A token in the JSON serialization.", |token| {
            let mut parts = token.split('.');
            let mut next = || parts.next().unwrap_or_default();
            json!({"protected": next(), "payload": next(), "signature": next()}).to_string()
        }),
    ]
}

/// Payloads as text.
fn payloads() -> Vec<Case> {
    let case = |name, about, change: fn(&mut String)| {
        let scene = Scene::links(1)
            .leaf(|scene, token| retold(token, &scene.log.issuer_key, |_, payload| change(payload)));
        scene.refused(name, about, "delegation-malformed")
    };
    vec![
        case("payload-twice", "A payload that names two ends.", |payload| {
            *payload = payload.replacen('{', r#"{"exp":1795003600,"#, 1);
        }),
        case(
            "payload-twice-escaped",
            "A payload that names two ends, one of them with an escape.",
            |payload| *payload = payload.replacen('{', r#"{"e\u0078p":1795003600,"#, 1),
        ),
        case("payload-array", "A payload that is an array.", |payload| *payload = format!("[{payload}]")),
        case("payload-surrogate", "A payload with half a character.", |payload| {
            *payload = payload.replacen('{', r#"{"more":"\ud800","#, 1);
        }),
        case("payload-deep", "A payload nested 65 deep.", |payload| {
            *payload =
                payload.replacen('{', &format!(r#"{{"more":{}{},"#, "[".repeat(64), "]".repeat(64)), 1);
        }),
        case("payload-trailing", "A payload with text after it.", |payload| payload.push('x')),
        case("payload-bom", "A payload with a byte order mark.", |payload| payload.insert(0, '\u{feff}')),
        case("payload-huge-number", "A number beyond the largest double.", |payload| {
            *payload = payload.replacen('{', r#"{"more":1e999,"#, 1);
        }),
    ]
}

/// A root with another claim, signed again by the issuer.
fn claim(name: &str, about: &str, place: &str, value: Value) -> Case {
    Scene::links(1).leaf(|scene, token| reclaimed(token, &scene.log.issuer_key, place, value)).refused(
        name,
        about,
        "delegation-malformed",
    )
}

fn claims() -> Vec<Case> {
    let root = |name, about, change: fn(&mut evidence::delegation::Root)| {
        Scene::rooted(change).refused(name, about, "delegation-malformed")
    };
    let detail = json!({"type": "attenuating_agent_token", "tools": {READ: {}}});
    vec![
        claim("version-2", "Version 2.", "/v", json!(2)),
        claim("version-text", "The version as text.", "/v", json!("1")),
        claim("time-fraction", "A time with a fraction.", "/exp", json!(1_795_000_600.5)),
        claim("time-text", "A time as text.", "/exp", json!("1795000600")),
        claim("time-huge", "An end beyond 2^53.", "/exp", json!(u64::MAX)),
        claim("time-negative", "A time before 1970.", "/nbf", json!(-1)),
        claim("end-before-begin", "A root that ends before it begins.", "/nbf", json!(1_795_003_601)),
        claim("end-before-made", "A root that ends before it was made.", "/iat", json!(1_795_003_601)),
        claim("audience-text", "An audience that is no array.", "/aud", json!("deeds://delegation.test/log")),
        claim(
            "audience-two",
            "Two audiences.",
            "/aud",
            json!(["deeds://delegation.test/log", "deeds://elsewhere.test/log"]),
        ),
        claim("details-two", "Two authorization details.", "/authorization_details", json!([detail, detail])),
        claim(
            "details-type",
            "An authorization detail of another type.",
            "/authorization_details/0/type",
            json!("payment"),
        ),
        claim(
            "details-member",
            "An authorization detail with another member.",
            "/authorization_details/0/actions",
            json!(["read"]),
        ),
        claim("depth-1", "A root that says it is at depth 1.", "/del_depth", json!(1)),
        claim("depth-9", "A root that may be passed on nine times.", "/del_max_depth", json!(9)),
        claim(
            "task-upper-case",
            "A task in upper case.",
            "/deeds/txn",
            json!("01900000-0000-7000-8000-00000000000A"),
        ),
        claim("source-none", "A root that rests on nothing.", "/deeds/src", json!([])),
        claim(
            "source-unknown",
            "A root that rests on what this version does not know.",
            "/deeds/src",
            json!([{"t": "oidc", "iss": "https://idp.test"}]),
        ),
        claim(
            "source-act",
            "A root that rests on nested actors.",
            "/deeds/src",
            json!([{"t": "rfc8693", "act": {"sub": "agent"}}]),
        ),
        claim(
            "principal-list",
            "A principal that is a list of what its members would be.",
            "/deeds/prin",
            json!(["human", "deeds://delegation.test/log", "alice"]),
        ),
        claim("holder-member", "A holder with a member that no holder has.", "/deeds/hld/mail", json!("a@b")),
        claim(
            "holder-key",
            "A holder with another key than the bound one.",
            "/deeds/hld/key",
            json!("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ),
        claim(
            "intent-no-digest",
            "An instruction that is no digest.",
            "/deeds/intent",
            json!("isolate the host"),
        ),
        root("tenant-other", "A root of another tenant.", |root| root.tenant = "other".into()),
        root("issuer-other", "A root of another issuer.", |root| {
            root.issuer = "deeds://elsewhere.test/log".into();
        }),
        root("issuer-slash", "A root of the issuer with a slash at its end.", |root| root.issuer.push('/')),
        root("issuer-case", "A root of the issuer in upper case.", |root| {
            root.issuer = root.issuer.to_uppercase();
        }),
        root("life-human", "A person's root of 24 hours and a second.", |root| root.exp = root.iat + 86_401),
        root("life-service", "A service's root of an hour and a second.", |root| {
            root.principal.kind = PrincipalKind::Service;
            root.exp = root.iat + 3_601;
        }),
        root("break-glass-service", "A service that breaks the glass.", |root| {
            root.purpose = BREAK_GLASS.into();
            root.why = Some("why not".into());
            root.principal.kind = PrincipalKind::Service;
        }),
        root("break-glass-silent", "A glass that is broken without a reason.", |root| {
            root.purpose = BREAK_GLASS.into();
        }),
        Scene::rooted(|root| root.exp = root.iat + 86_400).allowed(
            "life-human-limit",
            "A person's root of 24 hours.",
            &[],
        ),
        Scene::links(1)
            .leaf(|scene, token| {
                reclaimed(
                    token,
                    &scene.log.issuer_key,
                    "/act",
                    json!({"sub": "somebody", "act": {"sub": "else"}}),
                )
            })
            .allowed("claim-act", "Nested actors in a claim that nobody reads.", &[]),
    ]
}

/// Keys that a root is bound to.
fn keys() -> Vec<Case> {
    let jwk = |x: &str| json!({"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP", "x": x});
    let point = |first: u8, middle: u8, last: u8| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (first, last);
        base64url::encode(&bytes)
    };
    let bound = |name, about, key: Value| claim(name, about, "/cnf/jwk", key);
    let good = Jwk::of(&signing_key("somebody"));
    let mut private = good.to_json();
    private["d"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    vec![
        bound("key-identity", "A bound key of order 1.", jwk(&point(1, 0, 0))),
        bound("key-order-2", "A bound key of order 2.", jwk(&point(0xec, 0xff, 0x7f))),
        bound("key-order-4", "A bound key of order 4.", jwk(&point(0, 0, 0))),
        bound("key-not-canonical", "A bound key that is not reduced.", jwk(&point(0xee, 0xff, 0x7f))),
        bound("key-no-point", "A bound key that is no point of the curve.", jwk(&point(2, 0, 0))),
        bound("key-short", "A bound key of 31 bytes.", jwk(&base64url::encode(&[9; 31]))),
        bound("key-private", "A bound key with its private half.", private),
        bound(
            "key-without-alg",
            "A bound key that does not name its algorithm.",
            json!({"crv": "Ed25519", "kty": "OKP", "x": good.to_json()["x"]}),
        ),
        bound(
            "key-x25519",
            "A bound key of another curve.",
            json!({"alg": "Ed25519", "crv": "X25519", "kty": "OKP", "x": good.to_json()["x"]}),
        ),
        claim(
            "key-two-forms",
            "A binding in two forms.",
            "/cnf/x5t#S256",
            json!("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ),
    ]
}

/// Rules of a child alone.
fn children() -> Vec<Case> {
    let changed = |name, about, place: &str, value: Value| {
        let mut scene = Scene::links(1);
        let key = scene.leaf_key().clone();
        scene = scene.child(|_| {});
        scene.leaf(|_, token| reclaimed(token, &key, place, value)).refused(
            name,
            about,
            "delegation-malformed",
        )
    };
    let principal = json!({"kind": "human", "iss": "deeds://delegation.test/log", "sub": "bob"});
    vec![
        changed("child-principal", "A child that names a principal.", "/deeds/prin", principal),
        changed(
            "child-source",
            "A child that names a source.",
            "/deeds/src",
            json!([{"t": "peer-cred", "uid": 0}]),
        ),
        changed("child-depth-0", "A child at depth 0.", "/del_depth", json!(0)),
        changed("child-below-floor", "A child deeper than it may be itself.", "/del_max_depth", json!(0)),
        changed("child-depth-9", "A child that may be passed on nine times.", "/del_max_depth", json!(9)),
        changed(
            "child-issuer",
            "A child with another issuer than its signer.",
            "/iss",
            json!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ),
        changed(
            "child-issuer-thumbprint",
            "A child whose issuer is a bare thumbprint.",
            "/iss",
            json!("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ),
        changed(
            "child-audience-two",
            "A child for one more audience.",
            "/aud",
            json!(["deeds://delegation.test/log", "deeds://elsewhere.test/log"]),
        ),
        changed(
            "child-handoff",
            "A hand-over that is no digest.",
            "/deeds/handoff",
            json!("look for the host"),
        ),
        changed("child-null-parent", "A child whose parent is null.", "/par_hash", Value::Null),
    ]
}

/// Signatures that do not hold.
fn signatures() -> Vec<Case> {
    let flipped = |token: &str, change: fn([u8; 64]) -> [u8; 64]| {
        let (input, signature) = token.rsplit_once('.').unwrap_or_default();
        let bytes = base64url::decode(signature).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 64]);
        format!("{input}.{}", base64url::encode(&change(bytes)))
    };
    let root = |name, about, change: fn([u8; 64]) -> [u8; 64]| {
        Scene::links(1).leaf(|_, token| flipped(token, change)).refused(name, about, "delegation-signature")
    };
    let own = Scene::links(1).leaf(|scene, token| {
        let key = scene.leaf_key();
        let header = json!({"alg": "Ed25519", "kid": Jwk::of(key).thumbprint(), "typ": jws::DELEGATION});
        let [_, payload] = super::texts(token);
        signed_text(&header.to_string(), &payload, key)
    });
    let child = Scene::links(2).leaf(|_, token| {
        flipped(token, |mut bytes| {
            bytes[0] ^= 1;
            bytes
        })
    });
    let stolen = Scene::links(2).leaf(|scene, token| {
        // the right key id, another key's signature
        let [header, payload] = super::texts(token);
        signed_text(&header, &payload, &scene.person.key)
    });
    vec![
        own.refused("signature-holder", "A root that its own holder signed.", "delegation-signature"),
        root("signature-flipped", "A signature with one bit changed.", |mut bytes| {
            bytes[40] ^= 1;
            bytes
        }),
        root("signature-malleated", "A signature whose S is one group order larger.", plus_order),
        root("signature-zero", "A signature of zeros.", |_| [0; 64]),
        root("signature-small-order", "A signature whose R is of order 1.", |mut bytes| {
            bytes[..32].fill(0);
            bytes[0] = 1;
            bytes
        }),
        child.refused(
            "child-signature-flipped",
            "A child's signature with one bit changed.",
            "delegation-signature",
        ),
        stolen.refused(
            "child-signature-forged",
            "A child signed by somebody else in the name of its parent's key.",
            "delegation-signature",
        ),
    ]
}

/// S plus the order of the group: the same point, another number.
fn plus_order(mut signature: [u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    for (byte, add) in signature.iter_mut().skip(32).zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    signature
}
