//! Every message that a newcomer is likely to meet, word for word.

use proptest::collection;
use proptest::prelude::*;
use proptest::sample::select;

use super::without_policy;
use crate::{PolicyError, PolicyFile, PolicySet};

fn said(text: &str) -> Vec<String> {
    let files = vec![PolicyFile { path: "a.cedar".into(), text: text.into() }];
    let place = |text: String| text.strip_prefix("a.cedar:").unwrap().to_owned();
    match PolicySet::from_files(files) {
        Err(PolicyError::Refused(findings)) => findings.iter().map(|f| place(f.to_string())).collect(),
        Err(other) => panic!("{other}"),
        Ok(set) => set.warnings().iter().map(|f| format!("warning {}", place(f.to_string()))).collect(),
    }
}

#[test]
fn mistakes_are_told_in_plain_words_with_their_place() {
    for (text, expected) in MISTAKES {
        assert_eq!(said(&format!("@id(\"x\") {text}")), *expected, "{text}");
    }
}

#[test]
fn the_policy_named_by_the_engine_is_left_out() {
    assert_eq!(without_policy("for policy `a`, it errs"), "it errs");
    assert_eq!(without_policy("for policy `a`: it errs"), "it errs");
    assert_eq!(without_policy("error parsing schema: it errs"), "it errs");
    assert_eq!(without_policy("for policy a"), "for policy a");
}

#[test]
fn a_schema_is_told_the_same_way() {
    let refused = |schema: &str| {
        let file = |path: &str, text: &str| PolicyFile { path: path.into(), text: text.into() };
        let permit = "@id(\"x\") forbid (principal, action, resource);";
        let files = vec![file("a.cedar", permit), file("schema.cedarschema", schema)];
        PolicySet::from_files(files).unwrap_err().to_string().lines().nth(1).unwrap().trim().to_owned()
    };
    for (schema, expected) in [
        ("entity", "schema.cedarschema:1:7: the file ends too soon; expected a name"),
        ("entity A = { x: Strin };", "schema.cedarschema:1:17: there is no type `Strin`"),
        ("entity A;\nentity A;", "schema.cedarschema:2:8: `A` is declared twice"),
        (
            "entity A\n}",
            "schema.cedarschema:2:1: `}` cannot stand here; expected `,`, `;`, `=`, `{`, `enum`, `in`, or `tags`",
        ),
    ] {
        assert_eq!(refused(schema), expected, "{schema}");
    }
}

fn words() -> impl Strategy<Value = String> {
    let word = select(vec![
        "@id(\"a\")",
        "permit",
        "forbid",
        "(",
        ")",
        "principal",
        "action",
        "resource",
        ",",
        ";",
        "when",
        "{",
        "}",
        "context",
        ".",
        "args",
        "getTag",
        "\"",
        "é",
        "\n",
        "==",
        "=",
        "&&",
        "'",
        "Deeds::Class::\"x\"",
        "in",
        "1",
        "[",
        "//",
        "\t",
        "unless",
    ]);
    collection::vec(word, 0..30).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_finding_lies_within_its_file(text in words()) {
        let files = vec![PolicyFile { path: "a.cedar".into(), text: text.clone() }];
        let found = match PolicySet::from_files(files) {
            Err(PolicyError::Refused(found)) => found,
            Err(other) => panic!("{other}"),
            Ok(set) => set.warnings().to_vec(),
        };
        let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
        let within = |line: u32, column: u32| {
            let length = lines.get(line as usize - 1).copied();
            column > 0 && length.is_some_and(|length| column as usize <= length + 1)
        };
        for finding in found.iter().filter(|finding| finding.line > 0) {
            prop_assert!(within(finding.line, finding.column), "{finding:?}");
            prop_assert!(within(finding.end_line, finding.end_column), "{finding:?}");
            let order = (finding.line, finding.column) <= (finding.end_line, finding.end_column);
            prop_assert!(order, "{finding:?}");
        }
    }
}

