//! What is said at the end of a command, on standard error, because standard output is the command's.

use capture::api::Reason;
use capture::command::{Ended, Exit, Ran};
use serde_json::{Value, json};

use super::{DENIED, NOT_STARTED};
use crate::commands::Again;
use crate::config::Config;
use crate::output::{Output, remark, remark_json};
use crate::render::style::{BAD, WARN, paint};

/// The exit code of this process.
pub(super) fn code(ended: &Ended) -> u8 {
    match ended {
        Ended::Denied { .. } => DENIED,
        Ended::Interrupted { signal, .. } => Exit::Signal(*signal).code(),
        Ended::NotStarted { .. } => NOT_STARTED,
        Ended::Ran(ran) => ran.exit.code(),
    }
}

/// Says how it went. What is not well is said even if nothing should be.
pub(super) fn tell(ended: &Ended, config: &Config, quiet: bool, output: Output) {
    if output.json {
        return remark_json(&value(ended));
    }
    match ended {
        Ended::Ran(ran) => {
            if !quiet {
                remark(&ran_line(ran, config));
            }
            for seen in &ran.remarks {
                remark(&format!("{}: {seen}", paint(WARN, "not seen")));
            }
            if ran.outcome.is_none() {
                remark(&format!(
                    "{}: the outcome of @{} is not recorded yet, and may become `unknown`; see `{}`",
                    paint(BAD, "error"),
                    ran.decision,
                    again(config, "authority", ran.decision)
                ));
            }
        }
        Ended::Denied { index, reason, hint } => {
            remark(&format!("{}: {}", paint(BAD, "error"), denied(*index, reason, *hint, config)));
        }
        Ended::NotStarted { decision, source } => {
            remark(&format!(
                "{}: @{decision} was allowed, and the command could not be started: {}",
                paint(BAD, "error"),
                crate::plain_io(source)
            ));
        }
        Ended::Interrupted { signal, decision } => {
            let allowed =
                decision.map(|index| format!("; @{index} was allowed and is recorded as not forwarded"));
            let allowed = allowed.unwrap_or_default();
            remark(&format!("ended by signal {signal} before the command was started{allowed}"));
        }
    }
}

/// `@12 allowed; @14 ok, 3 files changed; deeds trace @12`
fn ran_line(ran: &Ran, config: &Config) -> String {
    let outcome = match ran.outcome {
        Some(index) => format!("@{index} {}", ran.status.as_str()),
        None => ran.status.as_str().to_owned(),
    };
    let changed = match ran.changed {
        0 => "no file changed".to_owned(),
        1 => "1 file changed".to_owned(),
        more => format!("{more} files changed"),
    };
    format!("@{} allowed; {outcome}, {changed}; {}", ran.decision, again(config, "trace", ran.decision))
}

fn denied(index: Option<u64>, reason: &Reason, hint: Option<&str>, config: &Config) -> String {
    let by = match (reason.code.as_str(), reason.step.as_str()) {
        (_, "policy") => "by policy".to_owned(),
        ("delegation", step) => format!("by the delegation (step {step})"),
        (code, _) => format!("({code})"),
    };
    let text = reason.text.trim_end_matches('.');
    let hint = hint.map(|hint| format!(". {hint}")).unwrap_or_default();
    let at = match index {
        Some(index) => format!("Recorded as @{index}; see `{}`", again(config, "authority", index)),
        None => "Refusals like it are being counted, not recorded one by one; see `deeds did`".to_owned(),
    };
    format!("the command was refused {by} and not started: {text}{hint}. {at}")
}

fn again(config: &Config, command: &str, index: u64) -> String {
    Again::new(config, command).word(&format!("@{index}")).0
}

fn value(ended: &Ended) -> Value {
    match ended {
        Ended::Ran(ran) => {
            let mut value = json!({"verdict": "allow", "decision": ran.decision, "outcome": ran.outcome,
                "status": ran.status.as_str(), "files_changed": ran.changed, "not_seen": ran.remarks});
            let exit = match ran.exit {
                Exit::Code(code) => ("exit_code", json!(code)),
                Exit::Signal(signal) => ("signal", json!(signal)),
                Exit::Unknown => ("exit_code", Value::Null),
            };
            if let Some(members) = value.as_object_mut() {
                members.insert(exit.0.into(), exit.1);
            }
            value
        }
        Ended::Denied { index, reason, .. } => {
            json!({"verdict": "deny", "decision": index, "reason": reason})
        }
        Ended::NotStarted { decision, source } => json!({"verdict": "allow", "decision": decision,
            "status": "not-forwarded", "why": source.to_string()}),
        Ended::Interrupted { signal, decision } => json!({"decision": decision, "status": "not-forwarded",
            "signal": signal}),
    }
}

#[cfg(test)]
mod tests {
    use evidence::Status;

    use super::*;

    fn ran(changed: usize, outcome: Option<u64>) -> Ran {
        Ran { decision: 12, outcome, status: Status::Ok, exit: Exit::Code(0), changed, remarks: vec![] }
    }

    #[test]
    fn the_last_line_names_decision_outcome_and_where_to_look() {
        let config = Config::default();
        let line = |changed, outcome| ran_line(&ran(changed, outcome), &config);
        assert_eq!(line(3, Some(14)), "@12 allowed; @14 ok, 3 files changed; deeds trace @12");
        assert_eq!(line(1, Some(14)), "@12 allowed; @14 ok, 1 file changed; deeds trace @12");
        assert_eq!(line(0, None), "@12 allowed; ok, no file changed; deeds trace @12");
        let elsewhere = Config { data: "/d".into(), data_named: true, ..Config::default() };
        assert!(ran_line(&ran(0, None), &elsewhere).ends_with("deeds trace --data /d @12"));
    }

    #[test]
    fn exit_codes_tell_who_speaks() {
        let reason = Reason { code: "policy".into(), step: "policy".into(), text: "no.".into() };
        let denied = Ended::Denied { index: Some(7), reason, hint: None };
        assert_eq!((code(&denied), code(&Ended::Ran(ran(0, None)))), (126, 0));
        let source = std::io::Error::from_raw_os_error(2);
        assert_eq!(code(&Ended::NotStarted { decision: 7, source }), 127);
        assert_eq!(code(&Ended::Interrupted { signal: 15, decision: None }), 143);
        let Ended::Denied { index, reason, .. } = &denied else { panic!() };
        let text = self::denied(*index, reason, None, &Config::default());
        assert_eq!(
            text,
            "the command was refused by policy and not started: no. Recorded as @7; see `deeds authority @7`"
        );
    }
}
