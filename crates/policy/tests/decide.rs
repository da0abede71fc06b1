//! Decisions as the rest of the system asks for them: policy directories on a real disk, every
//! reason, exact replay.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use policy::{
    ActionRequest, ClassSource, Decision, PolicyError, PolicyFile, PolicySet, RequestAgent,
    RequestDelegation, RequestPrincipal, ServerFacts, Verdict, limits, reason,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const PIN: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";

fn act<'a>(tool: &'a str, args: &'a Value) -> ActionRequest<'a> {
    ActionRequest {
        principal: RequestPrincipal {
            kind: "human",
            iss: "deeds://deeds.local/0011223344556677",
            sub: "ana|1",
            assurance: "attested",
            grade: "key-signed",
        },
        agent: RequestAgent { id: "claude:4711", key: "thumbprint", assurance: "attested" },
        operation: "tools/call",
        tool,
        definition: None,
        args,
        delegation: RequestDelegation {
            leaf: "sha256:leaf",
            depth: 1,
            max_depth: 3,
            tools: &[],
            expires_ms: 1_800_000_000_000,
            txn: "task-1",
            holders: &[],
            purpose: None,
        },
        run: "01890a5d-ac96-774b-bcce-b302099a8057",
        now_ms: 1_790_000_000_123,
        root: None,
    }
}

fn set(policies: &str) -> PolicySet {
    set_with(policies, "")
}

fn set_with(policies: &str, classes: &str) -> PolicySet {
    let file = |path: &str, text: &str| PolicyFile { path: path.to_owned(), text: text.to_owned() };
    PolicySet::from_files(vec![file("a.cedar", policies), file("classes.toml", classes)]).unwrap()
}

fn code(decision: &Decision) -> &'static str {
    assert_eq!(decision.verdict, Verdict::Deny);
    decision.reason.as_ref().unwrap().code
}

fn text(decision: &Decision) -> &str {
    decision.reason.as_ref().map_or("", |reason| reason.text.as_str())
}

/// Every decision of these tests also replays, from the bytes a record would hold.
fn decide(set: &PolicySet, act: &ActionRequest<'_>) -> Decision {
    let decision = set.decide(act);
    let recorded = serde_json::from_str(&serde_json::to_string(&decision.request).unwrap()).unwrap();
    assert_eq!(set.replay(&recorded).unwrap(), decision);
    decision
}

fn decide_args(set: &PolicySet, args: &Value) -> Decision {
    decide(set, &act("stdio:fs#write_file", args))
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn a_directory_forbids_writing_under_a_path_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "permit.cedar", PERMIT);
    write(
        dir.path(),
        "secret.cedar",
        r#"
        @id("no-secrets")
        forbid (principal, action == Deeds::Action::"tools/call", resource)
        when { context.args.hasTag("path.norm") && context.args.getTag("path.norm") like "/srv/secret/*" };
        "#,
    );
    write(dir.path(), "classes.toml", "[[tool]]\nuri = \"stdio:fs#write_file\"\nclasses = [\"write\"]\n");
    let set = PolicySet::load(dir.path()).unwrap();
    let at = |path: &str| {
        let args = json!({ "path": path, "content": "x" });
        decide(&set, &ActionRequest { root: Some("/srv/open"), ..act("stdio:fs#write_file", &args) })
    };
    for path in
        ["/srv/secret/key", "/srv/open/../secret/key", "/srv//secret/./a/../key", "/../srv/secret/key"]
    {
        let decision = at(path);
        assert_eq!(code(&decision), reason::FORBIDDEN, "{path}");
        assert_eq!(decision.determining, ["no-secrets"]);
        assert_eq!(
            text(&decision),
            "`tools/call` on `stdio:fs#write_file` is forbidden by policy `no-secrets`"
        );
    }
    for path in ["../secret/key", "a/../../secret/key", "~/../srv/secret/key", "file:///srv/secret/key", ""] {
        assert_eq!(code(&at(path)), reason::PATH_ESCAPES, "{path}");
    }
    for path in
        ["/srv/open/key", "/srv/secrets", "/srv/secret/../open/key", "key", "secret/key", "/tmp/srv/secret/k"]
    {
        let decision = at(path);
        assert_eq!(decision.verdict, Verdict::Allow, "{path}: {decision:?}");
        assert_eq!(decision.determining, ["all"]);
        assert!(decision.class.classified && decision.class.classes == ["write"]);
    }
}

