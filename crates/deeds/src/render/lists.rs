//! Lists as tables: runs, actions, principals, policies.

use serde_json::Value;

use super::beside;
use super::fact::text as fact_text;
use super::report;
use super::style::{BAD, DIM, HEAD, WARN, of_word, paint, verdict};
use super::table::{
    Cell, Column, NOTE_INDENT, Row, agent, cell, draw, draw_id, fits, left, right, styled, whole,
};
use super::text::{add, clock, count, cut, date, paragraph, safe, time};

/// Characters of a digest that tell one row from another.
const DIGEST_SHOWN: usize = 12;
/// Which column the digest has.
const DIGEST_COLUMN: usize = 5;
/// Longest arguments that are shown in a row, characters.
const ARGUMENTS_MAX: usize = 40;

/// What a list was asked for, as far as an empty one has to say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    /// Only what came before this entry.
    pub(crate) before: Option<u64>,
    /// Some of all there is: a time, a task.
    pub(crate) narrowed: bool,
}

impl Asked {
    /// Why a list is empty: there are none before an entry, none like that, or none at all, and what to do then.
    pub(crate) fn nothing(self, what: &str, begin: &str) -> String {
        match (self.before, self.narrowed) {
            (Some(before), _) => format!("No {what} before @{before}.\n"),
            (None, true) => {
                format!("No {what} like that. Leave `--from`, `--to` or `--task` out to see all.\n")
            }
            (None, false) => format!("No {what} yet. {begin}\n"),
        }
    }
}

/// `deeds runs`; `again` is the command that the answer came from.
pub(crate) fn runs(answer: &Value, width: usize, again: &str, asked: Asked) -> String {
    let list = rows(answer, "runs");
    let below = further(answer, again) + &margin(answer, width);
    if list.is_empty() {
        return asked.nothing("runs", "Begin one with `deeds wrap -- COMMAND`.") + &below;
    }
    let day = one_day(list, "started_ms");
    let head = [
        whole("START"),
        whole("TIME"),
        agent("AGENT"),
        left("FOR"),
        whole("GRADE"),
        right("SERVER"),
        whole("ACTIONS"),
        whole("STATE"),
    ];
    let lines = list.iter().map(|run| run_row(run, day.is_some(), width)).collect();
    format!("{}{}{below}", day_line(day.as_deref()), draw(&head, lines, width))
}

fn run_row(run: &Value, same_day: bool, width: usize) -> Row {
    let (actions, refused) = (number(run, "actions"), number(run, "refused"));
    let shown = if refused == 0 { format!("{actions}") } else { format!("{actions} ({refused} denied)") };
    let row = Row::from(vec![
        position(run.get("started")),
        when(number(run, "started_ms"), same_day),
        cell(fact_text(run, "holder", "/id")),
        cell(fact_text(run, "initiator", "/sub")),
        word(fact_text(run, "grade", "")),
        cell(fact_text(run, "servers", "/0/alias")),
        if refused == 0 { cell(shown) } else { styled(shown, BAD) },
        word(run_state(run)),
    ]);
    let row = match run_holes(run) {
        Some(holes) => row.note(styled(holes, WARN)),
        None => row,
    };
    let ids = [("run", string(run, "run")), ("task", fact_text(run, "task", ""))];
    let ids = ids.map(|(name, id)| format!("{name} {id}"));
    let together = ids.join("  ");
    // an id is never broken
    if together.chars().count() + NOTE_INDENT <= width {
        return row.note(styled(together, DIM));
    }
    ids.into_iter().fold(row, |row, id| row.note(styled(id, DIM)))
}

fn run_state(run: &Value) -> String {
    match fact_text(run, "reason", "") {
        reason if reason.is_empty() => "open".to_owned(),
        reason => reason,
    }
}

/// What is missing from the record of a run.
fn run_holes(run: &Value) -> Option<String> {
    let open =
        Some(number(run, "open")).filter(|open| *open > 0).map(|open| format!("{open} without outcome"));
    let gaps =
        Some(number(run, "gap_entries")).filter(|gaps| *gaps > 0).map(|gaps| count(gaps, "gap", "gaps"));
    let holes: Vec<String> = open.into_iter().chain(gaps).collect();
    (!holes.is_empty()).then(|| holes.join(", "))
}

/// `deeds did`; `again` is the command that the answer came from.
pub(crate) fn actions(answer: &Value, width: usize, again: &str) -> String {
    let list = rows(answer, "actions");
    let below = remarks(answer, width) + &further(answer, again) + &margin(answer, width);
    if list.is_empty() {
        let nothing = match again {
            // everything was asked for
            "deeds did" => {
                "No actions yet. They come with `deeds wrap -- COMMAND` or `deeds run -- COMMAND`."
            }
            _ => "No actions match.",
        };
        return format!("{nothing}\n{below}");
    }
    let day = one_day(list, "observed_ms");
    let table = |beside: Beside| -> (Vec<Column>, Vec<Row>) {
        (beside.head(), list.iter().map(|action| action_row(action, day.is_some(), beside)).collect())
    };
    let (mut head, mut rows) = table(Beside { digest: true, args: true });
    // no room beside: the arguments are told below, their digest not at all
    for beside in [Beside { digest: false, args: true }, Beside { digest: false, args: false }] {
        if !fits(&head, &rows, width) {
            (head, rows) = table(beside);
        }
    }
    let more = paint(DIM, "Ask `deeds authority @ENTRY` who stands behind one of them.");
    format!("{}{}{below}{more}\n", day_line(day.as_deref()), draw(&head, rows, width))
}

