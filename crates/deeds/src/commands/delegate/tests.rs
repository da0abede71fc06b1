//! Tests of what is settled before anybody is asked: whose authority, whose key, and a child made offline.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use clap::Parser as _;
use evidence::delegation::{Root, Source};
use evidence::{Holder, Principal, Scope};
use serde_json::json;

use super::*;
use crate::cli::{Cli, Command};
use crate::clock;

fn args(line: &str) -> DelegateArgs {
    let line = format!("deeds delegate {line} -o x");
    let Command::Delegate(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
        panic!("not `delegate`")
    };
    args
}

fn refused(line: &str) -> String {
    let line = format!("deeds delegate {line} -o x");
    Cli::try_parse_from(line.split(' ')).unwrap_err().to_string()
}

#[test]
fn the_command_line_says_whose_authority_it_is() {
    let both = Config { delegation: Some("/d".into()), principal: Some("/k".into()), ..Config::default() };
    let is_child = |config: &Config, line: &str| matches!(way(config, &args(line)), Ok(Way::Child(_)));
    assert!(is_child(&both, "--new-key"));
    for root in [
        "--new-key --mandate @4",
        "--new-key --why x",
        "--new-key --task 01890a5d-ac96-774b-bcce-b302099a8057",
    ] {
        assert!(matches!(way(&both, &args(root)), Ok(Way::Root(_))), "{root}");
    }
    let principal = Config { delegation: None, ..both };
    assert!(matches!(way(&principal, &args("--new-key")), Ok(Way::Root(_))));
    let error = way(&Config::default(), &args("--new-key")).err().unwrap().to_string();
    assert!(error.contains("--as") && error.contains("--from"), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    assert!(refused("--new-key --as k --from f").contains("cannot be used with"));
    assert!(refused("--new-key --to k").contains("cannot be used with"));
    assert!(refused("--as k").contains("--to"));
    assert!(refused("--new-key --from f --why x").contains("cannot be used with"));
    assert!(refused("--new-key --max-depth 9").contains("0..=8"));
    assert!(refused("--new-key --ttl 0s").contains("length of time"));
    let error = check(&args("--new-key --as k --purpose break-glass")).unwrap_err().to_string();
    assert!(error.contains("--why"), "{error}");
}

#[test]
fn a_recipient_is_a_public_key_or_a_key_file_and_never_a_private_jwk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k");
    let public = Jwk::of(&SigningKey::from_bytes(&[7; 32]));
    fs::write(&path, public.to_json().to_string()).unwrap();
    assert_eq!(public_key(&path).unwrap(), public);
    let mut private = public.to_json();
    private["d"] = json!("x");
    fs::write(&path, private.to_string()).unwrap();
    assert!(public_key(&path).unwrap_err().to_string().contains("private key"));
    fs::write(&path, "{}").unwrap();
    assert!(public_key(&path).is_err());
    let file = dir.path().join("k.key");
    keys::create(&file, &[7; 32], "bot").unwrap();
    assert_eq!(public_key(&file).unwrap(), public);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(public_key(&file).is_err());
}

#[test]
fn a_hand_over_is_a_text_or_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("task.txt");
    fs::write(&path, "isolate them").unwrap();
    assert_eq!(handoff(&format!("@{}", path.display())).unwrap(), "isolate them");
    assert_eq!(handoff("isolate").unwrap(), "isolate");
    assert!(handoff("").is_err() && handoff("@/no/such").is_err());
    assert!(handoff(&"x".repeat(HANDOFF_MAX_BYTES)).is_ok());
    assert!(handoff(&"x".repeat(HANDOFF_MAX_BYTES + 1)).is_err());
}

/// A delegation file with a root that somebody's issuer made.
fn held(dir: &Path, max_depth: u64) -> PathBuf {
    let key = SigningKey::from_bytes(&[9; 32]);
    let now_s = clock::now_s();
    let scope = json!({"stdio:edr#isolate_host": {"host": {"constraint_type": "prefix", "prefix": "ws-"}},
        "stdio:edr#release_host": {}});
    let root = Root {
        jti: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        issuer: "deeds://o".into(),
        iat: now_s,
        nbf: now_s,
        exp: now_s + 900,
        cnf: Jwk::of(&key),
        max_depth,
        scope: Scope::parse(&scope).unwrap(),
        tenant: "local".into(),
        txn: entropy::id().unwrap(),
        purpose: "contain".into(),
        principal: Principal { kind: PrincipalKind::Unknown, iss: "uid".into(), sub: "1".into(), key: None },
        holder: Holder {
            id: "ir-playbook".into(),
            inst: "i".into(),
            kind: PrincipalKind::Service,
            asr: "inferred".into(),
            key: Jwk::of(&key).thumbprint(),
        },
        source: Source::PeerCredentials { uid: 1 },
        why: None,
        intent: None,
        approvals: None,
    };
    let token = root.sign(&SigningKey::from_bytes(&[1; 32]));
    let path = dir.join("held.delegation");
    DelegationFile { chain: vec![token], key: Some(key), handoff: None }.write(&path).unwrap();
    path
}

