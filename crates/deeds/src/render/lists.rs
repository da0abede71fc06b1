//! Lists as tables: runs, actions, principals, policies.

use serde_json::Value;

use super::fact::text as fact_text;
use super::style::{BAD, DIM, HEAD, WARN, of_word, paint};
use super::table::{Cell, cell, draw, styled};
use super::text::{add, count, safe, time};

/// `deeds runs`
pub(crate) fn runs(answer: &Value, width: usize) -> String {
    let rows = rows(answer, "runs");
    if rows.is_empty() {
        return format!("No runs yet. Begin one with `deeds wrap -- COMMAND`.\n{}", margin(answer));
    }
    let head = ["START", "BEGAN", "AGENT", "FOR", "GRADE", "SERVER", "ACTIONS", "STATE", "RUN"];
    let lines = rows.iter().map(|run| {
        let holder = fact_text(run, "holder", "/id");
        let refused = number(run, "refused");
        let actions = number(run, "actions");
        let shown =
            if refused == 0 { format!("{actions}") } else { format!("{actions} ({refused} refused)") };
        vec![
            position(run.get("started")),
            cell(time(number(run, "started_ms"))),
            cell(holder),
            cell(fact_text(run, "initiator", "/sub")),
            word(fact_text(run, "grade", "")),
            cell(fact_text(run, "servers", "/0/alias")),
            if refused == 0 { cell(shown) } else { styled(shown, BAD) },
            word(run_state(run)),
            styled(string(run, "run"), DIM),
        ]
    });
    format!("{}{}", draw(&head, lines.collect(), width), margin(answer))
}

fn run_state(run: &Value) -> String {
    let open = number(run, "open");
    let state = match fact_text(run, "reason", "") {
        reason if reason.is_empty() => "open".to_owned(),
        reason => reason,
    };
    if open == 0 { state } else { format!("{state}, {open} without outcome") }
}

/// `deeds did`
pub(crate) fn actions(answer: &Value, width: usize) -> String {
    let rows = rows(answer, "actions");
    if rows.is_empty() {
        return format!("No actions match.\n{}", margin(answer));
    }
    let head = ["ENTRY", "WHEN", "AGENT", "FOR", "TOOL", "VERDICT", "OUTCOME", "WHY"];
    let lines = rows.iter().map(|action| {
        let status =
            action.get("outcome").map(|outcome| fact_text(outcome, "status", "")).unwrap_or_default();
        vec![
            position(action.get("index")),
            cell(time(number(action, "observed_ms"))),
            cell(fact_text(action, "holder", "/id")),
            cell(fact_text(action, "principal", "/sub")),
            cell(fact_text(action, "tool", "")),
            word(fact_text(action, "verdict", "")),
            word(status),
            cell(why(action)),
        ]
    });
    let more = "Ask `deeds authority @ENTRY` who stands behind one of them.\n";
    format!("{}{}{}", draw(&head, lines.collect(), width), margin(answer), paint(DIM, more.trim_end()) + "\n")
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

/// `deeds principal list`
pub(crate) fn principals(answer: &Value, width: usize) -> String {
    let list = rows(answer, "principals");
    if list.is_empty() {
        return "No principals are registered. Register one with `deeds principal add NAME`.\n".to_owned();
    }
    let lines = list.iter().map(|row| {
        let retired = row.get("retired").and_then(Value::as_u64);
        vec![
            position(row.get("index")),
            cell(fact_text(row, "principal", "/sub")),
            cell(fact_text(row, "principal", "/kind")),
            cell(fact_text(row, "principal", "/key")),
            word(string(row, "label")),
            retired.map_or_else(|| cell("in force"), |at| styled(format!("retired @{at}"), WARN)),
        ]
    });
    let head = ["ENTRY", "NAME", "KIND", "KEY", "LABEL", "STATE"];
    format!("{}{}", draw(&head, lines.collect(), width), margin(answer))
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
    out.push_str(&draw(&["POLICY", "EFFECT"], lines.collect(), width));
    for warning in rows(answer, "warnings").iter().filter_map(Value::as_str) {
        add(&mut out, format_args!("{} {}\n", paint(WARN, "warning:"), safe(warning)));
    }
    out
}

/// What stands beside every answer: the log's size, what was left out, what is wrong with the evidence.
pub(crate) fn margin(answer: &Value) -> String {
    let mut out = String::new();
    for left_out in rows(answer, "left_out").iter().filter_map(Value::as_str) {
        add(&mut out, format_args!("{} {}\n", paint(WARN, "left out:"), safe(left_out)));
    }
    for finding in rows(answer, "findings") {
        let at =
            finding.get("index").and_then(Value::as_u64).map(|at| format!(" at @{at}")).unwrap_or_default();
        let text = format!("{}{at}: {}", string(finding, "code"), string(finding, "text"));
        add(&mut out, format_args!("{} {}\n", paint(BAD, "finding:"), safe(&text)));
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

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(json: &Value, name: &str) -> u64 {
    json.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn string(json: &Value, name: &str) -> String {
    json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn position(index: Option<&Value>) -> Cell {
    cell(index.and_then(Value::as_u64).map(|index| format!("@{index}")).unwrap_or_default())
}

fn word(word: String) -> Cell {
    let style = of_word(&word);
    styled(word, style)
}