/// What stands beside verdict and outcome, where there is room.
#[derive(Clone, Copy)]
struct Beside {
    digest: bool,
    args: bool,
}

impl Beside {
    fn head(self) -> Vec<Column> {
        let mut head = vec![
            whole("ENTRY"),
            whole("TIME"),
            agent("AGENT"),
            left("FOR"),
            left("TOOL").last(),
            whole("DIGEST"),
            whole("VERDICT"),
            whole("OUTCOME"),
            whole("ARGUMENTS"),
        ];
        if !self.args {
            head.pop();
        }
        if !self.digest {
            head.remove(DIGEST_COLUMN);
        }
        head
    }
}

fn action_row(action: &Value, same_day: bool, show: Beside) -> Row {
    let status = action.get("outcome").map(|outcome| fact_text(outcome, "status", "")).unwrap_or_default();
    let digest: String = fact_text(action, "args_digest", "").chars().take(DIGEST_SHOWN).collect();
    let args = action.pointer("/args/value").and_then(typed).unwrap_or_default();
    let args = cut(&args, ARGUMENTS_MAX).into_owned();
    let why = why(action);
    let mut cells = vec![
        position(action.get("index")),
        when(number(action, "observed_ms"), same_day),
        cell(fact_text(action, "holder", "/id")),
        cell(fact_text(action, "principal", "/sub")),
        cell(tool(&fact_text(action, "tool", ""))),
        cell(digest),
        word(verdict(&fact_text(action, "verdict", "")).to_owned()),
        word(status),
    ];
    if !show.digest {
        cells.remove(DIGEST_COLUMN);
    }
    let below = if show.args {
        cells.push(cell(args));
        why
    } else {
        [args, why].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
    };
    let row = Row::from(cells);
    let row = if below.is_empty() { row } else { row.note(styled(below, DIM)) };
    beside::notes(action).into_iter().fold(row, Row::note)
}

/// The reason of a refusal, or that a tool is not classified.
fn why(action: &Value) -> String {
    let reason = fact_text(action, "reason", "/text");
    let classified = action.pointer("/class/value/classified").and_then(Value::as_bool);
    match (reason.is_empty(), classified) {
        (false, _) => reason,
        (true, Some(false)) => "tool not classified".to_owned(),
        (true, _) => String::new(),
    }
}

/// A tool's URI without the scheme that nearly all have.
pub(crate) fn tool(uri: &str) -> &str {
    uri.strip_prefix("stdio:").unwrap_or(uri)
}

/// Short arguments as `host=ws-0101`; nothing for longer ones.
pub(crate) fn arguments(args: &Value) -> Option<String> {
    typed(args).filter(|text| text.chars().count() <= ARGUMENTS_MAX)
}

fn typed(args: &Value) -> Option<String> {
    let one = |(name, value): (&String, &Value)| match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => {
            format!("{name}={text}")
        }
        other => format!("{name}={other}"),
    };
    Some(args.as_object()?.iter().map(one).collect::<Vec<_>>().join(" "))
}

/// What is recorded of the same runs and is no action: `2 gaps: @117, @128 (the server could not be reached)`.
fn remarks(answer: &Value, width: usize) -> String {
    let mut groups: Vec<(String, String, Vec<u64>)> = Vec::new();
    for remark in rows(answer, "remarks") {
        let what = string(remark, "what");
        let why = match fact_text(remark, "why", "") {
            reason if reason == "server-unreachable" => {
                "while the server could not be reached; what was missed is counted there".to_owned()
            }
            _ if what == "refusal" => match fact_text(remark, "why", "/why") {
                why if why.is_empty() => "counted instead of recorded one by one".to_owned(),
                why => why,
            },
            reason => reason,
        };
        match groups.iter_mut().find(|(known, reason, _)| (known, reason) == (&what, &why)) {
            Some((_, _, places)) => places.push(number(remark, "index")),
            None => groups.push((what, why, vec![number(remark, "index")])),
        }
    }
    let told = |(what, why, places): &(String, String, Vec<u64>)| {
        let n = u64::try_from(places.len()).unwrap_or(u64::MAX);
        let what = match what.as_str() {
            "gap" => count(n, "gap", "gaps"),
            "revoked" => count(n, "revocation", "revocations"),
            "halted" => count(n, "halt", "halts"),
            "resumed" => count(n, "halt lifted", "halts lifted"),
            "counter-hole" => count(n, "run without all its proofs", "runs without all their proofs"),
            _ => count(n, "refusal that is no action", "refusals that are no actions"),
        };
        let text = format!("{what}:{} ({why})", report::ranges(places));
        paragraph(&format!("{} {}", paint(WARN, "also recorded:"), safe(&text)), 2, width)
    };
    groups.iter().map(told).collect()
}

