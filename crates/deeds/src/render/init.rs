//! The pages of `deeds init`.

use serde_json::Value;

use super::style::{BAD, DIM, GOOD, HEAD, PLAIN, WARN, paint};
use super::text::{add, count, item, paragraph, safe};
use crate::wiring::Client;

/// What wrapping by hand looks like.
const BY_HAND: &str = "\
To wrap a server by hand, put `deeds wrap --name NAME --` before its command, wherever your client names it:";
const BY_HAND_EXAMPLE: &str = "\
  \"command\": \"deeds\", \"args\": [\"wrap\", \"--name\", \"files\", \"--\", \"npx\", \"-y\", …]
";

/// What was found, what would change or was changed, and what to do next.
pub(crate) fn page(report: &Value, width: usize) -> String {
    let files = list(report, "files");
    let mut out = String::new();
    for file in files {
        self::file(&mut out, file, width);
    }
    if report.get("home").is_some_and(Value::is_null) {
        let says = "HOME is not set to a full path: the configurations of the user were not looked for.";
        out.push_str(&paragraph(&paint(WARN, says), 0, width));
        out.push('\n');
    }
    if files.iter().all(|file| list(file, "servers").is_empty()) {
        nothing(&mut out, report, width);
        return out;
    }
    policy(&mut out, report.get("policy").unwrap_or(&Value::Null), width);
    next(&mut out, report, width);
    out
}

fn file(out: &mut String, file: &Value, width: usize) {
    let error = text(file, "error");
    self::servers(out, file);
    if let Some(remark) = text(file, "remark") {
        out.push_str(&item(&paint(WARN, &format!("read: {}", safe(remark))), 2, width));
    }
    if let Some(real) = file.get("file").and_then(Value::as_str) {
        out.push_str(&item(&format!("a link to {}", safe(real)), 2, width));
    }
    if let Some(error) = error {
        out.push_str(&item(&format!("{} {}", paint(BAD, "not done:"), safe(error)), 2, width));
    }
    let changes = flag(file, "changes");
    if changes && flag(file, "shared") {
        let shared = "This file belongs to the project: whoever else uses it needs deeds too.";
        out.push_str(&item(&paint(WARN, shared), 2, width));
    }
    if changes && !flag(file, "written") && error.is_none() {
        diff(out, file);
    }
    out.push('\n');
}

/// The client, its file, and a line for each server in it.
pub(super) fn servers(out: &mut String, file: &Value) {
    let servers = list(file, "servers");
    add(out, format_args!("{}  {}\n", paint(HEAD, client(file)), paint(DIM, &path(file, "path"))));
    let longest =
        servers.iter().filter_map(|server| text(server, "name")).map(|name| name.chars().count()).max();
    for server in servers {
        self::server(out, server, longest.unwrap_or_default());
    }
}

fn server(out: &mut String, server: &Value, longest: usize) {
    let name = text(server, "name").unwrap_or_default();
    let alias = safe(text(server, "alias").unwrap_or_default()).into_owned();
    let (style, says) = match text(server, "state").unwrap_or_default() {
        "to-wrap" => (PLAIN, format!("to be wrapped as `{alias}`{}", numbered(server))),
        "not-wrapped" => (WARN, "not wrapped".to_owned()),
        "wrapped" => (GOOD, format!("wrapped as `{alias}`{}", numbered(server))),
        "remote" => (WARN, "reached by a URL: not covered yet".to_owned()),
        _ => (WARN, format!("left alone: {}", safe(text(server, "why").unwrap_or_default()))),
    };
    let project = text(server, "project").map(|project| paint(DIM, &format!(" (in {})", safe(project))));
    let padding = " ".repeat(longest.saturating_sub(name.chars().count()));
    add(
        out,
        format_args!("  {}{padding}  {}{}\n", safe(name), paint(style, &says), project.unwrap_or_default()),
    );
}

/// Why the name of a server has a number.
fn numbered(server: &Value) -> String {
    text(server, "why").map(|why| format!(" ({})", safe(why))).unwrap_or_default()
}

fn diff(out: &mut String, file: &Value) {
    let path = path(file, "path");
    add(out, format_args!("\n--- {path}\n+++ {path}\n"));
    for line in list(file, "diff").iter().filter_map(Value::as_str) {
        let style = match line.chars().next() {
            Some('+') => GOOD,
            Some('-') => BAD,
            Some('@') => DIM,
            _ => PLAIN,
        };
        add(out, format_args!("{}\n", paint(style, &with_tabs(line))));
    }
}

