//! Which message means what.

use super::{Plain, QUOTED_MAX, Said};
use crate::error::shorten;

/// How a rule begins.
const HEAD: &str = "a rule begins `permit (principal, action, resource)` or `forbid (principal, action, resource)`; each of the three can be narrowed, as in `resource == Deeds::Tool::\"stdio:fs#write_file\"`";

/// The message in plain words; `None` for one that is not known, or that is plain already.
pub(super) fn plain(said: &Said<'_>, known: &[String]) -> Option<Plain> {
    syntax(said)
        .or_else(|| head(said))
        .or_else(|| words_out_of_place(said))
        .or_else(|| names(said, known))
        .or_else(|| attributes(said))
        .or_else(|| types(said))
        .or_else(|| remarks(said))
}

/// What stands between two known parts of a message, shortened.
fn between(message: &str, before: &str, after: &str) -> Option<String> {
    let quoted = message.strip_prefix(before)?.strip_suffix(after)?;
    Some(shorten(quoted, QUOTED_MAX))
}

/// A message that needs advice.
fn with(message: impl Into<String>, help: &str) -> Plain {
    (message.into(), Some(help.to_owned()))
}

fn syntax(said: &Said<'_>) -> Option<Plain> {
    let follows = said.expected.map(what_can_follow);
    if said.message == "unexpected end of input" {
        return Some(("the file ends too soon".to_owned(), follows));
    }
    if said.message == "invalid token" {
        return Some(unreadable(said.rest.chars().next()));
    }
    let token = between(said.message, "unexpected token `", "`")?;
    let comment =
        said.rest.starts_with("/*").then(|| "a comment begins with `//` and ends with its line".to_owned());
    Some((format!("`{token}` cannot stand here"), comment.or(follows)))
}

/// A character that begins nothing.
fn unreadable(character: Option<char>) -> Plain {
    let help = match character {
        Some('"') => return with("this text is not closed", "close it with `\"`"),
        Some('\'') => Some("a text stands in double quotes"),
        Some('#') => Some("a comment begins with `//`"),
        Some('&') => Some("\"and\" is written `&&`"),
        Some('|') => Some("\"or\" is written `||`"),
        _ => None,
    };
    let shown = character.map(|c| shorten(&c.to_string(), QUOTED_MAX)).unwrap_or_default();
    (format!("`{shown}` cannot stand here"), help.map(str::to_owned))
}

/// The parser's list of what it could have read, as far as the list says what is missing.
fn what_can_follow(list: &str) -> String {
    let all: Vec<&str> = list.split(", ").flat_map(|part| part.split(" or ")).collect();
    let all: Vec<&str> = all.iter().map(|item| item.trim_start_matches("or ")).collect();
    let can = |item: &str| all.contains(&item);
    let text = match all.as_slice() {
        ["`;`", "identifier"] => "end the rule with `;`, or go on with `when { … }` or `unless { … }`",
        ["`@`", "identifier"] => {
            "a rule stands here, or nothing more: `@id(\"…\")`, then `permit` or `forbid`"
        }
        ["string literal"] => "a text in double quotes stands here",
        _ if can("`&&`") => {
            "go on with an operator, such as `&&`, `||`, `==`, `in`, `like` or `has`, or close the bracket"
        }
        _ if can("`if`") => {
            "a value stands here, such as `true`, `2`, `\"text\"`, `resource` or `context.run.id`; \"not\" is written `!`"
        }
        _ if can("`)`") && can("`,`") => "go on with `,` or close with `)`",
        _ => return format!("expected {}", list.replace("identifier", "a name")),
    };
    text.to_owned()
}

fn head(said: &Said<'_>) -> Option<Plain> {
    let of = |before: &str, after: &str| between(said.message, before, after);
    let message = of("this policy is missing the `", "` variable in the scope")
        .map(|name| format!("the head of the rule lacks `{name}`"))
        .or_else(|| {
            let name = of("this policy has an extra element in the scope: ", "")
                .or_else(|| of("found an invalid variable in the policy scope: ", ""))?;
            Some(format!("`{name}` does not belong in the head of a rule"))
        })
        .or_else(|| {
            let both = of("found the variable `", "` must be used")?;
            let (found, needed) = both.split_once("` where the variable `")?;
            Some(format!("here stands `{found}`, where `{needed}` must"))
        })?;
    Some(with(message, HEAD))
}

