//! The page of `deeds install`.

use serde_json::Value;

use super::style::{DIM, HEAD, paint};
use super::text::{add, item, paragraph, safe};

/// What somebody does, or what was done, in order; then what clients need.
pub(crate) fn page(report: &Value, width: usize) -> String {
    let flag = |name: &str| report.get(name).and_then(Value::as_bool).unwrap_or_default();
    let (applied, uninstall) = (flag("applied"), flag("uninstall"));
    let mut out = String::new();
    for step in report.get("steps").and_then(Value::as_array).into_iter().flatten() {
        self::step(&mut out, step, applied, width);
    }
    let setting = report.pointer("/client/setting").and_then(Value::as_str).unwrap_or_default();
    let data = report.pointer("/client/data").and_then(Value::as_str).unwrap_or_default();
    let says = match (applied, uninstall) {
        (false, false) => {
            "\nNothing was done. As root, `deeds install --system --apply` does this.".to_owned()
        }
        (false, true) => format!(
            "\nNothing was done. As root, `deeds install --system --uninstall --apply` does this. The log and its keys \
             in {data}, /etc/deeds and the user `deeds` stay: remove them by hand if nobody needs the evidence."
        ),
        (true, true) => format!("\nThe service is gone. The log and its keys in {data} are still there."),
        (true, false) => "\nThe server runs.".to_owned(),
    };
    out.push('\n');
    out.push_str(&paragraph(&says, 0, width));
    if !uninstall {
        let says = format!(
            "Whoever is to use it logs in again (for the group), and puts this line into ~/.config/deeds/config.toml: {setting}"
        );
        out.push_str(&paragraph(&says, 0, width));
        let says = "What this changes: the log, its keys and the policy are out of reach of the agents' user, and the \
                    policy is changed by root alone. What it does not: agents can still go around `deeds wrap`; every \
                    user served can read all answers; which program a client runs cannot be seen across users.";
        out.push_str(&paragraph(says, 0, width));
    }
    out
}

fn step(out: &mut String, step: &Value, applied: bool, width: usize) {
    let text = |name: &str| step.get(name).and_then(Value::as_str).map(safe);
    if let Some(command) = step.get("run").and_then(Value::as_array) {
        let words: Vec<&str> = command.iter().filter_map(Value::as_str).collect();
        let unless = text("unless").map(|known| paint(DIM, &format!("  # unless there is such a {known}")));
        add(out, format_args!("{}{}\n", safe(&words.join(" ")), unless.unwrap_or_default()));
    } else if let Some(path) = text("write") {
        let there = step.get("there").and_then(Value::as_bool) == Some(true);
        let keeps = step.get("keeps").and_then(Value::as_bool) == Some(true);
        let left = there && keeps && !applied;
        let note = if left { paint(DIM, "  # is there already and would be left") } else { String::new() };
        add(out, format_args!("write {}{note}\n", paint(HEAD, &path)));
        let content = step.get("text").and_then(Value::as_str).unwrap_or_default();
        // a policy is long, and is read where it lies
        let shown = !applied && !path.contains("/policy/");
        for line in content.lines().filter(|_| shown) {
            add(out, format_args!("{}\n", paint(DIM, &format!("  | {}", safe(line)))));
        }
    } else if let Some(path) = text("remove") {
        out.push_str(&item(&format!("remove {path}"), 0, width));
    }
}
