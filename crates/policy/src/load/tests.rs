//! Loading: ids, validation with places, warnings, schemas, limits.

use crate::error::PolicyError;
use crate::files::{BUILT_IN_SCHEMA, PolicyFile, SCHEMA_FILE};
use crate::fit::OPERATIONS;
use crate::limits::{POLICIES_MAX, POLICY_ID_MAX};
use crate::set::{Effect, PolicySet};

const PERMIT: &str = "@id(\"all\")\npermit (principal, action in Deeds::Action::\"act\", resource);\n";

fn file(path: &str, text: &str) -> PolicyFile {
    PolicyFile { path: path.to_owned(), text: text.to_owned() }
}

fn load(files: &[(&str, &str)]) -> PolicySet {
    PolicySet::from_files(files.iter().map(|(path, text)| file(path, text)).collect()).unwrap()
}

fn refused(files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(path, text)| file(path, text)).collect();
    PolicySet::from_files(files).unwrap_err().to_string()
}

fn warnings(text: &str) -> Vec<String> {
    load(&[("a.cedar", text)]).warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn policies_are_named_by_their_ids_across_files() {
    let set = load(&[
        ("b.cedar", "\n\n@id(\"z\") forbid (principal, action, resource) when { !resource.classified };"),
        ("a.cedar", &format!("{PERMIT}\n  @id(\"floor/x:1.2\") forbid (principal, action, resource);")),
    ]);
    let named: Vec<_> =
        set.policies().iter().map(|p| (p.id.as_str(), p.effect, p.file.as_str(), p.line)).collect();
    assert_eq!(
        named,
        [
            ("all", Effect::Permit, "a.cedar", 1),
            ("floor/x:1.2", Effect::Forbid, "a.cedar", 4),
            ("z", Effect::Forbid, "b.cedar", 3),
        ]
    );
    assert!(set.warnings().is_empty(), "{:?}", set.warnings());
}

#[test]
fn a_missing_or_unusable_id_is_refused_with_its_place() {
    let text = refused(&[("a.cedar", &format!("{PERMIT}\n  permit (principal, action, resource);"))]);
    assert!(text.contains("a.cedar:4:3: the policy has no `@id("), "{text}");
    for id in ["", "a b", "a,b", "é", "a\\n", &"i".repeat(POLICY_ID_MAX + 1)] {
        let text = refused(&[("a.cedar", &format!("@id(\"{id}\") permit (principal, action, resource);"))]);
        assert!(text.contains("is not usable"), "{text}");
    }
    let longest = "i".repeat(POLICY_ID_MAX);
    load(&[("a.cedar", &format!("@id(\"{longest}\") permit (principal, action, resource);"))]);
}

#[test]
fn a_duplicate_id_is_refused_within_and_across_files() {
    let text = refused(&[("a.cedar", PERMIT), ("b.cedar", &format!("\n{PERMIT}"))]);
    assert!(text.contains("b.cedar:2:1: `@id(\"all\")` is taken by a.cedar:1; choose another"), "{text}");
    let text = refused(&[("a.cedar", &format!("{PERMIT}{PERMIT}"))]);
    assert!(text.contains("a.cedar:3:1: `@id(\"all\")` is taken by a.cedar:1"), "{text}");
}

#[test]
fn a_duplicate_annotation_is_refused_by_the_parser() {
    let text = "@id(\"a\")\n@obligation(\"x\")\n@obligation(\"y\")\npermit (principal, action, resource);";
    let text = refused(&[("a.cedar", text)]);
    assert!(text.contains("a.cedar:3:1: `@obligation` stands here a second time"), "{text}");
}

#[test]
fn templates_are_refused() {
    let text = refused(&[("a.cedar", "@id(\"t\")\npermit (principal == ?principal, action, resource);")]);
    assert!(text.contains("a.cedar:1:1: this is a template"), "{text}");
}

#[test]
fn every_syntax_and_validation_error_has_file_line_and_column() {
    let text = refused(&[
        ("a.cedar", "permit (principal"),
        ("b.cedar", "@id(\"b\")\nforbit (principal, action, resource);"),
    ]);
    assert!(
        text.contains("2 problems to mend:\n  a.cedar:1:18: ") && text.contains("\n  b.cedar:2:1: "),
        "{text}"
    );

    let b = "// a comment\n@id(\"typo\")\nforbid (principal, action, resource)\n  when { resource.sensitivty > 2 };\n\
             @id(\"class\")\nforbid (principal, action, resource in Deeds::Class::\"extrenal\");";
    let text = refused(&[("a.cedar", PERMIT), ("b.cedar", b)]);
    assert!(text.contains("2 problems"), "{text}");
    assert!(text.contains("b.cedar:4:10: ") && text.contains("`sensitivty`"), "{text}");
    assert!(text.contains("b.cedar:6:40: ") && text.contains("extrenal"), "{text}");
}

#[test]
fn strict_validation_refuses_what_could_err_or_never_match() {
    let cases = [
        ("context.args.getTag(\"path\") == \"/x\"", "hasTag"),
        ("context.delegation.purpose == \"x\"", "purpose"),
        ("context.arguments.path == \"x\"", "arguments"),
        ("principal.sub == \"x\"", "sub"),
        ("context.delegation.depth < \"2\"", "this is a text, where a number must stand"),
        ("decimal(context.run.id).lessThan(decimal(\"1.0\"))", "written out in the brackets"),
    ];
    for (condition, expected) in cases {
        let policy = format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};");
        let text = refused(&[("a.cedar", &policy)]);
        assert!(text.contains("a.cedar:1:") && text.contains(expected), "{text}");
    }
    let text = refused(&[(
        "a.cedar",
        "@id(\"x\") permit (principal, action == Deeds::Action::\"tool/call\", resource);",
    )]);
    assert!(text.contains("tool/call"), "{text}");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let head = "permit (principal, action in Deeds::Action::\"act\", resource)";
    let text = format!("@id(\"a\") @obligations(\"notify:x\") {head};");
    assert_eq!(
        warnings(&text),
        [
            "a.cedar:1:1: annotation `@obligations` has no effect; known are `@id`, `@obligation`, `@description`"
        ]
    );
    let text = format!("@id(\"a\") @obligation(\"notify:x, redact\") {head};");
    let found = warnings(&text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.cedar:1:1: obligation `notify:x` is not known here"), "{found:?}");
    let found = warnings(&format!("\n@id(\"a\") {head} when {{ false }};"));
    assert_eq!(found, ["a.cedar:2:1: this rule never applies, because nothing that can happen fits it"]);
}

#[test]
fn a_permit_for_no_action_in_particular_is_a_warning() {
    let rules = "@id(\"wide\") // action\n@description(\"action\") permit (principal, action, resource);\n\
                 @id(\"no\") forbid (principal, action, resource);\n\
                 @id(\"by-name\") permit (principal, action == Deeds::Action::\"roots/list\", resource);\n\
                 @id(\"group\") permit (principal, action in [Deeds::Action::\"asked-by-server\"], resource);";
    let found = load(&[("a.cedar", rules)]).warnings().to_vec();
    assert_eq!(found.len(), 1, "{found:?}");
    let place = (found[0].line, found[0].column, found[0].end_line, found[0].end_column);
    assert_eq!(place, (2, 43, 2, 49));
    let text = "`wide` permits what a server asks for too (sampling, elicitation, roots), because it names no action";
    assert_eq!(found[0].message, text);
    assert!(found[0].help.as_ref().unwrap().contains("action in Deeds::Action::\"act\""));
}

#[test]
fn one_mistake_is_one_finding_with_its_extent() {
    let text =
        "@id(\"a\") permit (principal, action, resource) when { context.delegation.purpose == \"x\" };";
    let PolicyError::Refused(found) = PolicySet::from_files(vec![file("a.cedar", text)]).unwrap_err() else {
        panic!("not refused");
    };
    assert_eq!(found.len(), 1, "{found:?}");
    let meant: String = text.chars().skip(found[0].column as usize - 1).collect();
    assert!(meant.starts_with("context.delegation.purpose"), "{meant}");
    assert_eq!(found[0].end_column - found[0].column, 26);
    assert_eq!((found[0].line, found[0].end_line), (1, 1));
    let json = serde_json::to_value(&found[0]).unwrap();
    let members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["file", "line", "column", "end_line", "end_column", "message", "help"]);
}