#[test]
fn one_rule_forbids_any_of_several_paths() {
    let set = set(&format!(
        r#"{PERMIT}
        @id("no-secrets")
        forbid (principal, action, resource)
        when {{
            context.args.hasTag("paths.norm") &&
            (context.args.getTag("paths.norm") like "*\n/srv/secret\n*" ||
             context.args.getTag("paths.norm") like "*\n/srv/secret/*")
        }};"#
    ));
    let read = |paths: &[&str]| {
        let args = json!({ "paths": paths });
        decide(&set, &ActionRequest { root: Some("/srv/open"), ..act("stdio:fs#read_multiple_files", &args) })
    };
    for paths in [
        &["/srv/secret/key"][..],
        &["/srv/open/a", "/srv/secret/key"],
        &["/srv/secret/key", "/srv/open/a"],
        &["a", "/srv/open/../secret/key", "b"],
        &["a", "/srv//./secret/x/../key"],
        &["/srv/secret/"],
        &["/srv/secret", "b"],
    ] {
        let decision = read(paths);
        assert_eq!(code(&decision), reason::FORBIDDEN, "{paths:?}");
        assert_eq!(decision.determining, ["no-secrets"]);
    }
    for paths in [&["../secret/key"][..], &["a", "~/x"], &["a", "/ok\n/b"], &["a", ""]] {
        assert_eq!(code(&read(paths)), reason::PATH_ESCAPES, "{paths:?}");
    }
    for paths in [&[][..], &["a", "b"], &["/srv/secrets", "/srv/secret/../open/a"], &["/tmp/srv/secret/key"]]
    {
        assert_eq!(read(paths).verdict, Verdict::Allow, "{paths:?}");
    }
}

/// The blocks of `docs/policy.md` that are policy files; each begins with a comment that ends in the file's name.
fn blocks() -> Vec<PolicyFile> {
    let page = include_str!("../../../docs/policy.md");
    let blocks = page.split("```").filter_map(|block| {
        let text = block.strip_prefix("cedar\n").or_else(|| block.strip_prefix("toml\n"))?;
        let path = text.lines().next()?.split(' ').next_back()?;
        Some(PolicyFile { path: path.to_owned(), text: text.to_owned() })
    });
    blocks.collect()
}

/// The set that the page explains: the first block of each name.
fn documented() -> PolicySet {
    let mut files: Vec<PolicyFile> = Vec::new();
    for block in blocks() {
        if !files.iter().any(|file| file.path == block.path) {
            files.push(block);
        }
    }
    PolicySet::from_files(files).unwrap()
}

#[test]
fn the_documented_rows_pin_as_documented() {
    let rows: Vec<PolicyFile> = blocks().into_iter().filter(|block| block.path == "classes.toml").collect();
    let [_, pins] = &rows[..] else { panic!("not two blocks of classes.toml") };
    let set = set_with(PERMIT, &pins.text.replace("sha256:…", PIN));
    let right =
        ServerFacts { command: Some(PIN), executable: Some(PIN), package: Some(PIN), environment: Some(PIN) };
    assert_eq!(set.pinned("stdio:fs#write_file", Some(PIN), &right), Ok(()));
    let what = |definition, facts| set.pinned("stdio:fs#write_file", definition, &facts).unwrap_err().what;
    assert_eq!(what(None, right), "definition");
    assert_eq!(what(Some(PIN), ServerFacts { package: None, ..right }), "package");
    assert_eq!(set.pinned("stdio:fs#read_file", None, &right), Ok(()));
}