/// What `delegate --from` makes of it.
fn narrow(path: &Path, line: &str) -> anyhow::Result<Given> {
    let args = args(line);
    let ask = Ask {
        recipient: recipient(&args)?,
        holder: args.agent.clone().map(|id| (id, kind(args.kind))),
        scope: arguments::scope(&args.tools)?,
        handoff: args.handoff.as_deref().map(handoff).transpose()?,
        replaced: None,
        args: &args,
    };
    child::make(path, &ask)
}

#[test]
fn a_part_is_passed_on_without_any_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = held(dir.path(), 1);
    let line = "--new-key --agent bot --tool edr#isolate_host --arg host=ws-7 --ttl 5m --handoff isolate";
    let given = narrow(&path, line).unwrap();
    assert_eq!((given.chain.len(), given.leaf.depth(), given.leaf.holder().id.as_str()), (2, 1, "bot"));
    assert_eq!(given.leaf.exp() - given.leaf.iat(), 300);
    assert_eq!(given.from, "ir-playbook");
    assert!(given.narrowed.unwrap().iter().any(|text| text.contains("ws-7")));
    assert!(given.leaf.as_child().unwrap().handoff.is_some());
    let rest = narrow(&path, "--new-key --agent bot").unwrap();
    assert_eq!(rest.leaf.scope().tools().count(), 2);
    assert!(rest.narrowed.unwrap().is_empty() && rest.leaf.exp() - rest.leaf.iat() > 890);
}

#[test]
fn what_would_be_wider_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = held(dir.path(), 1);
    let error = |path: &Path, line: &str| format!("{:#}", narrow(path, line).err().unwrap());
    let wider = error(&path, "--new-key --agent bot --tool edr#isolate_host --arg host=*");
    assert!(wider.contains("does not fit its parent") && wider.contains("leave that out"), "{wider}");
    assert!(error(&path, "--new-key --agent bot --purpose break-glass").contains("purpose"));
    assert!(error(&path, "--new-key").contains("--agent"));
    let ended = held(dir.path(), 0);
    assert!(error(&ended, "--new-key --agent bot").contains("cannot be passed on"));
}

#[test]
fn what_to_do_next_names_the_server_and_a_shorter_life_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = held(dir.path(), 1);
    let told = |line: &str| {
        let args = args(line);
        let ask = Ask {
            recipient: recipient(&args).unwrap(),
            holder: args.agent.clone().map(|id| (id, kind(args.kind))),
            scope: arguments::scope(&args.tools).unwrap(),
            handoff: None,
            replaced: None,
            args: &args,
        };
        let text = told::text(&child::make(&path, &ask).unwrap(), &ask, 100);
        anstream::adapter::strip_str(&text).to_string()
    };
    let text = told("--new-key --agent bot --ttl 3h");
    assert!(text.contains("deeds wrap --delegation x --name edr -- COMMAND"), "{text}");
    assert!(text.contains("shorter than `--ttl` asked for"), "{text}");
    assert!(!told("--new-key --agent bot --ttl 5m").contains("shorter"));
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked_and_what_it_held_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = held(dir.path(), 1);
    let refused = replaced::in_the_way(&path, false).err().unwrap().to_string();
    assert!(refused.contains("held.delegation") && refused.contains("`--force`"), "{refused}");
    assert!(replaced::in_the_way(&dir.path().join("free"), false).unwrap().is_none());
    let old = replaced::in_the_way(&path, true).unwrap().unwrap();
    let (leaf, digest) = link(&DelegationFile::read(&path).unwrap().chain[0]).unwrap();
    let text = old.text(&[], leaf.iat(), 200);
    assert!(text.contains("ir-playbook") && text.contains("stays live until"), "{text}");
    assert!(text.contains(&format!("deeds revoke {digest} --what delegation --why")), "{text}");
    assert!(!text.contains("rests on it"), "{text}");
    let given = narrow(&path, "--new-key --agent bot").unwrap();
    assert!(old.text(&given.chain, leaf.iat(), 200).contains("the new one, which rests on it"));
    assert!(old.text(&[], leaf.exp(), 200).is_empty() && !old.text(&[], leaf.exp() - 1, 200).is_empty());
    assert_eq!(old.json(), json!({"digest": digest, "holder": "ir-playbook", "exp": leaf.exp()}));
}

#[test]
fn a_mandate_is_used_by_those_it_names_and_no_deeper() {
    let holders = ["robot", "cron"].map(str::to_owned);
    let fits =
        |who: &str, depth: Option<u8>| root::fits(&holders, 1, who, depth).map_err(|error| error.to_string());
    assert_eq!((fits("robot", None), fits("cron", Some(1))), (Ok(()), Ok(())));
    assert!(fits("maya", None).unwrap_err().contains("robot, cron"));
    assert!(fits("robot", Some(2)).unwrap_err().contains("at most 1"));
}
