//! The commands, one module each: what is asked of the server, and what is printed.

pub(crate) mod authority;
pub(crate) mod did;
pub(crate) mod entry;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod prove;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod verify;
pub(crate) mod wrap;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use capture::client::Client;
use serde_json::Value;

use crate::Outcome;
use crate::cli::Page;
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

/// A file of the user, refused when it is larger than it can reasonably be.
pub(crate) fn read_limited(path: &Path, max: usize) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open `{name}`"))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max)?.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
    ensure!(bytes.len() <= max, "`{name}` has more than {max} bytes");
    Ok(bytes)
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
    fn files_are_limited_at_the_boundary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read_limited(&path, 4).unwrap(), b"1234");
        assert!(read_limited(&path, 3).unwrap_err().to_string().contains("more than 3 bytes"));
    }
}
