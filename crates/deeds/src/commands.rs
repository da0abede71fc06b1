//! The commands, one module each: what is asked of the server, and what is printed.

mod acting;
pub(crate) mod allowed;
pub(crate) mod authority;
mod class_table;
pub(crate) mod completions;
pub(crate) mod definitions;
pub(crate) mod delegate;
pub(crate) mod did;
pub(crate) mod doctor;
pub(crate) mod entry;
pub(crate) mod gaps;
pub(crate) mod halt;
pub(crate) mod init;
pub(crate) mod install;
pub(crate) mod mandate;
mod order;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod prove;
mod registered;
pub(crate) mod reindex;
pub(crate) mod revoke;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod tasks;
pub(crate) mod trace;
pub(crate) mod verify;
pub(crate) mod wrap;

use anyhow::{Context as _, anyhow, bail, ensure};
use capture::client::{Client, ClientError};
use serde_json::Value;

use crate::Outcome;
use crate::cli::{LIMIT_DEFAULT, Page, Stretch};
use crate::config::Config;
use crate::connect::Server;
use crate::names::{RunName, Time, Who};
use crate::output::{Output, Progress, print_raw, print_text};
use crate::render::{lists, text};

/// How often the server may say that the index is where it was, each time after some seconds.
const STILL_MAX: u32 = 12;

/// Asks for one answer from the index and prints it. It reflects everything that was in the log when the server was
/// asked first: where the index is behind, this waits for it, and says so.
async fn ask(
    server: &Server,
    path: &str,
    output: Output,
    page: impl FnOnce(&Value, usize) -> String,
) -> anyhow::Result<Outcome> {
    show(&folded(server, path).await?, output, page)
}

/// The bytes of such an answer.
async fn folded(server: &Server, path: &str) -> anyhow::Result<Vec<u8>> {
    let Some(last) = server.hello.size.checked_sub(1) else {
        return Ok(server.client.get_bytes(path).await?);
    };
    let waiting = format!("{path}{}wait={last}", if path.contains('?') { '&' } else { '?' });
    let mut progress = Progress::new("the index is made");
    let (mut reached, mut still) = (0, 0);
    loop {
        // the server answers within 5 s, folded or not
        match server.client.get_bytes(&waiting).await {
            Err(error) if error.code() == Some("not-folded") => {
                let status: Value = server.client.get_json("/v1/status").await?;
                let done = status.get("size").and_then(Value::as_u64).unwrap_or_default();
                progress.at(done, server.hello.size);
                still = if done > reached { 0 } else { still + 1 };
                reached = done;
                if still == STILL_MAX {
                    progress.end();
                    bail!(
                        "the index stands still at {done} of {} entries; `deeds reindex` makes it anew",
                        server.hello.size
                    );
                }
            }
            other => {
                progress.end();
                return Ok(other?);
            }
        }
    }
}

/// Asks for one answer that the server has at hand and prints it: the server's JSON unchanged, or as text.
async fn answer(
    client: &Client,
    path: &str,
    output: Output,
    page: impl FnOnce(&Value, usize) -> String,
) -> anyhow::Result<Outcome> {
    show(&client.get_bytes(path).await?, output, page)
}

fn show(bytes: &[u8], output: Output, page: impl FnOnce(&Value, usize) -> String) -> anyhow::Result<Outcome> {
    let value: Value = serde_json::from_slice(bytes).context("the server's answer is not JSON")?;
    if output.json {
        print_raw(bytes)?;
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

    fn stretch(self, stretch: &Stretch, now_ms: u64) -> Self {
        let time = |time: Option<Time>| time.map(|time| time.ms(now_ms).to_string());
        self.maybe("from", time(stretch.from)).maybe("to", time(stretch.to))
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

    /// Times are those of this moment, so that the pages of one list fit together.
    fn stretch(self, stretch: &Stretch, now_ms: u64) -> Self {
        let time = |time: Option<Time>| time.map(|time| time.text(now_ms));
        self.maybe("--from", time(stretch.from)).maybe("--to", time(stretch.to))
    }

    fn limit(self, page: &Page) -> Self {
        let own = page.limit != LIMIT_DEFAULT;
        self.maybe("--limit", own.then(|| page.limit.to_string()))
    }
}

/// Refuses a stretch of time that ends before it begins.
fn check_times(stretch: &Stretch, now_ms: u64) -> anyhow::Result<()> {
    if let (Some(from), Some(to)) = (stretch.from, stretch.to) {
        let (from, to) = (from.ms(now_ms), to.ms(now_ms));
        ensure!(
            from <= to,
            "`--from` ({}) is later than `--to` ({}): nothing can lie between; exchange them",
            text::time(from),
            text::time(to)
        );
    }
    Ok(())
}

/// The id of a run that is named by its id or by an entry of it.
async fn run_id(client: &Client, name: &RunName) -> anyhow::Result<String> {
    let index = match name {
        RunName::Id(id) => return Ok(id.clone()),
        RunName::At(index) => *index,
    };
    let entry: Value = client.get_json(&format!("/v1/entries/{index}")).await?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    text("run").with_context(|| {
        let kind = text("kind").unwrap_or_default();
        format!("@{index} is of no run: it is an entry of the kind `{kind}` about the log; `deeds runs` lists runs")
    })
}

/// The id of a task that is named by its id or by an entry of it.
async fn task_id(client: &Client, name: &RunName) -> anyhow::Result<String> {
    let RunName::At(index) = name else { return Ok(name.to_string()) };
    let run = run_id(client, name).await?;
    let answer: Value = client.get_json(&format!("/v1/runs/{run}")).await?;
    let task = answer.pointer("/task/value").and_then(Value::as_str);
    task.map(str::to_owned)
        .with_context(|| format!("the run of @{index} shows no task; `deeds tasks` lists those there are"))
}

/// The id of a run, of a task, or nothing where neither is named.
async fn maybe_run(client: &Client, name: Option<&RunName>) -> anyhow::Result<Option<String>> {
    match name {
        Some(name) => run_id(client, name).await.map(Some),
        None => Ok(None),
    }
}

/// As [`maybe_run`], of a task.
async fn maybe_task(client: &Client, name: Option<&RunName>) -> anyhow::Result<Option<String>> {
    match name {
        Some(name) => task_id(client, name).await.map(Some),
        None => Ok(None),
    }
}

/// Whom somebody asks for, as the API takes it.
async fn who(client: &Client, who: &Who) -> anyhow::Result<String> {
    match who {
        Who::Name(name) => Ok(name.clone()),
        Who::Run(run) => run_id(client, run).await,
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
