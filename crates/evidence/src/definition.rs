//! What a server offers, and what it is, known by digests (format §5, kind 9 `definitions`, and kind 18).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Digest;
use crate::limits::{DEFINITION_NAME_MAX_BYTES, DEFINITIONS_MAX, DEFINITIONS_MAX_BYTES};

/// A list of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum List {
    /// Tools by name.
    Tool,
    /// Resources by URI.
    Resource,
    /// Resource templates by URI template.
    ResourceTemplate,
    /// Prompts by name.
    Prompt,
    /// The server itself: see [`FACTS`].
    Server,
}

/// What is known of a server itself: its names in the list [`List::Server`], each with its word as a change.
pub const FACTS: [(&str, &str); 4] = [
    ("command", "server-command"),
    ("executable", "server-executable"),
    ("package", "server-package"),
    ("environment", "server-environment"),
];

/// Many differences of one list at once, as a change.
pub const MANY: &str = "definitions";
/// The configuration of a client, as a change.
pub const CLIENT_CONFIG: &str = "client-config";
/// The command behind a server, as a change.
pub const SERVER_COMMAND: &str = "server-command";

impl List {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Tool, Self::Resource, Self::ResourceTemplate, Self::Prompt, Self::Server];

    /// The word in an observation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::ResourceTemplate => "resource-template",
            Self::Prompt => "prompt",
            Self::Server => "server",
        }
    }

    /// The list with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.as_str() == word)
    }

    /// What a change of this name is (kind 18, `what`).
    pub fn what(self, name: &str) -> &'static str {
        let fact = || FACTS.iter().find(|(fact, _)| *fact == name).map(|(_, what)| *what);
        match self {
            Self::Server => fact().unwrap_or(MANY),
            list => list.as_str(),
        }
    }
}

/// What a server was seen to offer, or to be, at one time: the payload of a `definitions` observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The part of its tool URIs before `#`.
    pub server: String,
    /// Which list.
    pub list: List,
    /// Name to digest.
    pub names: BTreeMap<String, Digest>,
    /// Names that it offered before and does no more.
    pub gone: Vec<String>,
    /// Whether `names` is all that there is.
    pub complete: bool,
}

/// Definitions that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Too many at once.
    #[error("{0} names at once are more than {DEFINITIONS_MAX}: send them in parts")]
    Many(usize),
    /// Too long together.
    #[error("names and digests of {0} bytes are longer than {DEFINITIONS_MAX_BYTES}: send them in parts")]
    Long(usize),
    /// A name is none.
    #[error("a name of {0} bytes is not one of 1 to {DEFINITION_NAME_MAX_BYTES}: leave it out")]
    Name(usize),
    /// A server is known by four names.
    #[error(
        "`{0}` is nothing that a server is known by: give `command`, `executable`, `package` or `environment`"
    )]
    Fact(String),
    /// Not what the format says.
    #[error("`{0}` is missing or not as the format says")]
    Member(&'static str),
}

/// The digest of a command, without its environment: over the JCS of its words.
pub fn command_digest(command: &[String]) -> Digest {
    Digest::of(&crate::json::jcs(&json!(command)))
}

/// Whether a definition can have this name. What a server calls its own is recorded whatever characters it holds.
pub fn check_name(name: &str) -> Result<(), DefinitionError> {
    let fits = (1..=DEFINITION_NAME_MAX_BYTES).contains(&name.len());
    if fits { Ok(()) } else { Err(DefinitionError::Name(name.len())) }
}

impl Told {
    /// Whether it can be recorded.
    pub fn check(&self) -> Result<(), DefinitionError> {
        let most = self.names.len().max(self.gone.len());
        if most > DEFINITIONS_MAX {
            return Err(DefinitionError::Many(most));
        }
        for name in self.names.keys().chain(&self.gone) {
            check_name(name)?;
            if self.list == List::Server && !FACTS.iter().any(|(fact, _)| fact == name) {
                return Err(DefinitionError::Fact(name.chars().take(80).collect()));
            }
        }
        let bytes = crate::json::jcs(&self.names_json()).len() + crate::json::jcs(&json!(self.gone)).len();
        if bytes > DEFINITIONS_MAX_BYTES { Err(DefinitionError::Long(bytes)) } else { Ok(()) }
    }

    fn names_json(&self) -> Value {
        let names = self.names.iter().map(|(name, digest)| (name.clone(), Value::from(digest.to_string())));
        Value::Object(names.collect::<Map<_, _>>())
    }

    /// The payload.
    pub fn to_json(&self) -> Value {
        json!({"server": self.server, "list": self.list.as_str(), "names": self.names_json(),
            "gone": self.gone, "complete": self.complete})
    }

