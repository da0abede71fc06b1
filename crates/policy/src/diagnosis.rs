//! The engine's own messages in plain words, each with its place.
//!
//! The engine speaks of tokens, uids and environments. Whoever writes a policy sees words, texts and acts, so the
//! messages that a newcomer meets are said anew here; any other is passed on as it is. One mistake that the engine
//! reports for every action in turn becomes one finding, because the action is taken out of the text.

mod words;

use std::ops::Range;

use cedar_policy::ffi::DetailedError;

pub(crate) use words::{closest, distance};

use crate::error::{Finding, shorten};

/// Bytes of a message that a finding keeps.
const MESSAGE_MAX: usize = 1_000;
/// Bytes of what was written in a policy that a message quotes.
const QUOTED_MAX: usize = 120;

/// What the engine said of one thing, taken apart.
struct Said<'a> {
    message: &'a str,
    help: Option<&'a str>,
    /// What could have stood there, as the parser lists it.
    expected: Option<&'a str>,
    /// The text from the place on.
    rest: &'a str,
}

/// A message and advice.
type Plain = (String, Option<String>);

/// One message of the engine about a file. `known` are the names of the schema's actions, for suggestions.
pub(crate) fn finding(path: &str, text: &str, error: &DetailedError, known: &[String]) -> Finding {
    let label = error.source_locations.last();
    let place = label.map(|label| label.loc.start..label.loc.end);
    let said = Said {
        message: without_policy(&error.message),
        help: error.help.as_deref().map(without_policy),
        expected: label.and_then(|label| label.label.as_deref()?.strip_prefix("expected ")),
        rest: place.as_ref().and_then(|place| text.get(place.start..)).unwrap_or_default(),
    };
    let (message, help) = words::plain(&said, known).unwrap_or_else(|| as_it_is(&said));
    let message = shorten(&message.replace('\n', " "), MESSAGE_MAX);
    let help = help.map(|help| shorten(&help.replace('\n', " "), MESSAGE_MAX));
    match place {
        Some(place) => Finding::at(path, text, visible(text, place), message),
        None => Finding::of_file(path, message),
    }
    .help(help)
}

/// What is meant is known from its place; the policy's name says nothing more.
fn without_policy(message: &str) -> &str {
    let message = message.strip_prefix("error parsing schema: ").unwrap_or(message);
    let named = message.strip_prefix("for policy `").and_then(|rest| rest.split_once('`'));
    named.map_or(message, |(_, rest)| rest.trim_start_matches([',', ':']).trim_start())
}

fn as_it_is(said: &Said<'_>) -> Plain {
    let expected = said.expected.map(|list| format!("expected {list}"));
    (said.message.to_owned(), said.help.map(str::to_owned).or(expected))
}

/// The lexer gives up between two characters; the one that it could not read is meant.
fn visible(text: &str, place: Range<usize>) -> Range<usize> {
    if !place.is_empty() {
        return place;
    }
    let next = text.get(place.start..).and_then(|rest| rest.chars().next());
    let next = next.filter(|c| *c != '\n').map_or(0, char::len_utf8);
    place.start..place.start + next
}

#[cfg(test)]
#[path = "diagnosis/tests.rs"]
mod tests;