/// What is written after `@id("x") `, and what is said of it.
const MISTAKES: &[(&str, &[&str])] = &[
    ("permit (principal", &["1:27: the file ends too soon; go on with `,` or close with `)`"]),
    ("forbit (principal, action, resource);", &["1:10: `forbit` is neither `permit` nor `forbid`"]),
    (
        "permit (principal, action, resource)",
        &[
            "1:46: the file ends too soon; end the rule with `;`, or go on with `when { … }` or `unless { … }`",
        ],
    ),
    (
        r#"permit (principal, action, resource) when { context.run.id = "x" };"#,
        &["1:54: `=` cannot stand here; to compare, write `==`"],
    ),
    (
        "permit (principal, action, resource) when { context.run.id == 'x' };",
        &["1:72: `'` cannot stand here; a text stands in double quotes"],
    ),
    (
        r#"permit (principal, action, resource) when { context.run.id == "x };"#,
        &[r#"1:72: this text is not closed; close it with `"`"#],
    ),
    ("permit (principal, action, resource) when ( true );", &["1:52: `(` cannot stand here; expected `{`"]),
    (
        "permit (principal, action) ;",
        &[
            r#"1:35: the head of the rule lacks `resource`; a rule begins `permit (principal, action, resource)` or `forbid (principal, action, resource)`; each of the three can be narrowed, as in `resource == Deeds::Tool::"stdio:fs#write_file"`"#,
        ],
    ),
    (
        "permit (principal, action, resource, context);",
        &[
            r#"1:47: `context` does not belong in the head of a rule; a rule begins `permit (principal, action, resource)` or `forbid (principal, action, resource)`; each of the three can be narrowed, as in `resource == Deeds::Tool::"stdio:fs#write_file"`"#,
        ],
    ),
    (
        "permit (principal, resource, action);",
        &[
            r#"1:29: here stands `resource`, where `action` must; a rule begins `permit (principal, action, resource)` or `forbid (principal, action, resource)`; each of the three can be narrowed, as in `resource == Deeds::Tool::"stdio:fs#write_file"`"#,
            r#"1:39: here stands `action`, where `resource` must; a rule begins `permit (principal, action, resource)` or `forbid (principal, action, resource)`; each of the three can be narrowed, as in `resource == Deeds::Tool::"stdio:fs#write_file"`"#,
        ],
    ),
    (
        r#"permit (principal, action == "tools/call", resource);"#,
        &[
            r#"1:39: `"tools/call"` is only a text; write its type before it, as in `Deeds::Action::"tools/call"`"#,
        ],
    ),
    (
        r#"permit (principal, action == Action::"tools/call", resource);"#,
        &[r#"1:39: there is no action `Action::"tools/call"`; did you mean `Deeds::Action::"tools/call"`?"#],
    ),
    (
        r#"permit (principal, action == Deeds::Action::"tools/cal", resource);"#,
        &[
            r#"1:39: there is no action `Deeds::Action::"tools/cal"`; did you mean `Deeds::Action::"tools/call"`?"#,
        ],
    ),
    (
        r#"permit (principal, action == Deeds::Action::"tool/call", resource);"#,
        &[
            r#"1:39: there is no action `Deeds::Action::"tool/call"`; did you mean `Deeds::Action::"tools/call"`?"#,
        ],
    ),
    (
        r#"permit (principal, action, resource in Deeds::Class::"extrenal");"#,
        &[
            r#"1:49: there is no `Deeds::Class::"extrenal"`; there are "read", "write", "destructive", "external", "untrusted", "unclassified""#,
        ],
    ),
    (
        r#"permit (principal, action, resource in Deeds::Klass::"external");"#,
        &["1:49: there is no type `Deeds::Klass`; did you mean `Deeds::Class`?"],
    ),
    (
        "permit (principal, action, resource) when { resource.sensitivty > 2 };",
        &["1:54: `Deeds::Tool` has no `sensitivty`"],
    ),
    (
        r#"permit (principal, action, resource) when { context.args.getTag("path") == "x" };"#,
        &[
            r#"1:54: an act need not have the argument `"path"`, and then this fails; test for it first: `context.args.hasTag("path") && …`"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { context.args.path == "x" };"#,
        &[
            r#"1:54: `Deeds::Args` has no `path`; an argument is a tag: `context.args.hasTag("path") && context.args.getTag("path") == …`"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { context.delegation.purpose == "x" };"#,
        &[
            "1:54: `context` need not have `delegation.purpose`, and then this fails; test for it first: `context.delegation has purpose && …`",
        ],
    ),
    (
        r#"permit (principal, action, resource) when { context.delegation.depth < "2" };"#,
        &["1:81: this is a text, where a number must stand"],
    ),
    (
        r#"permit (principal, action, resource) when { context.delegation.depth == "2" };"#,
        &["1:54: a number is never equal to a text"],
    ),
    (
        "permit (principal, action, resource) when { context.run.id };",
        &["1:54: this is a text, where true or false must stand"],
    ),
    (
        r#"permit (principal, action, resource) when { context.run.id.startsWith("x") };"#,
        &[
            r#"1:54: there is no method `startsWith`; for texts there is `like "…*"`, for sets `.contains(…)`, for arguments `.hasTag(…)` and `.getTag(…)`"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { decimal(context.run.id).lessThan(decimal("1.0")) };"#,
        &["1:54: `decimal(…)`, `datetime(…)` and the like take a text that is written out in the brackets"],
    ),
    (
        r#"permit (principal, action, resource) when { context.run.now > datetime("2026-13-01") };"#,
        &[
            r#"1:72: failed to parse as a datetime value: `"2026-13-01"`; valid datetime strings start with `YYYY-MM-DD` and may optionally include `THH:MM:SS` plus `Z`, `.SSSZ`, or an offset like `+0700`"#,
        ],
    ),
    (
        "permit (principal, action, resource) when { true and false };",
        &[
            "1:59: `and` cannot stand here; go on with an operator, such as `&&`, `||`, `==`, `in`, `like` or `has`, or close the bracket",
        ],
    ),
    (
        "permit (principal, action, resource) when { not true };",
        &[
            "1:58: `true` cannot stand here; go on with an operator, such as `&&`, `||`, `==`, `in`, `like` or `has`, or close the bracket",
        ],
    ),
    (
        "permit (principal, action, resource) when { 1.5 > 1 };",
        &["1:56: `5` cannot stand here; expected a name"],
    ),
    (
        "permit (principal, action, resource) when { true && };",
        &[
            r#"1:62: `}` cannot stand here; a value stands here, such as `true`, `2`, `"text"`, `resource` or `context.run.id`; "not" is written `!`"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { "\d" == "d" };"#,
        &[r"1:54: `\d` means nothing in a text; a backslash is written `\\`"],
    ),
    (
        r#"permit (principal, action, resource) when { principal.sub == "x" };"#,
        &[
            "1:54: `Deeds::Agent` has no `sub`; the person or service behind the agent has it: `principal.on_behalf_of.sub`",
        ],
    ),
    (
        "permit (principal, action, resource) when { resource == Deeds::Tool::stdio };",
        &[
            "1:66: `Deeds::Tool::stdio` means nothing here; there are `principal`, `action`, `resource` and `context`; a text stands in double quotes",
        ],
    ),
    (
        r#"permit (principal == Deeds::Agent::"a", action, resource);
allow (principal, action, resource);
permit (p, action, resource);"#,
        &[
            "2:1: `allow` is neither `permit` nor `forbid`",
            r#"3:9: `p` does not belong in the head of a rule; a rule begins `permit (principal, action, resource)` or `forbid (principal, action, resource)`; each of the three can be narrowed, as in `resource == Deeds::Tool::"stdio:fs#write_file"`"#,
        ],
    ),
    (
        "@id(a) permit (principal, action, resource);",
        &["1:14: `a` cannot stand here; a text in double quotes stands here"],
    ),
    (
        r#"@id("a")
@id("b")
permit (principal, action, resource);"#,
        &[
            "1:10: `@id` stands here a second time; a rule has each annotation once; several obligations stand in one, with commas between",
            "2:1: `@id` stands here a second time; a rule has each annotation once; several obligations stand in one, with commas between",
        ],
    ),
    (
        r#"@id("a") permit (principal, action, resource) unless { false } when { true };"#,
        &[
            "1:10: `@id` stands here a second time; a rule has each annotation once; several obligations stand in one, with commas between",
        ],
    ),
    (
        "permit (principal, action, resource) when { false };",
        &[
            "warning 1:1: this rule never applies, because nothing that can happen fits it",
            r#"warning 1:29: `x` permits what a server asks for too (sampling, elicitation, roots), because it names no action; write `action in Deeds::Action::"act"` for what the agent does; permit what a server asks for by name"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { principal in Deeds::Server::"stdio:x" };"#,
        &[
            "warning 1:1: this rule never applies, because nothing that can happen fits it",
            r#"warning 1:29: `x` permits what a server asks for too (sampling, elicitation, roots), because it names no action; write `action in Deeds::Action::"act"` for what the agent does; permit what a server asks for by name"#,
        ],
    ),
    (
        "permit (principal is Agent, action, resource);",
        &["1:31: there is no type `Agent`; did you mean `Deeds::Agent`?"],
    ),
    (
        r#"permit (principal, action, resource) when { context.args.hasTag("раth") };"#,
        &[
            r#"warning 1:29: `x` permits what a server asks for too (sampling, elicitation, roots), because it names no action; write `action in Deeds::Action::"act"` for what the agent does; permit what a server asks for by name"#,
            r#"warning 1:74: `"раth"` mixes letters of several scripts; it may not be what it looks like"#,
        ],
    ),
    (
        r#"permit (principal, action in ["act"], resource);"#,
        &[r#"1:40: `"act"` is only a text; write its type before it, as in `Deeds::Action::"tools/call"`"#],
    ),
    (
        r#"permit (principal, action in Deeds::Action::"acts", resource);"#,
        &[r#"1:39: there is no action `Deeds::Action::"acts"`; did you mean `Deeds::Action::"act"`?"#],
    ),
    (
        "permit (principal, action, resource) when { context.run.now < 5 };",
        &["1:54: this is a time, where a number must stand"],
    ),
    (
        r#"permit (principal, action, resource) when { if true then 1 else "a" };"#,
        &["1:54: this is a number, where true or false must stand"],
    ),
    (
        "permit (principal, action, resource) when { resource.uri like stdio };",
        &[
            "1:72: `stdio` cannot stand after `like`; after `like` stands a text in double quotes, in which `*` means anything",
        ],
    ),
    (
        "permit (principal, action, resource) when { 9223372036854775808 > 1 };",
        &["1:54: `9223372036854775808` is too large a number; the largest is `9223372036854775807`"],
    ),
    (
        "permit (principal, action, resource) when { context.run == 1 };",
        &["1:54: a number is never equal to a record"],
    ),
    (
        "#comment
permit (principal, action, resource);",
        &["1:10: `#` cannot stand here; a comment begins with `//`"],
    ),
    (
        r#"permit (principal, action, resource) when { context.args.hasTag("a") & true };"#,
        &[r#"1:79: `&` cannot stand here; "and" is written `&&`"#],
    ),
    ("permit (principal, action, resource) when { context.nothing };", &["1:54: `context` has no `nothing`"]),
    (
        "/* c */ permit (principal, action, resource);",
        &["1:10: `/` cannot stand here; a comment begins with `//` and ends with its line"],
    ),
    (
        "permit (principal == ?principal, action, resource);",
        &["1:1: this is a template, which no policy directory can fill in; name the principal or resource"],
    ),
    (
        r#"permit (principal, action, resource) when { resource.name in ["a","b"] };"#,
        &[
            r#"1:54: this is a text, where something like `Deeds::Class::"write"` must stand; try using `contains`, `containsAny`, or `containsAll` to examine the contents of a set"#,
            r#"1:71: this is a set, where a set or something like `Deeds::Class::"write"` must stand; try using `contains`, `containsAny`, or `containsAll` to examine the contents of a set"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { ["a",1].contains("a") };"#,
        &["1:54: a set holds things of one kind; here are a number and a text"],
    ),
    (
        r#"permit (principal, action, resource) when { [].contains("a") };"#,
        &["1:54: empty set literals are forbidden in policies"],
    ),
    (
        "permit (principal, action, resource) when { context has foo };",
        &[
            "warning 1:1: this rule never applies, because nothing that can happen fits it",
            r#"warning 1:29: `x` permits what a server asks for too (sampling, elicitation, roots), because it names no action; write `action in Deeds::Action::"act"` for what the agent does; permit what a server asks for by name"#,
        ],
    ),
    (
        "permit (principal, action, resource is Deeds::Server);",
        &[
            "warning 1:1: this rule never applies, because nothing that can happen fits it",
            r#"warning 1:29: `x` permits what a server asks for too (sampling, elicitation, roots), because it names no action; write `action in Deeds::Action::"act"` for what the agent does; permit what a server asks for by name"#,
        ],
    ),
    (
        r#"permit (principal, action, resource) when { resource in "write" };"#,
        &[
            r#"1:66: this is a text, where a set or something like `Deeds::Class::"write"` must stand; try using `like` to examine the contents of a string"#,
        ],
    ),
    (
        "permit (principal, action, resource);;",
        &[
            r#"1:47: `;` cannot stand here; a rule stands here, or nothing more: `@id("…")`, then `permit` or `forbid`"#,
        ],
    ),
    (
        "permit (principal, action, resource) when { true } }",
        &[
            "1:61: `}` cannot stand here; end the rule with `;`, or go on with `when { … }` or `unless { … }`",
            "1:62: the file ends too soon; end the rule with `;`, or go on with `when { … }` or `unless { … }`",
        ],
    ),
    (
        r#"permit (principal, action, resource) when { context.args.getTag(context.run.id) == "x" };"#,
        &[
            "1:54: an act need not have the argument `context.run.id`, and then this fails; test for it first: `context.args.hasTag(context.run.id) && …`",
        ],
    ),
];
