//! What somebody may do at a time: each chain with its tools, exact for the chain, and what the policy says of each.

use serde_json::Value;

use super::fact::loose;
use super::limits;
use super::lists::{margin, number, rows, string};
use super::style::{DIM, HEAD, WARN, of_word, paint};
use super::text::{add, count, item, paragraph, safe, time};

/// `deeds allowed`; `who` is what was asked for.
pub(crate) fn page(answer: &Value, who: &str, width: usize) -> String {
    let list = rows(answer, "delegations");
    let below = margin(answer, width);
    if list.is_empty() {
        let told =
            format!("No delegation that {} could use then, or within a day of it, is recorded.", safe(who));
        return format!("{told}\n{below}");
    }
    let mut out: String = list.iter().map(|delegation| block(delegation, width)).collect();
    let policy = loose(answer, "policy_digest", "");
    if !policy.is_empty() {
        add(&mut out, format_args!("{}\n", paint(DIM, &format!("policy {}", safe(&policy)))));
    }
    let told = "The limits are exact. `always` and `never` hold for every call within them; `conditional` depends on \
                the policies named.";
    out.push_str(&paint(DIM, paragraph(told, 0, width).trim_end()));
    out.push('\n');
    out.push_str(&below);
    out
}

fn block(delegation: &Value, width: usize) -> String {
    let state = string(delegation, "state");
    let at = delegation.get("index").and_then(Value::as_u64).map(|at| format!("@{at}")).unwrap_or_default();
    let over = over(delegation);
    let shown = if over.is_empty() { of_word(&state) } else { WARN };
    let title = format!(
        "{} {} for {}: {}{}",
        paint(HEAD, &at),
        safe(&loose(delegation, "holder", "/id")),
        safe(&loose(delegation, "principal", "/sub")),
        paint(shown, &safe(&state)),
        if over.is_empty() { over } else { paint(WARN, &over) },
    );
    let mut out = item(&title, 0, width);
    let why = loose(delegation, "why", "");
    // of one that has not begun or has ended, the times below say it
    if !why.is_empty() && !["not-yet", "expired"].contains(&state.as_str()) {
        out.push_str(&item(&paint(WARN, &safe(&why)), 2, width));
    }
    let (from, until) = (number(delegation, "from"), number(delegation, "until"));
    add(
        &mut out,
        format_args!(
            "  {} to {}, used for {}\n",
            time(from.saturating_mul(1_000)),
            time(until.saturating_mul(1_000)),
            count(number(delegation, "used"), "act", "acts"),
        ),
    );
    let purpose = loose(delegation, "purpose", "");
    if !purpose.is_empty() {
        out.push_str(&item(&format!("purpose: {}", safe(&purpose)), 2, width));
    }
    for tool in rows(delegation, "tools") {
        out.push_str(&item(&row(tool), 4, width));
    }
    out.push('\n');
    out
}

/// That nobody is known to act under it any more.
fn over(delegation: &Value) -> String {
    let Some(ended) = delegation.get("runs_ended").filter(|ended| ended.is_object()) else {
        return String::new();
    };
    let (at, when) = (number(ended, "index"), time(number(ended, "at_ms")));
    match number(ended, "count") {
        1 => format!(", but its run ended (@{at}, {when})"),
        n => format!(", but its {n} runs ended (the last @{at}, {when})"),
    }
}

fn row(tool: &Value) -> String {
    let limits = tool.get("arguments").and_then(Value::as_object).map(limits::of_json).unwrap_or_default();
    let policy = string(tool, "policy");
    let policies: Vec<&str> = rows(tool, "policies").iter().filter_map(Value::as_str).collect();
    let on = if policies.is_empty() { String::new() } else { format!(" ({})", policies.join(", ")) };
    let approval = tool.get("approval").and_then(Value::as_bool) == Some(true);
    let approval = if approval { "; needs an approval" } else { "" };
    format!(
        "{} {}: policy {}{}{approval}",
        safe(&string(tool, "tool")),
        safe(&limits),
        paint(of_word(&policy), &safe(&policy)),
        safe(&on),
    )
}
