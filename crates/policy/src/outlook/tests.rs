//! Outlooks: what is said of which policies, and that no real decision contradicts it.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{Outlook, OutlookRequest, Prospect, stand_in_act};
use crate::{
    ActionRequest, PolicyFile, PolicySet, RequestAgent, RequestDelegation, RequestPrincipal, Verdict,
};

const PIN: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";
const CLASSES: &str = r#"
    [[tool]]
    uri = "stdio:fs#read"
    classes = ["read"]
    [[tool]]
    uri = "stdio:fs#pinned"
    classes = ["read"]
    definition = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    [[tool]]
    uri = "stdio:mail#*"
    classes = ["write", "external"]
"#;

fn set(policies: &str) -> PolicySet {
    let file = |path: &str, text: &str| PolicyFile { path: path.to_owned(), text: text.to_owned() };
    PolicySet::from_files(vec![file("a.cedar", policies), file("classes.toml", CLASSES)]).unwrap()
}

fn asked<'a>(tool: &'a str, holders: &'a [String]) -> OutlookRequest<'a> {
    OutlookRequest {
        principal: RequestPrincipal {
            kind: "human",
            iss: "deeds://probe",
            sub: "ana",
            assurance: "inferred",
            grade: "issuer-only",
        },
        agent: RequestAgent { id: "probe", key: "thumbprint", assurance: "inferred" },
        operation: "tools/call",
        tool,
        definition: None,
        delegation: RequestDelegation {
            leaf: "sha256:leaf",
            depth: 1,
            max_depth: 3,
            tools: &[],
            holders,
            expires_ms: 1_800_000_000_000,
            txn: "probe",
            purpose: Some("review"),
        },
    }
}

fn outlook(policies: &str, tool: &str) -> (Prospect, Vec<String>) {
    let holders = ["person".to_owned(), "probe".to_owned()];
    let Outlook { prospect, policies } = set(policies).outlook(&asked(tool, &holders));
    (prospect, policies)
}

/// A permit for all and one forbid with this condition, asked about `stdio:fs#read`.
fn forbidding(condition: &str) -> Prospect {
    let forbid = format!("{PERMIT}@id(\"f\") forbid (principal, action, resource) {condition};");
    let (prospect, policies) = outlook(&forbid, "stdio:fs#read");
    let named = match prospect {
        Prospect::Always => "all",
        Prospect::Never | Prospect::Conditional => "f",
    };
    assert_eq!(policies, [named], "{condition}");
    prospect
}

#[test]
fn the_starter_set_allows_what_is_delegated_always() {
    let holders = [];
    let set = PolicySet::starter().unwrap();
    for tool in ["stdio:fs#read", "stdio:fs#*"] {
        let mut of = asked(tool, &holders);
        let always = Outlook { prospect: Prospect::Always, policies: vec!["starter.scope".to_owned()] };
        assert_eq!(set.outlook(&of), always);
        of.delegation.depth = 4;
        let never = Outlook { prospect: Prospect::Never, policies: vec!["floor.depth".to_owned()] };
        assert_eq!(set.outlook(&of), never);
    }
    for tool in ["stdio:fs", "#read", "stdio:fs#"] {
        assert_eq!(set.outlook(&asked(tool, &holders)).prospect, Prospect::Never, "{tool}");
    }
    let mut of = asked("stdio:fs#read", &holders);
    of.operation = "tools/list";
    assert_eq!(set.outlook(&of), Outlook { prospect: Prospect::Never, policies: Vec::new() });
}