/// Tabs stay what they are, so that what is shown can be found in the file.
fn with_tabs(line: &str) -> String {
    line.split('\t').map(safe).collect::<Vec<_>>().join("\t")
}

fn nothing(out: &mut String, report: &Value, width: usize) {
    out.push_str("No MCP server was found. Looked for:\n");
    let looked = list(report, "looked");
    let longest = looked.iter().map(|place| client(place).len()).max().unwrap_or_default();
    for place in looked {
        add(out, format_args!("  {:longest$}  {}\n", client(place), path(place, "path")));
    }
    add(out, format_args!("\n{}{BY_HAND_EXAMPLE}", paragraph(BY_HAND, 0, width)));
}

fn policy(out: &mut String, policy: &Value, width: usize) {
    let Some(dir) = policy.get("dir").and_then(Value::as_str).map(safe) else { return };
    let (written, files) = (flag(policy, "written"), list(policy, "files"));
    let names = files.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" and ");
    add(out, format_args!("{}  {}\n", paint(HEAD, "Policy"), paint(DIM, &dir)));
    let added = policy.get("added").filter(|added| added.is_object());
    let says = match (files.is_empty(), written) {
        (true, true) if added.is_some() => {
            "Rows for servers that its `classes.toml` said nothing of were put below what is in it."
                .to_owned()
        }
        (true, false) if added.is_some() => {
            "Its `classes.toml` says nothing of some servers: rows for them go below what is in it."
                .to_owned()
        }
        (true, _) => "There is something in this directory already: it was left as it is.".to_owned(),
        (false, true) => {
            format!("Written: {names}, with what is known of these servers' tools. Read it, it is yours.")
        }
        (false, false) => format!(
            "To be written: {names}. Reads pass; writes and tools without a row are recorded and pass; what destroys, \
             or acts outside this machine, needs a rule."
        ),
    };
    out.push_str(&item(&says, 2, width));
    if let Some(rows) = text(policy, "rows") {
        let says = "Its `classes.toml` says nothing of these servers. Rows to add to it by hand:";
        out.push_str(&item(&paint(WARN, says), 2, width));
        add(out, format_args!("\n{}\n\n", super::text::lines(rows.trim_start())));
        let until = format!(
            "Then `deeds policy activate {dir}`; until then its tools are unclassified, and deletes pass."
        );
        out.push_str(&item(&paint(WARN, &until), 2, width));
    }
    if let Some(added) = added.filter(|_| !written) {
        table_diff(out, added);
    }
    if let Some(error) = text(policy, "error") {
        out.push_str(&item(&format!("{} {}", paint(BAD, "not done:"), safe(error)), 2, width));
    }
    if let (Some(line), Some(config)) = (text(policy, "line"), text(policy, "config")) {
        let verb = if written { "Added" } else { "To be added" };
        out.push_str(&item(&format!("{verb} to {}: {}", safe(config), safe(line)), 2, width));
    } else if let Some(configured) = text(policy, "configured").filter(|configured| *configured != dir) {
        out.push_str(&item(&format!("The configuration names another one: {}", safe(configured)), 2, width));
    }
    out.push('\n');
}

/// What is put below the last line of a class table.
fn table_diff(out: &mut String, added: &Value) {
    let (path, rows) = (path(added, "path"), text(added, "rows").unwrap_or_default());
    let before = added.get("lines_before").and_then(Value::as_u64).unwrap_or_default();
    add(out, format_args!("\n--- {path}\n+++ {path}\n"));
    let head = format!("@@ -{before},0 +{},{} @@", before.saturating_add(1), rows.lines().count());
    add(out, format_args!("{}\n", paint(DIM, &head)));
    for line in rows.lines() {
        add(out, format_args!("{}\n", paint(GOOD, &format!("+{}", safe(line)))));
    }
}

