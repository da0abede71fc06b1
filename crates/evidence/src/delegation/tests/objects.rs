//! Approvals, mandates, revocations and halts.

use super::*;
use crate::limits::{
    APPROVAL_TOOLS_MAX, APPROVALS_MAX, APPROVERS_MAX, CHAIN_DEPTH_MAX, MANDATE_HOLDERS_MAX, MANDATE_MAX_S,
    ORDER_MAX_S, PRINCIPAL_ID_MAX_BYTES, ROOT_SERVICE_MAX_S,
};

#[test]
fn approvals_name_tools_and_servers() {
    let approvals = approvals();
    for named in ["stdio:fs#write", "stdio:pay#send", "stdio:pay#*"] {
        assert!(approvals.names(named), "{named}");
    }
    for other in ["stdio:fs#read", "stdio:fs#*", "stdio:payment#send", "stdio:pay", "stdio:pay#a b", ""] {
        assert!(!approvals.names(other), "{other}");
    }
}

#[test]
fn approvals_only_grow() {
    let parent = approvals();
    let child = |change: fn(&mut Approvals)| {
        let mut child = parent.clone();
        change(&mut child);
        child.within(&parent)
    };
    assert!(child(|_| {}));
    assert!(child(|child| child.tools.push("stdio:x#y".into())));
    assert!(child(|child| child.m = 3));
    assert!(child(|child| drop(child.by.pop())));
    assert!(child(|child| child.ttl = 1));
    assert!(child(|child| child.tools.reverse()));
    assert!(!child(|child| drop(child.tools.pop())));
    assert!(!child(|child| child.m = 1));
    assert!(!child(|child| child.by.push("intern".into())));
    assert!(!child(|child| child.ttl = 601));
    assert!(Approvals::kept(None, None));
    assert!(Approvals::kept(Some(&parent), None));
    assert!(Approvals::kept(Some(&parent), Some(&parent)));
    assert!(!Approvals::kept(None, Some(&parent)));
}

#[test]
fn approvals_have_their_shape_and_limits() {
    let json = approvals().to_json();
    assert_eq!(Approvals::from_json(&json), Ok(approvals()));
    let with = |member: &str, value: Value| {
        let mut json = json.clone();
        json[member] = value;
        Approvals::from_json(&json).is_ok()
    };
    let tools = |n: usize| (0..n).map(|n| json!(format!("s#{n}"))).collect::<Value>();
    assert!(!with("tools", tools(0)));
    assert!(with("tools", tools(APPROVAL_TOOLS_MAX)));
    assert!(!with("tools", tools(APPROVAL_TOOLS_MAX + 1)));
    assert!(!with("tools", json!(["s#a", "s#a"])));
    assert!(!with("tools", json!(["s"])));
    assert!(!with("m", json!(0)));
    assert!(with("m", json!(APPROVALS_MAX)));
    assert!(!with("m", json!(APPROVALS_MAX + 1)));
    assert!(!with("by", json!([])));
    assert!(with("by", json!(vec!["x"; APPROVERS_MAX])));
    assert!(!with("by", json!(vec!["x"; APPROVERS_MAX + 1])));
    assert!(with("by", json!(["x".repeat(PRINCIPAL_ID_MAX_BYTES)])));
    assert!(!with("by", json!(["x".repeat(PRINCIPAL_ID_MAX_BYTES + 1)])));
    assert!(!with("by", json!([""])));
    assert!(!with("ttl", json!(-1)));
    assert!(!with("more", json!(1)));
}