#[test]
fn what_is_settled_is_answered_and_what_the_call_decides_is_not() {
    use Prospect::{Always, Conditional, Never};
    let cases = [
        ("", Never),
        ("when { false }", Always),
        ("when { principal.assurance == \"inferred\" }", Never),
        ("when { principal.on_behalf_of.kind == \"service\" }", Always),
        ("when { principal.on_behalf_of.kind == \"human\" } unless { resource.classified }", Always),
        ("when { resource.classified }", Never),
        ("when { resource in Deeds::Class::\"external\" }", Always),
        ("when { resource in Deeds::Class::\"read\" }", Never),
        ("when { resource == Deeds::Tool::\"stdio:fs#read\" }", Never),
        ("when { context.delegation.depth > 0 }", Never),
        ("when { context.delegation.depth > 1 }", Always),
        ("when { context.delegation.holders.contains(\"person\") }", Never),
        ("when { context.delegation.holders.contains(\"other\") }", Always),
        ("when { context.delegation has purpose && context.delegation.purpose == \"review\" }", Never),
        ("when { context.delegation has purpose && context.delegation.purpose == \"break-glass\" }", Always),
        ("when { context.run.txn == \"probe\" }", Never),
        ("unless { context.run.now < context.delegation.expires }", Always),
        ("when { context.run.now >= context.delegation.expires }", Always),
        ("when { context.delegation.expires > context.run.now }", Never),
        ("when { context.delegation.expires <= context.run.now }", Always),
        ("when { context has args }", Never),
        // The call decides.
        ("when { context.args.hasTag(\"x\") }", Conditional),
        ("when { Deeds::Args::\"call\".hasTag(\"x\") }", Conditional),
        ("when { (if true then context else context).args.hasTag(\"x\") }", Conditional),
        ("when { context.run.id == \"run\" }", Conditional),
        ("when { context.run == context.run }", Conditional),
        ("when { context.run.now < datetime(\"2030-01-01\") }", Conditional),
        ("when { context.delegation.expires < datetime(\"2030-01-01\") }", Never),
        ("when { context.run.now.toTime() < duration(\"8h\") }", Conditional),
        // Settled parts around what the call decides.
        ("when { false && context.args.hasTag(\"x\") }", Always),
        ("when { context.args.hasTag(\"x\") && false }", Conditional),
        ("when { true || context.args.hasTag(\"x\") }", Never),
        ("when { context.args.hasTag(\"x\") || true }", Never),
        ("when { if resource.classified then false else context.args.hasTag(\"x\") }", Always),
        ("when { if context.args.hasTag(\"x\") then true else true }", Never),
        ("when { !(resource.classified && context.delegation.depth == 1) }", Always),
        ("when { context.delegation.depth == 2 } when { context.args.hasTag(\"x\") }", Always),
        ("unless { context.delegation.depth == 1 } unless { context.args.hasTag(\"x\") }", Always),
        // An error denies as well, so it settles the answer when it is certain.
        ("when { context.delegation.depth + 9223372036854775807 > 0 }", Never),
        ("when { Deeds::Principal::\"nobody\".kind == \"human\" }", Never),
        (
            "when { context.args.hasTag(\"x\") && context.delegation.depth + 9223372036854775807 > 0 }",
            Conditional,
        ),
    ];
    for (condition, expected) in cases {
        assert_eq!(forbidding(condition), expected, "{condition}");
    }
}

#[test]
fn scopes_are_answered() {
    let tool = "stdio:fs#read";
    let permit = |scope: &str| outlook(&format!("@id(\"p\") permit ({scope});"), tool).0;
    for scope in [
        "principal, action, resource",
        "principal is Deeds::Agent, action == Deeds::Action::\"tools/call\", resource is Deeds::Tool",
        "principal == Deeds::Agent::\"probe\", action in Deeds::Action::\"act\", resource == Deeds::Tool::\"stdio:fs#read\"",
        "principal, action, resource in Deeds::Server::\"stdio:fs\"",
        "principal, action, resource is Deeds::Tool in Deeds::Class::\"read\"",
    ] {
        assert_eq!(permit(scope), Prospect::Always, "{scope}");
    }
    for scope in [
        "principal == Deeds::Agent::\"other\", action, resource",
        "principal, action, resource == Deeds::Tool::\"stdio:fs#write\"",
        "principal, action, resource in Deeds::Server::\"stdio:mail\"",
        "principal, action, resource in Deeds::Class::\"write\"",
    ] {
        assert_eq!(permit(scope), Prospect::Never, "{scope}");
    }
}

