//! A bound on how deep an expression can be, checked on the text before it is parsed.
//!
//! The policy engine parses, validates and frees expressions by recursion. A file of a few
//! kilobytes of `(` would overflow the stack and end the process; and a validator that runs short
//! of stack passes what it has not looked at. So depth is bounded here, by a scan that itself does
//! not recurse, and loading runs on a stack that holds the deepest expression allowed.

use crate::limits::{EXPRESSION_TOKENS_MAX, NESTING_MAX};

/// Checks the text of a policy file or of a schema. The error is a byte offset and a message.
///
/// An expression is never deeper than the tokens before it that are not its siblings: those since
/// the last `,` or `;` at each level of brackets around it. That count is what is bounded.
pub(crate) fn check(text: &str) -> Result<(), (usize, String)> {
    let mut levels: Vec<usize> = Vec::new();
    // Tokens since the last separator, at the innermost level and at all levels together.
    let (mut here, mut total) = (0_usize, 0_usize);
    for (at, token) in tokens(text) {
        let (length, first) = (token.len(), token.chars().next().unwrap_or_default());
        match first {
            '/' if length > 1 => {}
            c if c.is_whitespace() => {}
            ',' | ';' => {
                total -= here;
                here = 0;
            }
            ')' | ']' | '}' => {
                // A bracket too many is the parser's to report.
                if let Some(outer) = levels.pop() {
                    total -= here;
                    here = outer;
                }
            }
            _ => {
                here += 1;
                total += 1;
            }
        }
        if total > EXPRESSION_TOKENS_MAX {
            let message = format!(
                "this is more than {EXPRESSION_TOKENS_MAX} words and signs in one expression; make several rules of it"
            );
            return Err((at, message));
        }
        if matches!(first, '(' | '[' | '{') {
            levels.push(here);
            here = 0;
        }
        if levels.len() > NESTING_MAX {
            return Err((at, format!("this is nested deeper than {NESTING_MAX} brackets; make it flatter")));
        }
    }
    Ok(())
}

/// The tokens of a text with the bytes before each; comments and white space are tokens too.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let token = rest.get(..token_length(rest, rest.chars().next()?))?;
        at += token.len();
        Some((at - token.len(), token))
    })
}

/// Bytes of the token at the start of `rest`, which begins with `first`. Strings and comments end
/// where the engine's own lexer ends them; an unterminated string goes to the end, where the
/// parser will refuse it.
fn token_length(rest: &str, first: char) -> usize {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let run = |part: fn(char) -> bool| rest.find(|c| !part(c)).unwrap_or(rest.len());
    match first {
        '"' => string_length(rest),
        '/' if rest.starts_with("//") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
        c if c.is_whitespace() => run(char::is_whitespace),
        c if word(c) => run(|c| c.is_alphanumeric() || c == '_'),
        c => c.len_utf8(),
    }
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::limits::{EXPRESSION_TOKENS_MAX, NESTING_MAX};

    #[test]
    fn brackets_are_limited() {
        for (open, close) in [("(", ")"), ("[", "]"), ("{", "}")] {
            let nested = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
            assert_eq!(check(&nested(NESTING_MAX)), Ok(()));
            let (at, message) = check(&nested(NESTING_MAX + 1)).unwrap_err();
            assert_eq!(at, NESTING_MAX);
            assert_eq!(message, "this is nested deeper than 64 brackets; make it flatter");
        }
    }

    #[test]
    fn chains_are_limited_and_siblings_are_not() {
        let chain =
            |n: usize| vec!["a"; n.div_ceil(2)].join("+") + if n.is_multiple_of(2) { "+" } else { "" };
        assert_eq!(check(&chain(EXPRESSION_TOKENS_MAX)), Ok(()));
        assert!(check(&chain(EXPRESSION_TOKENS_MAX + 1)).is_err());
        // inner tokens add to outer ones, and are gone once their bracket is closed
        let half = chain(EXPRESSION_TOKENS_MAX / 2 - 2);
        assert_eq!(check(&format!("{half}({half})({half})({half})")), Ok(()));
        assert!(check(&format!("{half}({half}(((((")).is_err());
        assert_eq!(check(&format!("[{}]", vec!["1"; 20_000].join(","))), Ok(()));
        assert_eq!(check(&"permit (principal, action, resource);\n".repeat(2_000)), Ok(()));
    }

    #[test]
    fn strings_and_comments_hide_nothing_and_count_once() {
        let deep = "(".repeat(NESTING_MAX + 1);
        for harmless in [
            format!("// {deep}"),
            format!("\"{deep}\""),
            format!("\"\\\"{deep}\""),
            format!("\"\\\\\" + \"{deep}\""),
            format!("\"//\" // {deep}"),
            ")".repeat(100_000),
        ] {
            assert_eq!(check(&harmless), Ok(()), "{harmless}");
        }
        for deep in [
            format!("// x\n{deep}"),
            format!("// x\r{deep}"),
            format!("\"\"{deep}"),
            format!("\"\\\\\"{deep}"),
            format!("\"//\"{deep}"),
            format!("/ /{deep}"),
            format!("){deep}"),
            format!("// \"\n{deep}"),
        ] {
            assert!(check(&deep).is_err(), "{deep}");
        }
    }
}