fn words_out_of_place(said: &Said<'_>) -> Option<Plain> {
    let of = |before: &str, after: &str| between(said.message, before, after);
    let told = if let Some(word) = of("invalid policy effect: ", "") {
        (format!("`{word}` is neither `permit` nor `forbid`"), None)
    } else if let Some(word) = of("invalid policy condition: ", "") {
        (format!("`{word}` is neither `when` nor `unless`"), None)
    } else if said.message.starts_with("'=' is not a valid operator") {
        with("`=` cannot stand here", "to compare, write `==`")
    } else if let Some(name) = of("duplicate annotation: ", "") {
        let help = "a rule has each annotation once; several obligations stand in one, with commas between";
        with(format!("`{name}` stands here a second time"), help)
    } else if let Some(literal) = of("expected an entity uid, found literal `", "`") {
        let help = "write its type before it, as in `Deeds::Action::\"tools/call\"`";
        with(format!("`{literal}` is only a text"), help)
    } else if let Some(name) = of("invalid variable: ", "") {
        let help =
            "there are `principal`, `action`, `resource` and `context`; a text stands in double quotes";
        with(format!("`{name}` means nothing here"), help)
    } else if let Some(name) = of("`", "` is not a valid method") {
        let help = "for texts there is `like \"…*\"`, for sets `.contains(…)`, for arguments `.hasTag(…)` and `.getTag(…)`";
        with(format!("there is no method `{name}`"), help)
    } else if let Some(name) = of("`", "` is not a valid function") {
        (format!("there is no function `{name}`"), None)
    } else if let Some(found) =
        of("right hand side of a `like` expression must be a pattern literal, but got `", "`")
    {
        let help = "after `like` stands a text in double quotes, in which `*` means anything";
        with(format!("`{found}` cannot stand after `like`"), help)
    } else if let Some(number) = of("integer literal `", "` is too large") {
        with(format!("`{number}` is too large a number"), "the largest is `9223372036854775807`")
    } else if said.message.starts_with("extension constructors may not be called with non-literal") {
        let message =
            "`decimal(…)`, `datetime(…)` and the like take a text that is written out in the brackets";
        (message.to_owned(), None)
    } else if let Some(why) = of("error during extension function argument validation: ", "") {
        (why, said.help.map(str::to_owned))
    } else if let Some(escape) = of("the input `", "` is not a valid escape") {
        with(format!("`{escape}` means nothing in a text"), "a backslash is written `\\\\`")
    } else {
        return None;
    };
    Some(told)
}

fn names(said: &Said<'_>, known: &[String]) -> Option<Plain> {
    let of = |before: &str, after: &str| between(said.message, before, after);
    if let Some(action) = of("unrecognized action `", "`") {
        let id = action.split('"').nth(1).unwrap_or(&action);
        let near = closest(id, known).map(|near| format!("did you mean `Deeds::Action::\"{near}\"`?"));
        return Some((format!("there is no action `{action}`"), near));
    }
    if let Some(name) = of("unrecognized entity type `", "`").or_else(|| of("failed to resolve type: ", "")) {
        return Some((format!("there is no type `{name}`"), suggestion(said, &name)));
    }
    let (entity, _) =
        said.message.strip_prefix("entity `")?.split_once("` is of an enumerated entity type")?;
    let entity = shorten(entity, QUOTED_MAX);
    let help = said.help.and_then(|help| help.strip_prefix("valid entity eids: "));
    Some((format!("there is no `{entity}`"), help.map(|all| format!("there are {all}"))))
}

/// The engine suggests something always; here only what could have been meant.
fn suggestion(said: &Said<'_>, written: &str) -> Option<String> {
    let help = said.help?;
    let near = between(help, "did you mean `", "`?")?;
    let last = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
    is_near(&last(written), &last(&near)).then(|| help.to_owned())
}

/// The known name that was probably meant.
pub(crate) fn closest<'a>(written: &str, known: &'a [String]) -> Option<&'a String> {
    known.iter().filter(|name| is_near(written, name)).min_by_key(|name| distance(written, name))
}

/// At most one edit in three letters.
fn is_near(written: &str, name: &str) -> bool {
    distance(written, name) * 3 <= name.chars().count().max(3)
}