fn mandate() -> Mandate {
    Mandate {
        jti: uuid(1),
        key: thumbprint(3),
        audience: ISSUER.into(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + MANDATE_MAX_S,
        max_depth: 2,
        scope: Scope::server("stdio:fs"),
        tenant: "local".into(),
        principal: root().principal,
        purpose: "nightly reports".into(),
        holders: vec!["reporter".into()],
        root_ttl: ROOT_SERVICE_MAX_S,
        approvals: Some(approvals()),
    }
}

#[test]
fn mandates_round_trip_and_keep_their_rules() {
    let mandate = mandate();
    let signed = jws::Signed::parse(&mandate.sign(&key(3)), jws::MANDATE).unwrap();
    assert_eq!(Mandate::parse(signed.verify(&Jwk::of(&key(3))).unwrap()), Ok(mandate.clone()));
    let bare = Mandate { approvals: None, ..mandate.clone() };
    assert_eq!(Mandate::parse(&object(bare.to_claims())), Ok(bare.clone()));
    for fine in [
        Mandate { holders: vec!["x".into(); MANDATE_HOLDERS_MAX], ..bare.clone() },
        Mandate { root_ttl: 1, max_depth: CHAIN_DEPTH_MAX, nbf: bare.exp, ..bare.clone() },
    ] {
        assert!(Mandate::parse(&object(fine.to_claims())).is_ok());
    }
    all_refused(
        &mandate.to_claims(),
        Mandate::parse,
        &[
            ("/v", json!(2)),
            ("/iss", json!(thumbprint(3))),
            ("/aud", json!([ISSUER])),
            ("/exp", json!(NOW + MANDATE_MAX_S + 1)),
            ("/exp", json!(NOW - 1)),
            ("/nbf", json!(NOW + MANDATE_MAX_S + 1)),
            ("/del_max_depth", json!(CHAIN_DEPTH_MAX + 1)),
            ("/authorization_details", json!([])),
            ("/deeds/prin/key", json!(thumbprint(4))),
            ("/deeds/prin/key", json!(null)),
            ("/deeds/prin", absent()),
            ("/deeds/purpose", json!(BREAK_GLASS)),
            ("/deeds/hld", json!([])),
            ("/deeds/hld", json!(vec!["x"; MANDATE_HOLDERS_MAX + 1])),
            ("/deeds/hld", json!("reporter")),
            ("/deeds/hld", json!([""])),
            ("/deeds/hld", json!([1])),
            ("/deeds/hld", json!(["x".repeat(PRINCIPAL_ID_MAX_BYTES + 1)])),
            ("/deeds/root_ttl", json!(0)),
            ("/deeds/root_ttl", json!(ROOT_SERVICE_MAX_S + 1)),
            ("/deeds/apv", json!(null)),
        ],
    );
}

fn revocation(what: What, target: Target) -> Revocation {
    Revocation {
        jti: uuid(1),
        key: thumbprint(3),
        audience: ISSUER.into(),
        iat: NOW,
        exp: NOW + ORDER_MAX_S,
        what,
        target,
        eff: NOW - 86_400,
        why: "the laptop was stolen".into(),
        tenant: "local".into(),
    }
}

#[test]
fn revocations_round_trip_and_their_targets_have_a_form() {
    let digest = thumbprint(9);
    let fitting = [
        (What::Delegation, json!(digest)),
        (What::Lineage, json!(uuid(5))),
        (What::HolderKey, json!(digest)),
        (What::Principal, json!({"iss": ISSUER, "sub": "ciso"})),
        (What::IssuerKey, json!(digest)),
        (What::Tenant, json!("local")),
    ];
    for (what, value) in &fitting {
        let target = Target::from_json(value, *what).unwrap();
        assert_eq!(target.to_json(), *value);
        assert_eq!(serde_json::from_value::<Target>(value.clone()).unwrap(), target);
        assert_eq!(What::parse(what.as_str()), Some(*what));
        assert_eq!(json!(what), json!(what.as_str()));
        let revocation = revocation(*what, target);
        let signed = jws::Signed::parse(&revocation.sign(&key(3)), jws::REVOCATION).unwrap();
        assert_eq!(Revocation::parse(signed.unverified()), Ok(revocation));
    }
    assert_eq!(What::parse("everything"), None);
    for what in What::ALL {
        for wrong in [
            json!(null),
            json!(""),
            json!(1),
            json!([digest]),
            json!({"iss": ISSUER}),
            json!({"iss": "", "sub": "ciso"}),
            json!({"iss": ISSUER, "sub": "ciso", "key": digest}),
        ] {
            assert!(Target::from_json(&wrong, what).is_err(), "{what:?} {wrong}");
        }
    }
    for (what, wrong) in [
        (What::Delegation, uuid(5)),
        (What::Delegation, format!("{digest}=")),
        (What::HolderKey, "ciso".to_owned()),
        (What::IssuerKey, digest[1..].to_owned()),
        (What::Lineage, digest.clone()),
        (What::Principal, "ciso".to_owned()),
    ] {
        assert!(Target::from_json(&json!(wrong), what).is_err(), "{what:?} {wrong}");
    }
    all_refused(
        &revocation(What::Tenant, Target::Text("local".into())).to_claims(),
        Revocation::parse,
        &[
            ("/v", json!(2)),
            ("/iss", json!("x")),
            ("/exp", json!(NOW + ORDER_MAX_S + 1)),
            ("/exp", json!(NOW - 1)),
            ("/k", json!("everything")),
            ("/k", json!("delegation")),
            ("/d", absent()),
            ("/eff", json!(-1)),
            ("/eff", absent()),
            ("/why", json!("")),
            ("/deeds", absent()),
            ("/deeds/tenant", json!(1)),
        ],
    );
}

#[test]
fn halts_round_trip_and_a_resume_names_its_halt() {
    let order = |act, on, halt| HaltOrder {
        jti: uuid(1),
        key: thumbprint(3),
        audience: ISSUER.into(),
        iat: NOW,
        exp: NOW + ORDER_MAX_S,
        act,
        on,
        why: "it deletes things".into(),
        tenant: "local".into(),
        halt,
    };
    let principal = On::Principal { iss: ISSUER.into(), sub: "ciso".into() };
    for (on, json) in [
        (On::Agent { id: "agent".into() }, json!({"t": "agent", "id": "agent"})),
        (principal, json!({"t": "principal", "iss": ISSUER, "sub": "ciso"})),
        (On::All, json!({"t": "all"})),
    ] {
        assert_eq!(on.to_json(), json);
        assert_eq!(On::from_json(&json), Ok(on.clone()));
        assert_eq!(serde_json::from_value::<On>(json).unwrap(), on);
        for order in [order(HaltAct::Halt, on.clone(), None), order(HaltAct::Resume, on, Some(7))] {
            let signed = jws::Signed::parse(&order.sign(&key(3)), jws::HALT).unwrap();
            assert_eq!(HaltOrder::parse(signed.unverified()), Ok(order));
        }
    }
    for wrong in [
        json!(null),
        json!("all"),
        json!({}),
        json!({"t": "everybody"}),
        json!({"t": "all", "id": "agent"}),
        json!({"t": "agent"}),
        json!({"t": "agent", "id": ""}),
        json!({"t": "agent", "id": "agent", "more": 1}),
        json!({"t": "principal", "iss": ISSUER}),
        json!({"t": "principal", "iss": ISSUER, "sub": "ciso", "more": 1}),
        json!({"t": "principal", "iss": ISSUER, "sub": "c\u{7f}"}),
    ] {
        assert!(On::from_json(&wrong).is_err(), "{wrong}");
    }
    let halt = order(HaltAct::Halt, On::All, None).to_claims();
    all_refused(
        &halt,
        HaltOrder::parse,
        &[
            ("/exp", json!(NOW + ORDER_MAX_S + 1)),
            ("/exp", json!(NOW - 1)),
            ("/act", json!("stop")),
            ("/act", json!("resume")),
            ("/on", absent()),
            ("/why", absent()),
            ("/deeds/halt", json!(7)),
        ],
    );
    let resume = order(HaltAct::Resume, On::All, Some(7)).to_claims();
    all_refused(
        &resume,
        HaltOrder::parse,
        &[("/act", json!("halt")), ("/deeds/halt", absent()), ("/deeds/halt", json!("7"))],
    );
    assert_eq!((HaltAct::Halt.change(), HaltAct::Resume.change()), ("halted", "resumed"));
}