#[test]
fn a_tool_whose_definition_is_not_known_may_have_any() {
    let holders = [];
    let set = set(&format!(
        "{PERMIT}@id(\"f\") forbid (principal, action, resource in Deeds::Class::\"external\");
         @id(\"d\") forbid (principal, action, resource == Deeds::Tool::\"stdio:fs#read\")
           when {{ resource.definition == \"sha256:x\" }};"
    ));
    let with = |tool, definition| {
        let of = OutlookRequest { definition, ..asked(tool, &holders) };
        let Outlook { prospect, policies } = set.outlook(&of);
        (prospect, policies.join(","))
    };
    assert_eq!(with("stdio:fs#pinned", Some(PIN)), (Prospect::Always, "all".to_owned()));
    assert_eq!(with("stdio:fs#pinned", Some("sha256:other")), (Prospect::Never, "f".to_owned()));
    assert_eq!(with("stdio:fs#pinned", None), (Prospect::Conditional, "all,f".to_owned()));
    assert_eq!(with("stdio:fs#read", Some("sha256:y")), (Prospect::Always, "all".to_owned()));
    assert_eq!(with("stdio:fs#read", Some("sha256:x")), (Prospect::Never, "d".to_owned()));
    assert_eq!(with("stdio:fs#read", None), (Prospect::Conditional, "d".to_owned()));
}

#[test]
fn a_pinned_tool_is_foreseen_as_it_is_pinned_or_not_at_all() {
    let classes = CLASSES
        .replace(&format!("definition = \"{PIN}\""), &format!("definition = \"{PIN}\"\npinned = true"));
    assert_ne!(classes, CLASSES);
    let file = |path: &str, text: &str| PolicyFile { path: path.to_owned(), text: text.to_owned() };
    let set = PolicySet::from_files(vec![file("a.cedar", PERMIT), file("classes.toml", &classes)]).unwrap();
    let holders = [];
    let with = |definition| {
        let of = OutlookRequest { definition, ..asked("stdio:fs#pinned", &holders) };
        let Outlook { prospect, policies } = set.outlook(&of);
        (prospect, policies.join(","))
    };
    assert_eq!(with(Some(PIN)), (Prospect::Always, "all".to_owned()));
    assert_eq!(with(Some("sha256:other")), (Prospect::Never, String::new()));
    assert_eq!(with(None), (Prospect::Conditional, "all".to_owned()));
}

#[test]
fn what_a_server_asks_for_is_foreseen_by_its_own_action() {
    let holders = [];
    let set = set("@id(\"act\") permit (principal, action in Deeds::Action::\"act\", resource);
        @id(\"roots\") permit (principal, action == Deeds::Action::\"roots/list\", resource);");
    let with = |operation| {
        let tool = format!("stdio:fs#{operation}");
        set.outlook(&OutlookRequest { operation, ..asked(&tool, &holders) })
    };
    assert_eq!(with("resources/read").policies, ["act"]);
    assert_eq!(with("roots/list").policies, ["roots"]);
    assert_eq!(with("sampling/createMessage").prospect, Prospect::Never);
    assert_eq!(with("unheard/of").prospect, Prospect::Never);
}

#[test]
fn all_tools_of_a_server_are_answered_together() {
    let forbid = |scope: &str| {
        outlook(&format!("{PERMIT}@id(\"f\") forbid (principal, action, {scope};"), "stdio:fs#*").0
    };
    for (scope, expected) in [
        ("resource in Deeds::Server::\"stdio:fs\")", Prospect::Never),
        ("resource in Deeds::Server::\"stdio:mail\")", Prospect::Always),
        ("resource is Deeds::Tool)", Prospect::Never),
        ("resource == Deeds::Tool::\"stdio:fs#write\")", Prospect::Conditional),
        ("resource == Deeds::Tool::\"stdio:mail#write\")", Prospect::Always),
        ("resource == Deeds::Tool::\"stdio:fs#x\")", Prospect::Conditional),
        ("resource in Deeds::Class::\"external\")", Prospect::Conditional),
        ("resource) when { resource.classified }", Prospect::Conditional),
        ("resource) when { resource == Deeds::Tool::\"stdio:fs#x\" }", Prospect::Conditional),
        ("resource) when { Deeds::Tool::\"stdio:fs#x\".classified }", Prospect::Conditional),
        (
            "resource in Deeds::Class::\"external\") when { principal.assurance == \"attested\" }",
            Prospect::Always,
        ),
    ] {
        assert_eq!(forbid(scope), expected, "{scope}");
    }
}

#[test]
fn obligations_and_other_permits_count() {
    let tool = "stdio:fs#read";
    let obliged = "@id(\"o\") @obligation(\"notify\") permit (principal, action, resource)";
    assert_eq!(outlook(&format!("{PERMIT}{obliged};"), tool), (Prospect::Never, vec!["o".to_owned()]));
    let sometimes = format!("{obliged} when {{ context.args.hasTag(\"x\") }};");
    assert_eq!(outlook(&format!("{PERMIT}{sometimes}"), tool), (Prospect::Conditional, vec!["o".to_owned()]));
    assert_eq!(outlook(&sometimes, tool), (Prospect::Never, vec!["o".to_owned()]));

    let permit = "@id(\"b\") permit (principal, action, resource) when { context.args.hasTag(\"x\") };";
    assert_eq!(outlook(permit, tool), (Prospect::Conditional, vec!["b".to_owned()]));
    let none =
        "@id(\"b\") permit (principal, action, resource) when { principal.assurance == \"attested\" };";
    assert_eq!(outlook(none, tool), (Prospect::Never, Vec::new()));
}

#[test]
fn a_condition_nested_past_the_limit_counts_as_open() {
    let nested = |n: usize| format!("when {{ {}true{} }}", "(true && ".repeat(n), ")".repeat(n));
    let shallow = (crate::limits::FORESEEN_DEPTH_MAX - 4) / 2;
    // Brackets reach only half as far as the limit; a chain to the left has none.
    assert_eq!(forbidding(&nested(60)), Prospect::Never);
    let chain = |n: usize| format!("when {{ {}true }}", "true && ".repeat(n));
    assert_eq!(forbidding(&chain(shallow)), Prospect::Never);
    assert_eq!(forbidding(&chain(shallow + 1)), Prospect::Conditional);
}

fn conditions() -> impl Strategy<Value = String> {
    let atom = select(vec![
        "true",
        "false",
        "context.args.hasTag(\"x\")",
        "(context.args.hasTag(\"x\") && context.args.getTag(\"x\") == \"1\")",
        "context.args.hasTag(\"path.norm\")",
        "context.run.now < context.delegation.expires",
        "context.run.now > datetime(\"2026-06-01\")",
        "context.run.id == \"run\"",
        "context.run.txn == \"probe\"",
        "context.delegation.depth + 9223372036854775806 > 0",
        "context.delegation.depth <= context.delegation.max_depth",
        "context.delegation.holders.contains(\"person\")",
        "context.delegation has purpose",
        "principal.on_behalf_of.kind == \"human\"",
        "Deeds::Principal::\"nobody\".kind == \"human\"",
        "Deeds::Tool::\"stdio:fs#read\".classified",
        "Deeds::Args::\"call\".hasTag(\"x\")",
        "resource.classified",
        "resource.name == \"read\"",
        "resource.definition == \"unknown\"",
        "resource.class_source == \"no-row\"",
        "resource in Deeds::Class::\"external\"",
        "resource in Deeds::Server::\"stdio:fs\"",
    ]);
    atom.prop_map(str::to_owned).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

/// Policies without ids.
fn policies() -> impl Strategy<Value = Vec<String>> {
    let resource = select(vec![
        "resource",
        "resource is Deeds::Tool",
        "resource == Deeds::Tool::\"stdio:fs#read\"",
        "resource in Deeds::Server::\"stdio:fs\"",
        "resource in Deeds::Class::\"read\"",
        "resource is Deeds::Tool in Deeds::Class::\"external\"",
    ]);
    let head = prop_oneof![
        7 => Just("permit"), 2 => Just("forbid"), 1 => Just("@obligation(\"x\") permit"),
    ];
    let principal = prop_oneof![5 => Just("principal"), 1 => Just("principal == Deeds::Agent::\"other\"")];
    let clause = prop_oneof![
        3 => Just(String::new()),
        1 => conditions().prop_map(|c| format!("when {{ {c} }}")),
        1 => conditions().prop_map(|c| format!("unless {{ {c} }}")),
        1 => (conditions(), conditions()).prop_map(|(c, d)| format!("when {{ {c} }} unless {{ {d} }}")),
    ];
    let policy = (head, principal, resource, clause).prop_map(|(head, principal, resource, clause)| {
        format!("{head} ({principal}, action, {resource}) {clause};")
    });
    proptest::collection::vec(policy, 1..4)
}

#[derive(Debug, Clone)]
struct Call {
    args: Value,
    run: &'static str,
    now_ms: u64,
    tool: &'static str,
    definition: Option<&'static str>,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let args = select(vec![
        json!({}),
        json!({ "x": 1 }),
        json!({ "x": "2", "path": "/srv" }),
        json!({ "path": "/srv" }),
    ]);
    let now = select(vec![0, 1_770_000_000_000, 1_790_000_000_000, 1_799_999_999_999]);
    let tool = select(vec!["read", "pinned", "write", "x"]);
    let definition = select(vec![None, Some(PIN), Some("sha256:other")]);
    let call = (args, select(vec!["run", "other"]), now, tool, definition)
        .prop_map(|(args, run, now_ms, tool, definition)| Call { args, run, now_ms, tool, definition });
    proptest::collection::vec(call, 12)
}

/// What is asked: a tool or all of them, its definition, the delegation's depth and purpose, its holders.
type Asked = (Option<&'static str>, &'static str, Option<Option<&'static str>>, u32, bool, bool);

fn questions() -> impl Strategy<Value = Asked> {
    (
        proptest::option::weighted(0.8, select(vec!["read", "pinned", "write"])),
        select(vec!["stdio:fs", "stdio:mail"]),
        proptest::option::of(select(vec![None, Some(PIN), Some("sha256:other")])),
        0_u32..3,
        any::<bool>(),
        any::<bool>(),
    )
}

/// Puts the calls to the set and holds the verdicts against the outlook. An outlook on one tool is held against calls
/// of that tool; with a known definition, against calls at that definition.
fn contradiction(set: &PolicySet, of: &Asked, calls: &[Call]) -> Result<Prospect, String> {
    let (tool, server, definition, depth, purpose, person) = of;
    let uri = format!("{server}#{}", tool.unwrap_or("*"));
    let holders = if *person { vec!["person".to_owned(), "probe".to_owned()] } else { Vec::new() };
    let mut question = asked(&uri, &holders);
    question.definition = definition.flatten();
    question.delegation.depth = *depth;
    question.delegation.max_depth = 1;
    question.delegation.purpose = purpose.then_some("review");
    let outlook = set.outlook(&question);
    for call in calls {
        let uri = format!("{server}#{}", tool.unwrap_or(call.tool));
        let act = ActionRequest {
            run: call.run,
            now_ms: call.now_ms,
            definition: question.definition.or(call.definition),
            ..stand_in_act(&question, &uri, &call.args)
        };
        let decision = set.decide(&act);
        let wrong = match outlook.prospect {
            Prospect::Always => decision.verdict == Verdict::Deny,
            Prospect::Never => decision.verdict == Verdict::Allow,
            Prospect::Conditional => false,
        };
        if wrong {
            return Err(format!("{outlook:?}, yet {:?} for {call:?}", decision.reason));
        }
    }
    Ok(outlook.prospect)
}

/// The tests above show that the answers are given; this one, that none is ever wrong, and that the three are all
/// put to the test.
#[test]
fn no_decision_contradicts_its_outlook() {
    let (sets, questions_each) = (60, 8);
    let seen = std::cell::Cell::new([0_u32; 3]);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(sets) });
    runner
        .run(
            &(policies(), proptest::collection::vec((questions(), calls()), questions_each)),
            |(texts, asked)| {
                let named = (0..).zip(&texts).map(|(n, text)| format!("@id(\"p{n}\") {text}\n"));
                let set = set(&named.collect::<String>());
                let mut counts = seen.get();
                for (question, calls) in &asked {
                    let prospect = contradiction(&set, question, calls).map_err(TestCaseError::fail)?;
                    counts[prospect as usize] += 1;
                }
                seen.set(counts);
                Ok(())
            },
        )
        .unwrap();
    assert!(seen.get().iter().all(|count| *count >= 10), "{:?}", seen.get());
}
