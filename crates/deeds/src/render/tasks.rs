//! Tasks: who worked for whom, how long, and what became of it.

use serde_json::Value;

use super::fact::loose;
use super::lists::{Asked, day_line, further, margin, number, one_day, position, rows, string, when};
use super::style::{BAD, DIM, WARN, paint};
use super::table::{Row, agent, cell, draw, left, right, styled, whole};
use super::text::{age, count};

/// `deeds tasks`; `again` is the command that the answer came from.
pub(crate) fn table(answer: &Value, width: usize, again: &str, asked: Asked) -> String {
    let list = rows(answer, "tasks");
    let below = further(answer, again) + &margin(answer, width);
    if list.is_empty() {
        let begin = "One begins with the first `deeds wrap -- COMMAND` of a client.";
        return asked.nothing("tasks", begin) + &below;
    }
    let day = one_day(list, "started_ms");
    let head = [
        whole("START"),
        whole("TIME"),
        whole("LASTED"),
        agent("AGENTS"),
        left("FOR"),
        right("SERVERS"),
        whole("RUNS"),
        whole("ACTIONS"),
    ];
    let lines: Vec<Row> = list.iter().map(|task| row(task, day.is_some())).collect();
    let more = paint(DIM, "Ask `deeds did --task @START` what was done in one of them.");
    format!("{}{}{below}{more}\n", day_line(day.as_deref()), draw(&head, lines, width))
}

fn row(task: &Value, same_day: bool) -> Row {
    let (actions, refused) = (number(task, "actions"), number(task, "refused"));
    let shown = if refused == 0 { format!("{actions}") } else { format!("{actions} ({refused} denied)") };
    let span = number(task, "last_ms").saturating_sub(number(task, "started_ms"));
    let agents: Vec<String> = rows(task, "holders")
        .iter()
        .filter_map(|holder| holder.pointer("/value/id")?.as_str().map(str::to_owned))
        .collect();
    let servers: Vec<&str> = rows(task, "servers").iter().filter_map(Value::as_str).collect();
    let row = Row::from(vec![
        position(task.get("started")),
        when(number(task, "started_ms"), same_day),
        cell(age(span)),
        cell(agents.join(", ")),
        cell(loose(task, "initiator", "/sub")),
        cell(servers.join(", ")),
        cell(number(task, "runs").to_string()),
        if refused == 0 { cell(shown) } else { styled(shown, BAD) },
    ]);
    let holes = holes(task);
    let row = if holes.is_empty() { row } else { row.note(styled(holes, WARN)) };
    row.note(styled(format!("task {}", string(task, "task")), DIM))
}

/// What of a task goes on, or is not known.
fn holes(task: &Value) -> String {
    let open = number(task, "open");
    let unknown = number(task, "unknown");
    let runs = number(task, "open_runs");
    [
        (runs, count(runs, "run is open", "runs are open")),
        (open, format!("{open} without outcome")),
        (unknown, count(unknown, "outcome unknown", "outcomes unknown")),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(_, told)| told)
    .collect::<Vec<_>>()
    .join(", ")
}
