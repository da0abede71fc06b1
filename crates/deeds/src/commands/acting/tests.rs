//! Tests of what `deeds wrap` and `deeds run` hand on: signed requests, scopes, digests of executables.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use capture::api::{Hello, PolicyName};
use capture::run::RootAsk;
use clap::Parser as _;
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::REQUEST_MAX_S;
use evidence::principal::PrincipalKind;
use evidence::{delegation, id};
use serde_json::{Value, json};

use evidence::Digest;

use super::authority::{delegation as source, root_request};
use super::executable::{digest, find as executable};
use super::*;
use crate::cli::{Cli, Command};
use crate::delegation_file::DelegationFile;
use crate::keys;

fn args(line: &str) -> ActingArgs {
    let Command::Wrap(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
        panic!("not `wrap`")
    };
    args.acting
}

fn hello() -> Hello {
    Hello {
        server: "deeds".into(),
        version: "0".into(),
        api: 1,
        pid: 2,
        origin: "o".into(),
        log_id: String::new(),
        log_vkey: String::new(),
        issuer: "deeds://o".into(),
        tenant: "local".into(),
        issuer_key: Value::Null,
        policy: PolicyName { digest: String::new(), source: String::new() },
        size: 2,
        published: 2,
        policy_warnings: Vec::new(),
        policy_at_start: None,
    }
}

#[test]
fn a_root_request_names_key_scope_task_purpose_and_holder_and_is_acceptable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ciso.key");
    let key = keys::create(&path, &[7; 32], "ciso").unwrap();
    let config = Config { principal: Some(path), ..Config::default() };
    let sign =
        root_request(&config, &args("deeds wrap --agent bot --purpose contain -- edr")).unwrap().unwrap();

    let hello = hello();
    let jwk = Jwk::of(&SigningKey::from_bytes(&[9; 32])).to_json();
    let txn = "01890a5d-ac96-774b-bcce-b302099a8057";
    let tools = Tools::from([("stdio:edr#isolate".to_owned(), json!({}))]);
    let ask = RootAsk {
        hello: &hello,
        jwk: &jwk,
        scope: Some(&tools),
        scheme: Scheme::Stdio,
        alias: "edr",
        txn: Some(txn),
    };
    let signed = Signed::parse(&sign(&ask).unwrap(), jws::ROOT_REQUEST).unwrap();
    let request = delegation::RootRequest::parse(signed.verify(&key.public()).unwrap()).unwrap();
    assert_eq!(request.cnf.to_json(), jwk);
    assert_eq!(request.scope.to_json(), json!({"stdio:edr#isolate": {}}));
    assert_eq!((request.audience.as_str(), request.purpose.as_str()), ("deeds://o", "contain"));
    assert_eq!(request.txn, id::parse(txn));
    assert_eq!(request.holder, Some(("bot".to_owned(), PrincipalKind::Agent)));
    assert_eq!((request.max_depth, request.exp - request.iat), (0, REQUEST_MAX_S));

    let whole = RootAsk { scope: None, txn: None, ..ask };
    let signed = Signed::parse(&sign(&whole).unwrap(), jws::ROOT_REQUEST).unwrap();
    let request = delegation::RootRequest::parse(signed.unverified()).unwrap();
    assert_eq!(request.scope.to_json(), json!({"stdio:edr#*": {}}));
    let command = RootAsk { scheme: Scheme::Run, ..whole };
    let signed = Signed::parse(&sign(&command).unwrap(), jws::ROOT_REQUEST).unwrap();
    let request = delegation::RootRequest::parse(signed.unverified()).unwrap();
    assert_eq!(request.scope.to_json(), json!({"run:edr#*": {}}));
}

#[test]
fn without_a_principal_nothing_is_signed_and_no_agent_can_be_named() {
    let config = Config::default();
    assert!(root_request(&config, &args("deeds wrap -- edr")).unwrap().is_none());
    let error = root_request(&config, &args("deeds wrap --agent bot -- edr")).err().unwrap().to_string();
    assert!(error.contains("--principal"), "{error}");
    let missing = Config { principal: Some("/no/such.key".into()), ..config };
    let error = root_request(&missing, &args("deeds wrap -- edr")).err().unwrap().to_string();
    assert!(error.contains("/no/such.key"), "{error}");
}

#[test]
fn the_reason_of_a_broken_glass_is_in_the_request_and_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noor.key");
    keys::create(&path, &[7; 32], "noor").unwrap();
    let config = Config { principal: Some(path), ..Config::default() };
    let line = "deeds wrap --purpose break-glass --why alert -- edr";
    let sign = root_request(&config, &args(line)).unwrap().unwrap();
    let jwk = Jwk::of(&SigningKey::from_bytes(&[9; 32])).to_json();
    let ask =
        RootAsk { hello: &hello(), jwk: &jwk, scope: None, scheme: Scheme::Stdio, alias: "edr", txn: None };
    let signed = Signed::parse(&sign(&ask).unwrap(), jws::ROOT_REQUEST).unwrap();
    let request = delegation::RootRequest::parse(signed.unverified()).unwrap();
    assert_eq!((request.purpose.as_str(), request.why.as_deref()), ("break-glass", Some("alert")));
    assert!(check(&args(line)).is_ok());
    let error = check(&args("deeds wrap --purpose break-glass -- edr")).unwrap_err().to_string();
    assert!(error.contains("--why"), "{error}");
}