    /// Reads a payload.
    pub fn from_json(payload: &Value) -> Result<Self, DefinitionError> {
        let member = |name| payload.get(name).ok_or(DefinitionError::Member(name));
        let text = |name| member(name)?.as_str().ok_or(DefinitionError::Member(name));
        let names = member("names")?.as_object().ok_or(DefinitionError::Member("names"))?;
        let digest = |text: &Value| Digest::parse(text.as_str()?).ok();
        let names = names.iter().map(|(name, value)| Some((name.clone(), digest(value)?)));
        let gone = member("gone")?.as_array().ok_or(DefinitionError::Member("gone"))?;
        let gone = gone.iter().map(|name| name.as_str().map(str::to_owned));
        let told = Self {
            server: text("server")?.to_owned(),
            list: List::parse(text("list")?).ok_or(DefinitionError::Member("list"))?,
            names: names.collect::<Option<_>>().ok_or(DefinitionError::Member("names"))?,
            gone: gone.collect::<Option<_>>().ok_or(DefinitionError::Member("gone"))?,
            complete: member("complete")?.as_bool().ok_or(DefinitionError::Member("complete"))?,
        };
        told.check()?;
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(list: List, names: impl IntoIterator<Item = String>) -> Told {
        let digest = Digest::of(b"definition");
        Told {
            server: "stdio:fs".into(),
            list,
            names: names.into_iter().map(|name| (name, digest)).collect(),
            gone: Vec::new(),
            complete: true,
        }
    }

    fn numbered(count: usize, len: usize) -> impl Iterator<Item = String> {
        (0..count).map(move |n| format!("{n:0len$}"))
    }

    #[test]
    fn a_payload_round_trips_and_another_is_refused() {
        let told = Told { gone: vec!["b".into()], ..told(List::ResourceTemplate, ["file:///{path}".into()]) };
        assert_eq!(Told::from_json(&told.to_json()), Ok(told.clone()));
        for (member, value) in [
            ("server", json!(7)),
            ("list", json!("tools")),
            ("names", json!({"a": "sha256:00"})),
            ("names", json!(["a"])),
            ("gone", json!([7])),
            ("complete", Value::Null),
        ] {
            let mut payload = told.to_json();
            payload[member] = value;
            assert_eq!(Told::from_json(&payload), Err(DefinitionError::Member(member)));
        }
        assert_eq!(Told::from_json(&json!({"count": 2})), Err(DefinitionError::Member("names")));
    }

    #[test]
    fn names_are_limited_in_number_and_length_each_and_together() {
        assert_eq!(told(List::Tool, numbered(DEFINITIONS_MAX, 8)).check(), Ok(()));
        let most = DEFINITIONS_MAX + 1;
        assert_eq!(told(List::Tool, numbered(most, 8)).check(), Err(DefinitionError::Many(most)));
        let gone = |count| Told { gone: numbered(count, 8).collect(), ..told(List::Tool, []) };
        assert_eq!(gone(DEFINITIONS_MAX).check(), Ok(()));
        assert_eq!(gone(most).check(), Err(DefinitionError::Many(most)));

        assert_eq!(check_name("\u{1b}[2J"), Ok(()));
        assert_eq!(check_name(&"x".repeat(DEFINITION_NAME_MAX_BYTES)), Ok(()));
        for len in [0, DEFINITION_NAME_MAX_BYTES + 1] {
            let wrong = told(List::Tool, ["x".repeat(len)]);
            assert_eq!(wrong.check(), Err(DefinitionError::Name(len)));
        }
        // `{}` and `[]`; each name stands in quotation marks, its digest too, with a colon and a comma
        let long = |over: usize| {
            let mut names: Vec<String> = numbered(24, DEFINITION_NAME_MAX_BYTES - 84).collect();
            let bytes: usize = 4 - 1 + names.iter().map(|name| name.len() + 71 + 6).sum::<usize>();
            names.push("y".repeat(DEFINITIONS_MAX_BYTES - bytes - 71 - 6 + over));
            told(List::Tool, names)
        };
        assert_eq!(long(0).check(), Ok(()));
        assert_eq!(long(1).check(), Err(DefinitionError::Long(DEFINITIONS_MAX_BYTES + 1)));
    }

    #[test]
    fn a_server_is_known_by_four_names() {
        for (name, what) in FACTS {
            assert_eq!(told(List::Server, [name.into()]).check(), Ok(()));
            assert_eq!(List::Server.what(name), what);
        }
        assert_eq!(told(List::Server, ["pid".into()]).check(), Err(DefinitionError::Fact("pid".into())));
        assert_eq!(List::Tool.what("command"), "tool");
        assert!(List::ALL.into_iter().all(|list| List::parse(list.as_str()) == Some(list)));
        let words = ["uvx".to_owned(), "mcp-server-time".to_owned()];
        assert_eq!(command_digest(&words), Digest::of(br#"["uvx","mcp-server-time"]"#));
    }
}