#[test]
fn the_documented_set_decides_as_documented() {
    let set = documented();
    assert_eq!(set.warnings(), []);
    let decide = |tool: &str, args: Value| {
        let decision = decide(&set, &act(tool, &args));
        (decision.verdict, decision.determining.join(","))
    };
    let write = |path: &str| decide("stdio:fs#write_file", json!({ "path": path }));
    let read = |paths: &[&str]| decide("stdio:fs#read_multiple_files", json!({ "paths": paths }));
    let allowed = (Verdict::Allow, "allow-rest".to_owned());
    let denied = |policy: &str| (Verdict::Deny, policy.to_owned());
    assert_eq!(write("/srv/www/index.html"), allowed);
    assert_eq!(write("/srv/www/../releases/1.0"), denied("releases-are-final"));
    assert_eq!(write("/srv/releases/"), denied("releases-are-final"));
    assert_eq!(decide("stdio:fs#write_file", json!({})), denied("releases-are-final"));
    assert_eq!(write("/srv/secret/key"), denied("no-secrets"));
    assert_eq!(read(&["/srv/a", "/srv/secret/key"]), denied("no-secrets"));
    assert_eq!(read(&["/srv/a/../secret", "/srv/b"]), denied("no-secrets"));
    assert_eq!(read(&["/srv/releases/1.0", "/srv/a"]), allowed);
    assert_eq!(decide("stdio:mail#send", json!({ "to": "x" })), denied("no-external"));
    assert_eq!(decide("stdio:other#any", json!({})), denied("no-external"));
    let args = json!({});
    let under = |tool: &str, depth, holders: &[String], purpose| {
        let mut act = act(tool, &args);
        act.delegation = RequestDelegation { depth, holders, purpose, ..act.delegation };
        let decision = self::decide(&set, &act);
        (decision.verdict, decision.determining.join(","))
    };
    assert_eq!(under("stdio:mail#send", 2, &[], None), denied("no-external,no-third-hand"));
    let scheduler = ["svc:scheduler".to_owned(), "claude:4711".to_owned()];
    assert_eq!(under("stdio:fs#read_text_file", 1, &scheduler, None), denied("scheduler-reads"));
    assert_eq!(under("stdio:fs#read_text_file", 1, &[], Some("break-glass")), denied("break-glass-on-call"));
    assert_eq!(under("stdio:fs#read_text_file", 1, &[], Some("review")), allowed);
    let starter = PolicySet::starter().unwrap();
    let floor = |set: &PolicySet| {
        let ids: Vec<String> = set.policies().iter().map(|policy| policy.id.clone()).collect();
        ids.into_iter().filter(|id| id.starts_with("floor.")).collect::<Vec<_>>()
    };
    assert_eq!(floor(&set), floor(&starter));
}

#[test]
fn the_starter_set_allows_and_marks_the_unclassified() {
    let set = PolicySet::starter().unwrap();
    let decision = decide_args(&set, &json!({ "path": "/x" }));
    assert_eq!((decision.verdict, &decision.reason), (Verdict::Allow, &None));
    assert_eq!(decision.determining, ["starter.scope"]);
    assert!(!decision.class.classified);
    assert_eq!(decision.class.classes, ["write", "external", "untrusted"]);
    assert_eq!(decision.class.source, ClassSource::NoRow);
}

#[test]
fn without_a_policy_nothing_that_a_server_asks_for_is_permitted() {
    let starter = PolicySet::starter().unwrap();
    let args = json!({});
    let with = |set: &PolicySet, operation: &str| {
        let tool = format!("stdio:fs#{operation}");
        decide(set, &ActionRequest { operation, ..act(&tool, &args) })
    };
    for operation in ["resources/read", "prompts/get", "completion/complete", "tasks/cancel", "command/run"] {
        assert_eq!(with(&starter, operation).determining, ["starter.scope"], "{operation}");
    }
    let named =
        set("@id(\"ask\") permit (principal, action == Deeds::Action::\"elicitation/create\", resource);");
    let group =
        set("@id(\"all\") permit (principal, action in Deeds::Action::\"asked-by-server\", resource);");
    for operation in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        let denied = with(&starter, operation);
        assert_eq!(code(&denied), reason::NOT_PERMITTED, "{operation}");
        assert_eq!(denied.request["action"]["id"], operation);
        let by_name = if operation == "elicitation/create" { Verdict::Allow } else { Verdict::Deny };
        assert_eq!(with(&named, operation).verdict, by_name, "{operation}");
        assert_eq!(with(&group, operation).verdict, Verdict::Allow, "{operation}");
    }
    assert_eq!(with(&group, "tools/call").verdict, Verdict::Deny);
}