/// The command that shows the rows which follow.
pub(crate) fn further(answer: &Value, again: &str) -> String {
    let next = answer.get("next").and_then(Value::as_u64).filter(|_| !again.is_empty());
    next.map(|next| format!("{} {} --before @{next}\n", paint(WARN, "more:"), safe(again)))
        .unwrap_or_default()
}

/// The day that all rows are of, if it is one.
pub(crate) fn one_day(rows: &[Value], member: &str) -> Option<String> {
    let mut days = rows.iter().map(|row| date(number(row, member)));
    let first = days.next()?;
    days.all(|day| day == first).then_some(first)
}

pub(crate) fn day_line(day: Option<&str>) -> String {
    day.map(|day| format!("{}\n", paint(DIM, &format!("{day}, times in UTC")))).unwrap_or_default()
}

pub(crate) fn when(ms: u64, same_day: bool) -> Cell {
    cell(if same_day { clock(ms) } else { time(ms) })
}

/// `deeds principal list`
pub(crate) fn principals(answer: &Value, width: usize) -> String {
    let list = rows(answer, "principals");
    if list.is_empty() {
        return "No principals are registered. Register one with `deeds principal add NAME`.\n".to_owned();
    }
    let lines = list.iter().map(|row| {
        let retired = row.get("retired").and_then(Value::as_u64);
        Row::from(vec![
            position(row.get("index")),
            cell(fact_text(row, "principal", "/sub")),
            cell(fact_text(row, "principal", "/kind")),
            cell(fact_text(row, "principal", "/key")),
            word(string(row, "label")),
            retired.map_or_else(|| cell("in force"), |at| styled(format!("retired @{at}"), WARN)),
        ])
    });
    let head = [whole("ENTRY"), right("NAME"), whole("KIND"), right("KEY"), whole("LABEL"), whole("STATE")];
    format!("{}{}", draw_id(&head, 3, lines.collect(), width), margin(answer, width))
}

/// `deeds policy show`
pub(crate) fn policy(answer: &Value, width: usize) -> String {
    let mut out = format!("{} {}\n", paint(HEAD, "Policy"), safe(&string(answer, "digest")));
    add(&mut out, format_args!("from {}\n\n", safe(&string(answer, "source"))));
    let lines = rows(answer, "policies").iter().map(|policy| {
        let effect = string(policy, "effect");
        let style = if effect == "forbid" { BAD } else { of_word("allow") };
        vec![cell(string(policy, "id")), styled(effect, style)]
    });
    out.push_str(&draw(&[right("POLICY"), whole("EFFECT")], lines.collect(), width));
    for warning in rows(answer, "warnings").iter().filter_map(Value::as_str) {
        out.push_str(&paragraph(&format!("{} {}", paint(WARN, "warning:"), safe(warning)), 2, width));
    }
    out
}

/// What stands beside every answer: the log's size, what was left out, what is wrong with the evidence.
pub(crate) fn margin(answer: &Value, width: usize) -> String {
    let mut out = String::new();
    for left_out in rows(answer, "left_out").iter().filter_map(Value::as_str) {
        out.push_str(&paragraph(&format!("{} {}", paint(WARN, "left out:"), safe(left_out)), 2, width));
    }
    for finding in rows(answer, "findings") {
        let at =
            finding.get("index").and_then(Value::as_u64).map(|at| format!(" at @{at}")).unwrap_or_default();
        let text = format!("{}{at}: {}", string(finding, "code"), string(finding, "text"));
        out.push_str(&paragraph(&format!("{} {}", paint(BAD, "finding:"), safe(&text)), 2, width));
    }
    if let Some(size) = answer.get("size").and_then(Value::as_u64) {
        let whole = answer.get("complete").and_then(Value::as_bool).unwrap_or(false);
        let whole = if whole { "complete" } else { "not complete" };
        let line = format!("Reflects the log's first {}; {whole}.", count(size, "entry", "entries"));
        add(&mut out, format_args!("{}\n", paint(DIM, &line)));
    }
    out
}

/// Whether an answer reports something wrong with its evidence.
pub(crate) fn has_findings(answer: &Value) -> bool {
    !rows(answer, "findings").is_empty()
}

pub(crate) fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn number(json: &Value, name: &str) -> u64 {
    json.get(name).and_then(Value::as_u64).unwrap_or_default()
}

pub(crate) fn string(json: &Value, name: &str) -> String {
    json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn position(index: Option<&Value>) -> Cell {
    cell(index.and_then(Value::as_u64).map(|index| format!("@{index}")).unwrap_or_default())
}

pub(crate) fn word(word: String) -> Cell {
    let style = of_word(&word);
    styled(word, style)
}