/// Letters to put in, take out or change, to get from one word to the other.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(QUOTED_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().take(QUOTED_MAX).enumerate() {
        let mut next = vec![line + 1];
        for ((column, opposite), above) in other.iter().enumerate().zip(row.windows(2)) {
            let (&[before, up], Some(&left)) = (above, next.get(column)) else { continue };
            let changed = before + usize::from(letter != *opposite);
            next.push(changed.min(up + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn attributes(said: &Said<'_>) -> Option<Plain> {
    let message = said.message;
    if let Some(rest) = message.strip_prefix("unable to guarantee safety of access to tag `") {
        let (tag, _) = rest.split_once('`')?;
        let tag = shorten(tag, QUOTED_MAX);
        let help = format!("test for it first: `context.args.hasTag({tag}) && …`");
        return Some((format!("an act need not have the argument `{tag}`, and then this fails"), Some(help)));
    }
    if let Some(rest) = message.strip_prefix("unable to guarantee safety of access to optional attribute ") {
        let (owner, name) = owned(rest)?;
        let help = said
            .help
            .and_then(|help| between(help, "try testing for the attribute's presence with `", " && ..`"));
        let help = help.map(|test| format!("test for it first: `{test} && …`"));
        return Some((format!("{owner} need not have `{name}`, and then this fails"), help));
    }
    let (owner, name) = owned(message.strip_prefix("attribute ")?.strip_suffix(" not found")?)?;
    let args = (owner == "`Deeds::Args`").then(|| {
        format!(
            "an argument is a tag: `context.args.hasTag(\"{name}\") && context.args.getTag(\"{name}\") == …`"
        )
    });
    let behind = (owner == "`Deeds::Agent`" && matches!(name.as_str(), "kind" | "issuer" | "sub" | "grade"))
        .then(|| format!("the person or service behind the agent has it: `principal.on_behalf_of.{name}`"));
    Some((format!("{owner} has no `{name}`"), args.or(behind).or_else(|| suggestion(said, &name))))
}

/// Owner and name, of: `` `name` on entity type `Owner` `` or `` `name` in context for <action> ``.
fn owned(text: &str) -> Option<(String, String)> {
    let (name, owner) = text.strip_prefix('`')?.split_once('`')?;
    let name = shorten(name, QUOTED_MAX);
    if let Some(owner) = between(owner, " on entity type `", "`") {
        return Some((format!("`{owner}`"), name));
    }
    owner.starts_with(" in context for ").then(|| ("`context`".to_owned(), name))
}

fn types(said: &Said<'_>) -> Option<Plain> {
    if let Some(rest) = said.message.strip_prefix("unexpected type: expected ") {
        let (expected, found) = rest.split_once(" but saw ")?;
        let mut kinds: Vec<String> = expected.split(", or ").map(kind).collect();
        kinds.dedup();
        let message = format!("this is {}, where {} must stand", kind(found), kinds.join(" or "));
        return Some((message, said.help.map(str::to_owned)));
    }
    let both = said.message.strip_prefix("the types ")?.strip_suffix(" are not compatible")?;
    let (one, other) = both.split_once(" and ")?;
    let (one, other) = (kind(one), kind(other));
    let where_it_is = said.help.unwrap_or_default();
    let message = if where_it_is.starts_with("both operands to a `==`") {
        format!("{one} is never equal to {other}")
    } else if where_it_is.starts_with("elements of a set must") {
        format!("a set holds things of one kind; here are {one} and {other}")
    } else {
        format!("{one} and {other} do not go together")
    };
    Some((message, None))
}

/// A type of the engine, as it is written or compared.
fn kind(name: &str) -> String {
    let plain = match name.trim() {
        "Long" => "a number",
        "String" => "a text",
        "Bool" | "True" | "False" => "true or false",
        "datetime" => "a time",
        "duration" => "a length of time",
        "decimal" => "a decimal number",
        "__cedar::internal::AnyEntity" => "something like `Deeds::Class::\"write\"`",
        set if set.starts_with("Set<") || set == "Set" => "a set",
        record if record.starts_with('{') => "a record",
        other => return format!("`{}`", shorten(other, QUOTED_MAX)),
    };
    plain.to_owned()
}

fn remarks(said: &Said<'_>) -> Option<Plain> {
    let message = said.message;
    let never = message.starts_with("policy is impossible:")
        || message.starts_with("unable to find an applicable action given");
    if never {
        return Some(("this rule never applies, because nothing that can happen fits it".to_owned(), None));
    }
    let text = between(message, "string `", "` contains mixed scripts")
        .or_else(|| between(message, "identifier `", "` contains mixed scripts"))?;
    let message = format!("`{text}` mixes letters of several scripts; it may not be what it looks like");
    Some((message, None))
}