#[test]
fn a_delegation_file_is_read_again_and_counts_for_all_who_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bot.delegation");
    let key = SigningKey::from_bytes(&[9; 32]);
    let file = |links: &[&str]| DelegationFile {
        chain: links.iter().map(|link| (*link).to_owned()).collect(),
        key: Some(key.clone()),
        handoff: Some("isolate them".to_owned()),
    };
    file(&["root"]).write(&path).unwrap();
    let config = Config { delegation: Some(path.clone()), ..Config::default() };
    let delegation = source(&config, &args("deeds wrap -- edr")).unwrap().unwrap();
    let given = (delegation.read)().unwrap();
    // what lies beside a root is an instruction, and was not handed over by a run
    assert_eq!((given.chain.len(), given.handoff.as_deref()), (1, None));
    file(&["root", "child"]).write(&path).unwrap();
    let given = (delegation.read)().unwrap();
    assert_eq!((given.chain.len(), given.handoff.as_deref()), (2, Some("isolate them")));
    let other = source(&config, &args("deeds wrap -- idp")).unwrap().unwrap();
    let kid = Jwk::of(&key).thumbprint();
    let drawn = [&delegation, &other, &delegation].map(|source| (source.next_counter)(&kid, 3).unwrap());
    assert_eq!(drawn, [3, 4, 5]);

    let error = source(&config, &args("deeds wrap --agent bot -- edr")).err().unwrap().to_string();
    assert!(error.contains("--agent"), "{error}");
    for alone in ["--key k", "--parent 01890a5d-ac96-774b-bcce-b302099a8057"] {
        let error = source(&Config::default(), &args(&format!("deeds wrap {alone} -- edr"))).err().unwrap();
        assert!(error.to_string().contains("--delegation FILE"), "{error}");
    }
    assert!(source(&Config::default(), &args("deeds wrap -- edr")).unwrap().is_none());
    let missing = Config { delegation: Some(dir.path().join("no")), ..Config::default() };
    assert!(source(&missing, &args("deeds wrap -- edr")).is_err());
}

#[test]
fn a_scope_file_is_checked_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scope.json");
    fs::write(&path, r#"{"stdio:edr#isolate":{"host":{"constraint_type":"prefix","prefix":"ws-"}}}"#)
        .unwrap();
    assert_eq!(read_scope(&path).unwrap().len(), 1);
    for wrong in
        ["", "{}", r#"{"edr":{}}"#, r#"{"a#b":{"x":{"constraint_type":"regex"}}}"#, r#"{"a#b":{},"a#b":{}}"#]
    {
        fs::write(&path, wrong).unwrap();
        let error = format!("{:#}", read_scope(&path).unwrap_err());
        assert!(error.contains("scope.json"), "{wrong}: {error}");
    }
}

#[test]
fn the_executable_that_would_run_is_the_one_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("1"), dir.path().join("2"));
    for dir in [&first, &second] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("tool"), dir.to_str().unwrap()).unwrap();
    }
    let executable_bit = |dir: &Path| {
        fs::set_permissions(dir.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let search = std::env::join_paths([&first, &second]).unwrap();
    assert_eq!(executable("tool", Some(&search)), None);
    executable_bit(&second);
    assert_eq!(executable("tool", Some(&search)), Some(second.join("tool")));
    executable_bit(&first);
    assert_eq!(executable("tool", Some(&search)), Some(first.join("tool")));
    assert_eq!(executable("./tool", None), Some("./tool".into()));
    let expected = Digest::of(first.to_str().unwrap().as_bytes()).to_string();
    assert_eq!(digest(&first.join("tool")), Some(expected));
    assert_eq!((digest(&first), digest(&first.join("none"))), (None, None));
}

#[test]
fn a_delegation_that_has_ended_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bot.delegation");
    let key = SigningKey::from_bytes(&[9; 32]);
    let holder = evidence::Holder {
        id: "bot".into(),
        inst: "i".into(),
        kind: PrincipalKind::Agent,
        asr: "inferred".into(),
        key: Jwk::of(&key).thumbprint(),
    };
    let root = |exp: u64| delegation::Root {
        jti: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        issuer: "deeds://o".into(),
        iat: exp - 60,
        nbf: exp - 60,
        exp,
        cnf: Jwk::of(&key),
        max_depth: 0,
        scope: evidence::Scope::server("stdio:edr"),
        tenant: "local".into(),
        txn: id::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
        purpose: "contain".into(),
        principal: evidence::Principal {
            kind: PrincipalKind::Unknown,
            iss: "uid".into(),
            sub: "1".into(),
            key: None,
        },
        holder: holder.clone(),
        source: delegation::Source::PeerCredentials { uid: 1 },
        why: None,
        intent: None,
        approvals: None,
    };
    let started = |exp: u64| {
        let token = root(exp).sign(&SigningKey::from_bytes(&[1; 32]));
        DelegationFile { chain: vec![token], key: Some(key.clone()), handoff: None }.write(&path).unwrap();
        let config = Config { delegation: Some(path.clone()), ..Config::default() };
        source(&config, &args("deeds wrap -- edr")).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(started(crate::clock::now_s() + 600), Ok(()));
    let error = started(1_793_671_200).unwrap_err();
    assert!(error.contains("ended at 2026-11-03 02:00:00Z: ask whoever gave it"), "{error}");
}