fn next(out: &mut String, report: &Value, width: usize) {
    let files = list(report, "files");
    let of = |member: &str| {
        u64::try_from(files.iter().filter(|file| flag(file, member)).count()).unwrap_or_default()
    };
    let (changing, written) = (of("changes"), of("written"));
    let policy = report.get("policy").unwrap_or(&Value::Null);
    let added = policy.get("added").is_some_and(Value::is_object);
    let policy_waits =
        added || !list(policy, "files").is_empty() || policy.get("line").is_some_and(Value::is_string);
    let says = if flag(report, "applied") {
        let edited = match written {
            0 => "No configuration was changed.".to_owned(),
            n => format!(
                "{} changed. Restart the clients.",
                count(n, "configuration was", "configurations were")
            ),
        };
        let dir = text(policy, "dir").map(safe).unwrap_or_default();
        let until = if added { "; until then the new tools are unclassified, and deletes pass" } else { "" };
        let waits = format!(
            " A server that runs already takes up the policy with `deeds policy activate {dir}`{until}."
        );
        let take_up = if policy_waits { waits } else { String::new() };
        let did = if written == 0 { "`deeds did` shows" } else { "`deeds did` then shows" };
        let but = if added || !list(policy, "files").is_empty() { ", the policy excepted" } else { "" };
        format!("{edited}{take_up} {did} what their agents do, `deeds init --undo` takes this back{but}.")
    } else if changing == 0 && !policy_waits {
        "Nothing is to be changed.".to_owned()
    } else {
        "Nothing was changed. `deeds init --apply` writes this, and `deeds init --undo` takes it back. Values of \
         environment variables and headers are not shown."
            .to_owned()
    };
    out.push_str(&paragraph(&says, 0, width));
}

/// What was taken back.
pub(crate) fn undone(report: &Value, width: usize) -> String {
    let files = list(report, "undone");
    if files.is_empty() {
        return "Nothing is wired: there is nothing to take back.\n".to_owned();
    }
    let mut out = String::new();
    for file in files {
        let (style, says) = match text(file, "how").unwrap_or_default() {
            "exact" => (GOOD, "as it was, byte for byte"),
            "removed" => (GOOD, "removed again: it was not there before"),
            "edits" => (GOOD, "was changed since: our edits were taken out, all else was left"),
            "nothing" => (WARN, "had nothing of ours in it any more"),
            _ => (BAD, "could not be put back"),
        };
        add(
            &mut out,
            format_args!("{}  {}\n  {}\n", paint(HEAD, client(file)), path(file, "path"), paint(style, says)),
        );
        for remark in list(file, "remarks").iter().filter_map(Value::as_str) {
            out.push_str(&item(&safe(remark), 2, width));
        }
    }
    if let Some(dir) = text(report, "policy_left") {
        let says = format!(
            "The policy in {} was left: it is yours. A log that it was activated on keeps it in force until another is.",
            safe(dir)
        );
        add(&mut out, format_args!("\n{}", paragraph(&says, 0, width)));
    }
    let taken_back = |file: &Value| matches!(text(file, "how"), Some("exact" | "edits"));
    let restart = files.iter().any(|file| text(file, "client") != Some("deeds") && taken_back(file));
    let restart = restart
        .then_some("Restart the clients: until then they reach their servers as they did, through deeds.");
    let runs = flag(report, "server_runs").then_some("A server still runs: `deeds stop` ends it.");
    let says = restart.into_iter().chain(runs).collect::<Vec<_>>().join(" ");
    if !says.is_empty() {
        add(&mut out, format_args!("\n{}", paragraph(&says, 0, width)));
    }
    out
}

fn client(file: &Value) -> &'static str {
    text(file, "client").and_then(Client::of).map_or("deeds", Client::name)
}

fn path(file: &Value, member: &str) -> String {
    safe(text(file, member).unwrap_or_default()).into_owned()
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member).and_then(Value::as_str)
}

fn flag(value: &Value, member: &str) -> bool {
    value.get(member).and_then(Value::as_bool).unwrap_or_default()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::text::visible;

    #[test]
    fn where_nothing_is_found_the_page_fits_and_the_places_stand_below_each_other() {
        let looked =
            ["claude-code", "codex", "vscode"].map(|client| json!({"client": client, "path": "/h/f"}));
        let page = page(&json!({"files": [], "looked": looked, "home": "/h"}), 80);
        assert!(page.lines().all(|line| visible(line) <= 80), "{page}");
        let columns: Vec<_> = page.lines().filter_map(|line| line.find("/h/f")).collect();
        assert!(columns.len() == 3 && columns.iter().all(|column| *column == columns[0]), "{page}");
    }
}