#[test]
fn a_record_holds_its_own_action_and_no_other() {
    let args = json!({});
    let decision = decide(&set(PERMIT), &act("stdio:fs#x", &args));
    let entities = decision.request["entities"].as_array().unwrap();
    let actions: Vec<&str> = entities
        .iter()
        .filter(|entity| entity["uid"]["type"] == "Deeds::Action")
        .map(|entity| entity["uid"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["act", "tools/call"]);
}

#[test]
fn policies_see_who_held_the_chain_and_what_its_root_is_for() {
    let policies = format!(
        "{PERMIT}
        @id(\"only-reviewed\") forbid (principal, action, resource)
            when {{ context.delegation.holders.contains(\"svc:scheduler\") }}
            unless {{ context.delegation has purpose && context.delegation.purpose == \"review\" }};
        @id(\"no-grandchildren\") forbid (principal, action, resource)
            when {{ context.delegation.depth > 1 }};"
    );
    let set = set(&policies);
    let args = json!({});
    let with = |holders: &[&str], depth, purpose| {
        let holders: Vec<String> = holders.iter().map(|holder| (*holder).to_owned()).collect();
        let mut act = act("stdio:fs#read", &args);
        act.delegation.holders = &holders;
        (act.delegation.depth, act.delegation.purpose) = (depth, purpose);
        decide(&set, &act)
    };
    let scheduled = with(&["svc:scheduler", "claude:4711"], 1, Some("release"));
    assert_eq!(scheduled.determining, ["only-reviewed"]);
    // The last holder first: in the record the ids are a set.
    let holders = json!(["claude:4711", "svc:scheduler"]);
    assert_eq!(scheduled.request["context"]["delegation"]["holders"], holders);
    assert_eq!(with(&["svc:scheduler", "claude:4711"], 1, Some("review")).verdict, Verdict::Allow);
    assert_eq!(with(&["svc:scheduler"], 0, None).determining, ["only-reviewed"]);
    assert_eq!(with(&["claude:4711"], 0, None).verdict, Verdict::Allow);
    assert_eq!(with(&["claude:4711", "a", "b"], 2, None).determining, ["no-grandchildren"]);
}

#[test]
fn the_floor_holds_at_and_past_its_limits() {
    let set = PolicySet::starter().unwrap();
    let args = json!({});
    let with = |depth, now_ms| {
        let mut act = act("stdio:fs#read", &args);
        act.delegation.depth = depth;
        act.now_ms = now_ms;
        decide(&set, &act)
    };
    assert_eq!(with(3, 1_799_999_999_999).verdict, Verdict::Allow);
    assert_eq!(with(4, 0).determining, ["floor.depth"]);
    assert_eq!(with(3, 1_800_000_000_000).determining, ["floor.expired"]);
    let both = with(4, 1_800_000_000_000);
    assert_eq!(both.determining, ["floor.depth", "floor.expired"]);
    assert_eq!(code(&both), reason::FORBIDDEN);
}

#[test]
fn policies_see_classes_and_where_they_come_from() {
    let classes = format!(
        "[[tool]]\nuri = \"stdio:edr#isolate\"\nclasses = [\"write\", \"external\"]\ndefinition = \"{PIN}\"\n\
         [[tool]]\nuri = \"stdio:time#*\"\nclasses = [\"read\"]\n"
    );
    let policies = format!(
        "{PERMIT}
        @id(\"external\") forbid (principal, action, resource in Deeds::Class::\"external\");
        @id(\"unclassified\") forbid (principal, action, resource in Deeds::Class::\"unclassified\");
        @id(\"flag\") forbid (principal, action, resource) unless {{ resource.classified }};
        @id(\"changed\") forbid (principal, action, resource) when {{ resource.class_source == \"definition-changed\" }};
        @id(\"server\") forbid (principal, action, resource in Deeds::Server::\"stdio:edr\");
        @id(\"unlisted\") forbid (principal, action, resource) when {{ resource.definition == \"unknown\" }};"
    );
    let set = set_with(&policies, &classes);
    let args = json!({});
    let with = |tool, definition| decide(&set, &ActionRequest { definition, ..act(tool, &args) });

    let pinned = with("stdio:edr#isolate", Some(PIN));
    assert_eq!(pinned.determining, ["external", "server"]);
    assert_eq!(pinned.class.classes, ["write", "external"]);

    let changed = with("stdio:edr#isolate", Some("sha256:other"));
    assert_eq!(changed.determining, ["changed", "external", "flag", "server", "unclassified"]);
    assert_eq!(changed.class.source, ClassSource::DefinitionChanged);

    let unknown = with("stdio:edr#isolate", None);
    assert_eq!(unknown.determining, ["external", "flag", "server", "unclassified", "unlisted"]);

    assert_eq!(with("stdio:time#now", Some(PIN)).verdict, Verdict::Allow);
    let other = with("stdio:mail#send", Some(PIN));
    assert_eq!(other.determining, ["external", "flag", "unclassified"]);
}

#[test]
fn no_permit_is_a_no() {
    let set = set("@id(\"other\") permit (principal == Deeds::Agent::\"other\", action, resource);");
    let decision = decide_args(&set, &json!({}));
    assert_eq!(code(&decision), reason::NOT_PERMITTED);
    assert_eq!(text(&decision), "no policy permits `tools/call` on `stdio:fs#write_file`");
    assert!(decision.determining.is_empty());
}

#[test]
fn principals_are_named_by_issuer_and_subject() {
    let set = set("@id(\"ana\") permit (principal, action, resource) when {
        principal.on_behalf_of == Deeds::Principal::\"deeds://deeds.local/0011223344556677|ana|1\" &&
        principal.on_behalf_of.sub == \"ana|1\" && principal.on_behalf_of.grade == \"key-signed\" };");
    let args = json!({});
    assert_eq!(decide_args(&set, &args).verdict, Verdict::Allow);
    let mut other = act("stdio:fs#x", &args);
    other.principal.iss = "deeds://deeds.local/0011223344556677|ana";
    other.principal.sub = "1";
    assert_eq!(code(&decide(&set, &other)), reason::REQUEST_INVALID);
}

/// Overflow is an error that strict validation cannot see.
const ERRS: &str = "context.delegation.depth + 9223372036854775807 > 0";

#[test]
fn an_erring_forbid_denies_although_the_engine_allows() {
    let set = set(&format!("{PERMIT}@id(\"f\") forbid (principal, action, resource) when {{ {ERRS} }};"));
    let decision = decide_args(&set, &json!({}));
    assert_eq!(code(&decision), reason::POLICY_ERROR);
    assert_eq!(decision.determining, ["all"]);
    assert_eq!(decision.errors.len(), 1);
    assert!(decision.errors[0].contains("`f`") && decision.errors[0].contains("overflow"), "{decision:?}");

    let args = json!({});
    let mut root = act("stdio:fs#x", &args);
    root.delegation.depth = 0;
    assert_eq!(code(&decide(&set, &root)), reason::FORBIDDEN);
}

#[test]
fn an_erring_permit_beside_a_sound_one_denies_too() {
    let set = set(&format!("{PERMIT}@id(\"p\") permit (principal, action, resource) when {{ {ERRS} }};"));
    assert_eq!(code(&decide_args(&set, &json!({}))), reason::POLICY_ERROR);
}

#[test]
fn an_entity_that_only_a_policy_names_errs_and_denies() {
    let set = set(&format!(
        "{PERMIT}@id(\"f\") forbid (principal, action, resource) when {{ Deeds::Principal::\"nobody\".kind == \"human\" }};"
    ));
    assert_eq!(code(&decide_args(&set, &json!({}))), reason::POLICY_ERROR);
}

#[test]
fn kept_errors_are_limited() {
    let forbid = |i| format!("@id(\"f{i}\") forbid (principal, action, resource) when {{ {ERRS} }};");
    let many = (0..=limits::ERRORS_MAX).map(forbid).collect::<Vec<_>>().concat();
    let decision = decide_args(&set(&many), &json!({}));
    assert_eq!(code(&decision), reason::POLICY_ERROR);
    assert_eq!(decision.errors.len(), limits::ERRORS_MAX);
}

#[test]
fn an_unknown_obligation_of_a_determining_policy_denies() {
    let policies = "@id(\"a\") @obligation(\"notify:soc, redact\") permit (principal, action, resource)
            when { context.args.hasTag(\"x\") };
        @id(\"b\") permit (principal, action, resource);
        @id(\"c\") @obligation(\"require_approval\") forbid (principal, action, resource)
            when { context.args.hasTag(\"y\") };
        @id(\"d\") @obligation permit (principal, action, resource) when { context.args.hasTag(\"z\") };";
    let set = set(policies);
    let decision = decide_args(&set, &json!({ "x": 1 }));
    assert_eq!(code(&decision), reason::UNKNOWN_OBLIGATION);
    assert_eq!(decision.obligations, ["notify:soc", "redact"]);
    assert_eq!(decision.determining, ["a", "b"]);
    assert!(text(&decision).contains("`notify:soc`"));

    assert_eq!(decide_args(&set, &json!({})).verdict, Verdict::Allow);
    let forbidden = decide_args(&set, &json!({ "x": 1, "y": 1 }));
    assert_eq!(code(&forbidden), reason::FORBIDDEN);
    assert_eq!(forbidden.obligations, ["require_approval"]);
    assert_eq!(code(&decide_args(&set, &json!({ "z": 1 }))), reason::UNKNOWN_OBLIGATION);
}

#[test]
fn acts_that_no_policy_can_judge_are_refused() {
    let set = set(PERMIT);
    let args = json!({});
    let base = || act("stdio:fs#x", &args);
    assert_eq!(decide(&set, &base()).verdict, Verdict::Allow);

    for operation in ["tools/list", "act", "asked-by-server", "TOOLS/CALL", "tools/call ", "tasks/list"] {
        let decision = decide(&set, &ActionRequest { operation, ..base() });
        assert_eq!(code(&decision), reason::OPERATION_UNKNOWN, "{operation}");
        assert_eq!(reason::OPERATION_UNKNOWN, "operation-unknown");
        assert_eq!(decision.request["action"], operation);
    }
    for tool in ["", "stdio:fs", "#x", "stdio:fs#", "stdio:fs#*"] {
        assert_eq!(code(&decide(&set, &ActionRequest { tool, ..base() })), reason::TOOL_INVALID, "{tool}");
    }
    assert_eq!(code(&decide_args(&set, &json!([1]))), reason::ARGS_INVALID);
    assert_eq!(code(&decide_args(&set, &json!({ "file": "relative" }))), reason::PATH_ESCAPES);
    assert_eq!(
        code(&decide_args(&set, &json!({ "v": "x".repeat(limits::ARG_VALUE_MAX + 1) }))),
        reason::ARGS_LIMIT
    );

    let last = 253_402_207_200_000; // 9999-12-30T22:00:00Z, the last the time library holds
    let decision = decide(&set, &ActionRequest { now_ms: last, ..base() });
    assert_eq!(decision.verdict, Verdict::Allow, "{:?}", decision.reason);
    for now_ms in [last + 1, u64::MAX] {
        assert_eq!(code(&decide(&set, &ActionRequest { now_ms, ..base() })), reason::REQUEST_INVALID);
    }
}

#[test]
fn names_and_tools_are_limited() {
    let set = set(PERMIT);
    let args = json!({});
    let longest = "n".repeat(limits::NAME_MAX);
    let longer = format!("{longest}n");
    let with = |name: &str| {
        let mut act = act("stdio:fs#x", &args);
        act.principal.sub = name;
        decide(&set, &act)
    };
    assert_eq!(with(&longest).verdict, Verdict::Allow);
    assert_eq!(code(&with(&longer)), reason::REQUEST_INVALID);
    assert_eq!(code(&with("")), reason::REQUEST_INVALID);

    let with = |tools: &[String], purpose: Option<&str>| {
        let mut act = act("stdio:fs#x", &args);
        act.delegation.tools = tools;
        act.delegation.purpose = purpose;
        decide(&set, &act)
    };
    let tools: Vec<String> = (0..=limits::DELEGATED_TOOLS_MAX).map(|i| format!("stdio:fs#{i}")).collect();
    assert_eq!(with(&tools[1..], Some(&longest)).verdict, Verdict::Allow);
    assert_eq!(code(&with(&tools, None)), reason::REQUEST_INVALID);
    assert_eq!(code(&with(std::slice::from_ref(&longer), None)), reason::REQUEST_INVALID);
    assert_eq!(code(&with(&[], Some(&longer))), reason::REQUEST_INVALID);

    let with = |holders: &[String]| {
        let mut act = act("stdio:fs#x", &args);
        act.delegation.holders = holders;
        decide(&set, &act)
    };
    let holders = vec![longest; limits::DELEGATION_HOLDERS_MAX + 1];
    assert_eq!(with(&holders[1..]).verdict, Verdict::Allow);
    assert_eq!(code(&with(&holders)), reason::REQUEST_INVALID);
    assert_eq!(code(&with(std::slice::from_ref(&longer))), reason::REQUEST_INVALID);
}

#[test]
fn the_recorded_request_is_complete_and_always_the_same_bytes() {
    let args = json!({ "path": "/srv/a/../b", "n": 1 });
    let tools = ["stdio:fs#b".to_owned(), "stdio:fs#a".to_owned()];
    let mut act = act("stdio:fs#write", &args);
    act.delegation.tools = &tools;
    let first = set(PERMIT).decide(&act).request.to_string();
    for _ in 0..8 {
        assert_eq!(set(PERMIT).decide(&act).request.to_string(), first);
    }
    let request: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(request["principal"], json!({ "type": "Deeds::Agent", "id": "claude:4711" }));
    assert_eq!(request["action"], json!({ "type": "Deeds::Action", "id": "tools/call" }));
    assert_eq!(request["resource"], json!({ "type": "Deeds::Tool", "id": "stdio:fs#write" }));
    assert_eq!(request["context"]["delegation"]["tools"], json!(["stdio:fs#a", "stdio:fs#b"]));
    let entities = request["entities"].as_array().unwrap();
    let args = entities.iter().find(|entity| entity["uid"]["type"] == "Deeds::Args").unwrap();
    assert_eq!(args["tags"], json!({ "path": "/srv/a/../b", "path.norm": "/srv/b", "n": "1" }));
}

type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn replay_refuses_what_is_no_recorded_request() {
    let set = set(PERMIT);
    let args = json!({ "a": 1 });
    let good = set.decide(&act("stdio:fs#x", &args)).request;
    let broken = |change: Change<'_>| {
        let mut request = good.clone();
        change(&mut request);
        set.replay(&request)
    };
    let changes: [(&str, Change<'_>); 12] = [
        ("null", &|r| *r = Value::Null),
        ("no context", &|r| drop(r.as_object_mut().unwrap().remove("context"))),
        ("more members", &|r| r["extra"] = json!(1)),
        ("no such action", &|r| r["action"]["id"] = json!("tools/list")),
        ("principal of another type", &|r| r["principal"]["type"] = json!("Deeds::Tool")),
        ("unknown context member", &|r| r["context"]["more"] = json!(1)),
        ("wrong type", &|r| r["context"]["delegation"]["depth"] = json!("1")),
        ("entities no list", &|r| r["entities"] = json!({})),
        ("no entities", &|r| r["entities"] = json!([])),
        ("too many entities", &|r| r["entities"] = json!(vec![json!({}); limits::REPLAY_ENTITIES_MAX + 1])),
        ("refusal without code", &|r| *r = json!({ "refused": { "text": "x" } })),
        ("refusal of unknown code", &|r| {
            *r = json!({ "refused": { "code": "x", "text": "x", "class_source": "no-row", "classes": [] } });
        }),
    ];
    for (what, change) in changes {
        assert!(matches!(broken(change), Err(PolicyError::Replay(_))), "{what}");
    }
    let entities = good["entities"].as_array().unwrap();
    for at in 0..entities.len() {
        let mut request = good.clone();
        let entity = &mut request["entities"][at];
        if entity["attrs"].as_object().is_some_and(|attrs| !attrs.is_empty()) {
            entity["attrs"] = json!({});
            assert!(set.replay(&request).is_err(), "{request}");
        }
    }
}

#[test]
fn replay_under_another_set_says_what_that_set_says() {
    let args = json!({});
    let request = set(PERMIT).decide(&act("stdio:fs#x", &args)).request;
    let strict = set("@id(\"no\") forbid (principal, action, resource);");
    assert_eq!(strict.replay(&request).unwrap().determining, ["no"]);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(Value::from),
        Just(json!("/srv/secret/../x")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(keys(), inner, 0..4).prop_map(|m| m.into_iter().collect()),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,6}",
        1 => any::<String>(),
        2 => proptest::sample::select(vec!["path", "paths", "norm", "count", "__entity", "__extn", "__expr", "uid"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the act, its record decides the same again, in a set loaded anew from its files.
    #[test]
    fn every_decision_replays(
        args in proptest::collection::btree_map(keys(), values(), 0..6),
        names in proptest::array::uniform6(any::<String>()),
        depth in 0_u32..4,
        times in proptest::array::uniform2(0_u64..260_000_000_000_000),
        purpose in proptest::option::of(any::<String>()),
        holders in proptest::collection::vec(any::<String>(), 0..3),
        tool in "(stdio:(edr|fs)#[a-c]|[a-z:#*]{0,6})",
        definition in proptest::option::of(Just(PIN)),
        root in proptest::option::of(Just("/srv/root")),
    ) {
        let policies = format!(
            "{PERMIT}
            @id(\"secret\") forbid (principal, action, resource)
                when {{ context.args.hasTag(\"path.norm\") && context.args.getTag(\"path.norm\") like \"/srv/*\" }};
            @id(\"class\") forbid (principal, action in Deeds::Action::\"act\", resource in Deeds::Class::\"external\")
                when {{ context.args.hasTag(\"a\") }};
            @id(\"late\") forbid (principal, action, resource) when {{ context.run.now > context.delegation.expires }};
            @id(\"errs\") forbid (principal, action, resource)
                when {{ context.delegation.depth + 9223372036854775805 > 9223372036854775806 }};
            @id(\"ob\") @obligation(\"x\") permit (principal, action, resource)
                when {{ context.delegation has purpose }};"
        );
        let classes = format!(
            "[[tool]]\nuri = \"stdio:edr#a\"\nclasses = [\"read\", \"untrusted\"]\ndefinition = \"{PIN}\"\n\
             [[tool]]\nuri = \"stdio:edr#*\"\nclasses = [\"read\"]\n"
        );
        let set = set_with(&policies, &classes);
        let again = PolicySet::from_files(set.files().to_vec()).unwrap();
        let args: Value = args.into_iter().collect();
        let mut act = act(&tool, &args);
        let [iss, sub, kind, agent, run, leaf] = &names;
        act.principal = RequestPrincipal { iss, sub, kind, ..act.principal };
        act.agent.id = agent;
        act.delegation.leaf = leaf;
        act.delegation.depth = depth;
        act.delegation.purpose = purpose.as_deref();
        act.delegation.holders = &holders;
        act.delegation.expires_ms = times[0];
        act.now_ms = times[1];
        act.run = run;
        act.definition = definition;
        act.root = root;
        let decision = set.decide(&act);
        prop_assert_eq!(decision.verdict == Verdict::Deny, decision.reason.is_some());
        let recorded: Value = serde_json::from_str(&decision.request.to_string()).unwrap();
        prop_assert_eq!(again.replay(&recorded).unwrap(), decision);
    }
}
