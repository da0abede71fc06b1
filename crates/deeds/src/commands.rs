//! The commands, one module each: what is asked of the server, and what is printed.

pub(crate) mod allowed;
pub(crate) mod authority;
pub(crate) mod delegate;
pub(crate) mod did;
pub(crate) mod entry;
pub(crate) mod halt;
pub(crate) mod mandate;
mod order;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod prove;
mod registered;
pub(crate) mod reindex;
pub(crate) mod revoke;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod verify;
pub(crate) mod wrap;

use anyhow::{Context as _, anyhow, bail};
use capture::client::{Client, ClientError};
use serde_json::Value;

use crate::Outcome;
use crate::cli::{LIMIT_DEFAULT, Page};
use crate::config::Config;
use crate::names::RunName;
use crate::output::{Output, print_raw, print_text};
use crate::render::{lists, text};

/// Asks for one answer and prints it: the server's JSON unchanged, or as text.
async fn answer(
    client: &Client,
    path: &str,
    output: Output,
    page: impl FnOnce(&Value, usize) -> String,
) -> anyhow::Result<Outcome> {
    let bytes = client.get_bytes(path).await?;
    let value: Value = serde_json::from_slice(&bytes).context("the server's answer is not JSON")?;
    if output.json {
        print_raw(&bytes)?;
    } else {
        print_text(&page(&value, output.width))?;
    }
    // an answer that found its own evidence damaged is not a clean one
    Ok(if lists::has_findings(&value) { Outcome::Finding } else { Outcome::Fine })
}

/// A query string.
struct Query(String);

impl Query {
    fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.0.push(byte.into());
                }
                _ => text::add(&mut self.0, format_args!("%{byte:02X}")),
            }
        }
        self
    }

    fn maybe(self, name: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with(name, &value),
            None => self,
        }
    }

    fn page(self, page: &Page) -> Self {
        self.with("limit", &page.limit.to_string()).maybe("before", page.before.map(|at| at.to_string()))
    }
}

/// A command to type again, without its name: words quoted where a shell needs it.
struct Again(String);

impl Again {
    fn new(config: &Config, command: &str) -> Self {
        let again = Self(format!("deeds {command}"));
        let data = config.data_named.then(|| config.data.display().to_string());
        again.maybe("--data", data)
    }

    fn word(mut self, word: &str) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@:/+,=".contains(&byte);
        self.0.push(' ');
        if !word.is_empty() && word.bytes().all(plain) {
            self.0.push_str(word);
        } else {
            text::add(&mut self.0, format_args!("'{}'", word.replace('\'', "'\\''")));
        }
        self
    }

    fn maybe(self, name: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.word(name).word(&value),
            None => self,
        }
    }

    fn limit(self, page: &Page) -> Self {
        let own = page.limit != LIMIT_DEFAULT;
        self.maybe("--limit", own.then(|| page.limit.to_string()))
    }
}

/// The id of a run that is named by its id or by the entry it started with.
async fn run_id(client: &Client, name: &RunName) -> anyhow::Result<String> {
    let index = match name {
        RunName::Id(id) => return Ok(id.clone()),
        RunName::Start(index) => *index,
    };
    match started_at(client, index).await? {
        (Some(run), _) => Ok(run),
        (None, kind) => bail!(
            "@{index} is no start of a run but an entry of the kind `{kind}`; `deeds runs` lists runs with their starts"
        ),
    }
}

/// The run that starts with an entry, and the kind of the entry.
async fn started_at(client: &Client, index: u64) -> anyhow::Result<(Option<String>, String)> {
    let entry: Value = client.get_json(&format!("/v1/entries/{index}")).await?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = text("kind").unwrap_or_default();
    Ok((text("run").filter(|_| kind == "run-started"), kind))
}

/// An error about an action: of an entry that is something else it says what it is.
async fn no_action(client: &Client, index: u64, error: ClientError) -> anyhow::Error {
    if !matches!(&error, ClientError::Api { code, .. } if code == "not-found") {
        return error.into();
    }
    match started_at(client, index).await {
        Ok((_, kind)) => anyhow!(
            "@{index} is no action but an entry of the kind `{kind}`; `deeds entry @{index}` shows it, `deeds did` \
             lists actions"
        ),
        Err(_) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_escape_what_could_end_a_value() {
        let query =
            Query::new("/v1/did").with("who", "a&b=c #/é").maybe("run", None).maybe("to", Some("7".into()));
        assert_eq!(query.0, "/v1/did?who=a%26b%3Dc%20%23%2F%C3%A9&to=7");
    }

    #[test]
    fn a_command_to_type_again_is_quoted_where_a_shell_needs_it() {
        let config = Config { data: "/srv/my data".into(), data_named: true, ..Config::default() };
        let again = Again::new(&config, "did").word("o'brien").maybe("--run", None);
        assert_eq!(again.0, "deeds did --data '/srv/my data' 'o'\\''brien'");
        assert_eq!(Again::new(&Config::default(), "did").word("ana@x").0, "deeds did ana@x");
    }
}