#[test]
fn a_schema_that_lacks_what_requests_are_made_of_is_refused() {
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, "namespace Deeds {\n  entity Agent\n}")]);
    assert!(text.contains("schema.cedarschema:3:1: "), "{text}");

    let without_grade = BUILT_IN_SCHEMA.replace("    grade: String,", "");
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &without_grade)]);
    assert!(
        text.contains("schema.cedarschema: the schema does not declare what every request is made of"),
        "{text}"
    );
    assert!(text.contains("grade"), "{text}");

    let without_group = BUILT_IN_SCHEMA.replace("in [Action::\"act\"] appliesTo", "appliesTo");
    let text = refused(&[
        ("a.cedar", "@id(\"no\") forbid (principal, action, resource);"),
        (SCHEMA_FILE, &without_group),
    ]);
    assert!(text.contains("Deeds::Action::\"act\"") && text.contains("does not forbid"), "{text}");

    let without_class = BUILT_IN_SCHEMA.replace("entity Tool in [Server, Class]", "entity Tool in [Server]");
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &without_class)]);
    assert!(text.contains("schema.cedarschema: the schema does not declare"), "{text}");

    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, "entity Agent;")]);
    assert!(text.contains("schema.cedarschema: the schema does not declare"), "{text}");
}

#[test]
fn a_schema_that_lacks_an_action_or_a_class_is_told_which() {
    for (operation, group) in OPERATIONS {
        let line = format!("    \"{operation}\"");
        assert_eq!(BUILT_IN_SCHEMA.matches(&line).count(), 1, "{operation}");
        let without = BUILT_IN_SCHEMA.replace(&line, "    \"something/else\"");
        let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &without)]);
        let missing = format!(
            "the action `Deeds::Action::\"{operation}\"` is missing; declare it in the group `Deeds::Action::\"{group}\"`"
        );
        assert!(text.contains("1 problem") && text.contains(&missing), "{text}");
    }
    let older = BUILT_IN_SCHEMA.replace("\"destructive\", ", "").replace("    \"command/run\"", "    \"x\"");
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &older)]);
    assert!(
        text.contains("2 problems") && text.contains("the class `Deeds::Class::\"destructive\"` is missing"),
        "{text}"
    );
}

