//! Tells the story as it happens, and keeps what was observed for `--json`.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::NotYet;
use crate::output::{Output, print_json, print_text};
use crate::render::style::{BAD, DIM, GOOD, HEAD, WARN, paint};
use crate::render::text::{safe, wrap};

/// Columns that prose takes.
const PROSE: usize = 96;

/// What there is to ask about in a directory that is kept.
pub(super) struct Next {
    /// Questions to the log: a command without `--data`, and what it is about.
    pub(super) questions: Vec<(String, &'static str)>,
    /// Bundles in the directory.
    pub(super) bundles: &'static [&'static str],
    /// The log's public key.
    pub(super) log_vkey: String,
}

/// The teller.
pub(super) struct Narrator {
    story: u8,
    output: Output,
    steps: Vec<Value>,
    not_yet: Vec<NotYet>,
    checks: Vec<(String, bool)>,
    /// What there is to ask about afterwards.
    next: Option<Next>,
    /// Whether a progress line stands on the terminal.
    pending: bool,
}

impl Narrator {
    pub(super) fn new(story: u8, output: Output) -> Self {
        Self {
            story,
            output,
            steps: Vec::new(),
            not_yet: Vec::new(),
            checks: Vec::new(),
            next: None,
            pending: false,
        }
    }

    /// Columns for tables and pages.
    pub(super) fn width(&self) -> usize {
        self.output.width.min(140)
    }

    /// A heading with what it is about to show, in a few sentences.
    pub(super) fn begin(&mut self, heading: &str, says: &str) -> anyhow::Result<()> {
        let number = self.steps.len() + 1;
        self.print(&format!("\n{}\n", paint(HEAD, &format!("{number}. {heading}"))))?;
        self.say(says)
    }

    /// A paragraph.
    pub(super) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.print(&(wrap(text, PROSE).join("\n") + "\n"))
    }

    /// Something seen.
    pub(super) fn show(&mut self, text: &str) -> anyhow::Result<()> {
        self.print(&format!("  · {}\n", wrap(&safe(text), PROSE - 4).join("\n    ")))
    }

    /// A table or page, as it is.
    pub(super) fn page(&mut self, text: &str) -> anyhow::Result<()> {
        let indented = |line: &str| if line.is_empty() { String::new() } else { format!("  {line}") };
        self.print(&(text.lines().map(indented).collect::<Vec<_>>().join("\n") + "\n"))
    }

    /// A command that the reader could type; a long one is continued on further lines, as a shell takes it.
    pub(super) fn command(&mut self, line: &str) -> anyhow::Result<()> {
        let lines = continued(&safe(line), PROSE - "  $  \\".len()).join(" \\\n      ");
        self.print(&format!("  {}\n", paint(DIM, &format!("$ {lines}"))))
    }

    /// A line of the story that cannot be played yet.
    pub(super) fn not_yet(&mut self, line: NotYet) -> anyhow::Result<()> {
        self.not_yet.push(line);
        let text = format!("{} (comes with {})", line.line, line.comes_with);
        let text = wrap(&text, PROSE - "  not yet: ".len()).join("\n           ");
        self.print(&format!("  {} {text}\n", paint(WARN, "not yet:")))
    }

    /// Compares what was observed with what the story says.
    pub(super) fn check(&mut self, what: &str, holds: bool) -> anyhow::Result<()> {
        self.checks.push((what.to_owned(), holds));
        let (mark, style) = if holds { ("as told:", GOOD) } else { ("NOT as told:", BAD) };
        self.print(&format!("  {} {}\n", paint(style, mark), safe(what)))
    }

    /// Ends a step, with what was observed in it.
    pub(super) fn observed(&mut self, step: &str, observed: &Value) {
        self.steps.push(json!({"step": step, "observed": observed}));
    }

    /// Remembers what to name at the end.
    pub(super) fn remember(&mut self, next: Next) {
        self.next = Some(next);
    }

    /// A line that the next output replaces, on a terminal only.
    pub(super) fn progress(&mut self, text: &str) {
        let stderr = std::io::stderr();
        if stderr.is_terminal() {
            self.pending = true;
            let _ = write!(stderr.lock(), "\r\x1b[2K  {} …", safe(text));
        }
    }

    /// Whether everything went as told.
    pub(super) fn as_told(&self) -> bool {
        self.checks.iter().all(|(_, holds)| *holds)
    }

    /// What to do next, or the whole account as JSON.
    pub(super) fn end(&mut self, kept: Option<&Path>) -> anyhow::Result<()> {
        self.clear();
        if self.output.json {
            let checks: Vec<Value> =
                self.checks.iter().map(|(what, holds)| json!({"what": what, "holds": holds})).collect();
            let not_yet: Vec<Value> = self.not_yet.iter().map(|line| line.to_json()).collect();
            return print_json(
                &json!({"story": self.story, "version": env!("CARGO_PKG_VERSION"), "kept": kept,
                "steps": self.steps, "not_yet": not_yet, "checks": checks, "as_told": self.as_told()}),
            );
        }
        self.print(&format!("\n{}\n", paint(HEAD, "What next")))?;
        if let Some(kept) = kept {
            self.kept(kept)?;
        } else {
            self.say(
                "The directory is gone again; `deeds demo --keep` leaves it to look around in. On your own:",
            )?;
        }
        self.command(
            "deeds wrap -- npx -y @modelcontextprotocol/server-filesystem .   # in your MCP client",
        )?;
        self.command("deeds did                          # what it did")?;
        self.command("deeds principal add yourname       # put your own signature behind it")?;
        self.command("deeds delegate --as KEYFILE …      # and give an agent a part of your authority")?;
        self.command("deeds policy check ./policy        # say what nobody may do")
    }

    fn kept(&mut self, kept: &Path) -> anyhow::Result<()> {
        let data = kept.join("data");
        let data = data.display();
        self.say(&format!("The directory is kept: {}", kept.display()))?;
        self.command(&format!("deeds did --data {data}"))?;
        self.command(&format!("deeds runs --data {data}"))?;
        if let Some(next) = self.next.take() {
            for (question, about) in next.questions {
                let about = if about.is_empty() { String::new() } else { format!("   # {about}") };
                self.command(&format!("deeds {question} --data {data}{about}"))?;
            }
            for file in next.bundles {
                let file = kept.join(file);
                self.command(&format!("deeds verify {} --log-key '{}'", file.display(), next.log_vkey))?;
            }
        }
        self.say("Questions start the server again; this ends it:")?;
        self.command(&format!("deeds stop --data {data}"))?;
        self.say("On your own:")
    }

    /// Takes the progress line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.pending) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
        }
    }

    fn print(&mut self, text: &str) -> anyhow::Result<()> {
        self.clear();
        if self.output.json { Ok(()) } else { print_text(text) }
    }
}

/// A command in lines of at most `width` characters, broken between words and never within quotes.
fn continued(line: &str, width: usize) -> Vec<String> {
    if line.chars().count() <= width {
        return vec![line.to_owned()];
    }
    let mut quoted = false;
    let words = line.split(|c: char| {
        quoted ^= c == '\'';
        c == ' ' && !quoted
    });
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_is_broken_between_words_and_never_within_quotes() {
        assert_eq!(continued("deeds did  # all", 16), ["deeds did  # all"]);
        assert_eq!(continued("deeds halt 'a b' --why x", 12), ["deeds halt", "'a b' --why", "x"]);
        assert_eq!(continued("x 'a b c d e f'", 5), ["x", "'a b c d e f'"]);
    }
}
