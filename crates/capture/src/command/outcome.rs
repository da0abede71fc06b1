//! What came of a command, as its outcome says it.

use evidence::{Digest, Status};
use serde_json::json;

use super::child::Exit;
use super::stop::Stop;
use crate::api::{Allowed, Artifacts, CaptureMode, Finish};
use crate::files::snapshot::Snapshot;
use crate::limits::DETAIL_MAX;
use crate::run::{Held, Run};

/// The outcome of a command that ran: how it ended, after how many µs, what it made, what could not be seen.
pub(crate) fn finish(
    run: &Run,
    allowed: &Allowed,
    (exit, spent_us): (Exit, u64),
    (outputs, remarks): (Artifacts, &[String]),
) -> Finish {
    let (status, detail) = status(exit);
    let result = match exit {
        Exit::Code(code) => Some(json!({"exit_code": code}).to_string()),
        Exit::Signal(signal) => Some(json!({"signal": signal}).to_string()),
        Exit::Unknown => None,
    };
    let details: Vec<String> = detail.into_iter().chain(remarks.iter().cloned()).collect();
    Finish {
        result_digest: result.as_ref().map(|text| Digest::of(text.as_bytes()).to_string()),
        result_size: result.as_ref().map_or(0, |text| text.len() as u64),
        result: result.filter(|_| allowed.capture.result == CaptureMode::Sealed),
        detail: (!details.is_empty()).then(|| shortened(details.join("; "))),
        outputs,
        ..run.unanswered(allowed.index, status, "", spent_us)
    }
}

fn status(exit: Exit) -> (Status, Option<String>) {
    match exit {
        Exit::Code(0) => (Status::Ok, None),
        Exit::Code(code) => (Status::ToolError, Some(format!("exit status {code}"))),
        Exit::Signal(signal) => (Status::ToolError, Some(format!("killed by signal {signal}"))),
        Exit::Unknown => {
            (Status::Unknown, Some("the operating system does not say how the command ended".into()))
        }
    }
}

/// What people must know of what could not be seen, before and after.
pub(crate) fn remarks(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let told = |when: &str, remarks: Vec<String>| -> Vec<String> {
        remarks.into_iter().map(|remark| format!("files {when}: {remark}")).collect()
    };
    let (before, after) = (before.remarks(), after.remarks());
    if before == after {
        return told("before and after", before);
    }
    let mut all = told("before", before);
    all.extend(told("after", after));
    all
}

/// Delivers an outcome and waits until it is durable, for a while. Its log index; nothing where it is not known.
pub(crate) async fn deliver(held: &Held, act_id: &str, finish: Finish, stop: &mut Stop) -> Option<u64> {
    let (_, durable) = held.deliver_to_end(act_id.to_owned(), finish);
    Some(stop.patiently(durable).await?.ok()?.index)
}

fn shortened(mut text: String) -> String {
    if text.len() > DETAIL_MAX {
        let mut end = DETAIL_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_cut_at_their_limit_between_letters() {
        assert_eq!(shortened("a".repeat(DETAIL_MAX)).len(), DETAIL_MAX);
        assert_eq!(shortened("a".repeat(DETAIL_MAX + 1)).len(), DETAIL_MAX);
        assert_eq!(shortened("é".repeat(DETAIL_MAX)).len(), DETAIL_MAX);
        assert_eq!(shortened(format!("a{}", "é".repeat(DETAIL_MAX))).len(), DETAIL_MAX - 1);
    }

    #[test]
    fn remarks_that_hold_before_and_after_are_told_once() {
        let look = |special: usize| Snapshot { special, ..Snapshot::default() };
        let told = remarks(&look(1), &look(1));
        assert_eq!(told, ["files before and after: 1 pipes, sockets or devices passed over"]);
        assert_eq!(remarks(&look(1), &look(2)).len(), 2);
        assert!(remarks(&look(0), &look(0)).is_empty());
    }
}