#[test]
fn what_a_server_asks_for_must_not_be_among_what_an_agent_does() {
    let both = BUILT_IN_SCHEMA.replace(
        "in [Action::\"asked-by-server\"] appliesTo",
        "in [Action::\"asked-by-server\", Action::\"act\"] appliesTo",
    );
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &both)]);
    assert!(text.contains("3 problems") && text.contains("take it out of that"), "{text}");
    assert!(
        text.contains("`Deeds::Action::\"roots/list\"` is in the group `Deeds::Action::\"act\"`"),
        "{text}"
    );
}

#[test]
fn a_schema_that_declares_more_is_fine() {
    let more = BUILT_IN_SCHEMA
        .replace("action \"act\";", "action \"act\";\n  action \"calls\" in [Action::\"act\"];");
    let more = more.replace("in [Action::\"act\"] appliesTo", "in [Action::\"calls\"] appliesTo");
    assert_ne!(more, BUILT_IN_SCHEMA);
    let own = load(&[("a.cedar", PERMIT), (SCHEMA_FILE, &more)]);
    assert_ne!(own.digest(), load(&[("a.cedar", PERMIT)]).digest());
}

#[test]
fn all_kinds_of_problems_come_together() {
    let classes = "[[tool]]\nuri = \"x\"\nclasses = [\"read\"]";
    let text = refused(&[
        ("a.cedar", "permit (principal, action, resource);"),
        ("classes.toml", classes),
        (SCHEMA_FILE, "entity"),
    ]);
    assert!(text.contains("3 problems"), "{text}");
}

#[test]
fn policies_are_limited() {
    let many = |n: usize| -> String {
        (0..n)
            .map(|i| format!("@id(\"p{i}\") permit (principal, action, resource);\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(load(&[("a.cedar", &many(POLICIES_MAX))]).policies().len(), POLICIES_MAX);
    let text = refused(&[("a.cedar", &many(POLICIES_MAX + 1))]);
    assert!(text.contains("there are 1001 policies, more than 1000"), "{text}");
}

/// Conditions as deep as `n` repetitions make them, around or after one boolean.
fn deep(n: usize, first: &str) -> Vec<String> {
    vec![
        format!("{}{first}{}", "(".repeat(n), ")".repeat(n)),
        format!("{}{first}{}.isEmpty()", "[".repeat(n), "]".repeat(n)),
        format!("{}{first}{} has a", "{a: ".repeat(n), "}".repeat(n)),
        format!("{}{first}", "if context.run.id == \"a\" then true else ".repeat(n)),
        format!("{}{first}{}", "if ".repeat(n), " then true else true".repeat(n)),
        format!("{first}{}", " && true".repeat(n)),
        format!("{first}{}", " || (true)".repeat(n)),
        format!("{first} }}{} when {{ true", " when { true }".repeat(n)),
        format!("[{first}] == [true] && 1{} > 1", " + 1".repeat(n)),
        format!("[{first}] == [true] && context.run.now{} == context.run.now", ".toDate()".repeat(n)),
    ]
}

fn with_condition(condition: &str) -> Vec<PolicyFile> {
    vec![file("a.cedar", &format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};"))]
}

#[test]
fn an_expression_too_deep_is_refused_and_never_a_crash() {
    let refused_anyway = [
        "!".repeat(5_000) + "true",
        "-".repeat(5_000) + "1 == 1",
        "context".to_owned() + &".run".repeat(5_000),
    ];
    for condition in deep(2_500, "true").into_iter().chain(refused_anyway) {
        let text = PolicySet::from_files(with_condition(&condition)).unwrap_err().to_string();
        let place = "policy set refused, 1 problem to mend:\n  a.cedar:1:";
        assert!(text.starts_with(place) && text.contains(" is "), "{text}");
    }
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &format!("type A = {};", "{a: ".repeat(9_000)))]);
    assert!(text.contains("schema.cedarschema:1:") && text.contains("nested deeper"), "{text}");
    let text = refused(&[("a.cedar", PERMIT), (SCHEMA_FILE, &format!("type A = {};", "Set<".repeat(9_000)))]);
    assert!(text.contains("schema.cedarschema:1:") && text.contains("words and signs"), "{text}");
    let text = refused(&[("a.cedar", PERMIT), ("classes.toml", &format!("tool = {}", "[".repeat(9_000)))]);
    assert!(text.contains("classes.toml:1:"), "{text}");
}

/// The deepest that passes the scan is parsed, validated to its innermost part, decided and freed.
#[test]
fn the_deepest_expressions_allowed_are_handled_whole() {
    let args = serde_json::json!({});
    for kind in 0..deep(1, "").len() {
        let files = |n: usize, first: &str| with_condition(&deep(n, first).swap_remove(kind));
        let passes =
            |n: &usize| crate::nesting::check(&files(*n, "context.typo").swap_remove(0).text).is_ok();
        let deepest = (1..2_000).rev().find(passes).unwrap();
        assert!(deepest >= 60, "{kind}: {deepest}");
        let error = PolicySet::from_files(files(deepest, "context.typo")).unwrap_err().to_string();
        assert!(error.contains("`typo`"), "{kind}: {error}");
        let set = PolicySet::from_files(files(deepest, "true")).unwrap();
        let decision = set.decide(&crate::fit::probe(&args));
        assert!(decision.errors.is_empty() || decision.verdict == crate::Verdict::Deny);
    }
    let members = format!("context{}", ".run".repeat(900));
    assert!(PolicySet::from_files(with_condition(&members)).is_err());
}

#[test]
fn the_starter_set_is_clean_and_pins_its_schema() {
    let set = PolicySet::starter().unwrap();
    assert!(set.warnings().is_empty(), "{:?}", set.warnings());
    let ids: Vec<&str> = set.policies().iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["floor.depth", "floor.expired", "starter.scope"]);
    let again = PolicySet::from_files(set.files().to_vec()).unwrap();
    assert_eq!(again.digest(), set.digest());
    assert!(set.files().iter().any(|file| file.path == SCHEMA_FILE));
    assert_eq!(set.engine().sdk, "4.14.1");
    assert_eq!(set.engine().lang, "4.6.0");
}
