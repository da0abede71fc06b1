//! Tasks: acts that were answered with the promise of a later answer, each until its end has been seen.
//!
//! A pure table under one lock, and the reading of messages that tell how a task stands. Those that have ended are
//! remembered while there is room, so that what is told of them later is known to belong to their act.

use std::collections::HashMap;

use evidence::Status;

use super::answer::{self, judge_result};
use super::members::Members;
use super::proxy::shown;
use crate::limits::TASKS_MAX;

/// Members by which it is known how a task stands: each has one spelling, and all stand in one place.
const READ: [&str; 6] = ["task", "taskId", "status", "result", "error", "inputRequests"];

/// How a message says that a task stands. Texts are exact, from a frame that was checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stand<'a> {
    /// It goes on.
    GoesOn,
    /// It has ended.
    Ended(Ending<'a>),
}

/// The end of a task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ending<'a> {
    pub(crate) status: Status,
    /// What came of it, where the message holds that: a result or an error.
    pub(crate) body: Option<&'a str>,
    pub(crate) detail: Option<String>,
}

/// Reads how a task stands in the answer to a request about it, or in the params of a notification. `operation` is
/// that of the act which began it.
pub(crate) fn read<'a>(operation: &str, told: &'a str) -> Stand<'a> {
    let Some(members) = Members::of(told) else { return Stand::GoesOn };
    let nested = members.get("task").and_then(Members::of);
    let task = nested.as_ref().unwrap_or(&members);
    let says = |text: &str| Some(format!("the task {text}"));
    match task.string("status").as_deref() {
        Some("completed") => Stand::Ended(match task.get("result") {
            Some(result) => {
                let (status, detail) = judge_result(operation, result);
                Ending { status, body: Some(result), detail }
            }
            None => Ending {
                status: Status::Ok,
                body: None,
                detail: says("completed; its result was not with it"),
            },
        }),
        Some("failed") => Stand::Ended(match task.get("error") {
            Some(error) => {
                Ending { status: Status::RefusedByTarget, body: Some(error), detail: says("failed") }
            }
            None => match task.get("result") {
                result @ Some(_) => {
                    Ending { status: Status::ToolError, body: result, detail: says("failed") }
                }
                None => Ending {
                    status: Status::ToolError,
                    body: None,
                    detail: says("failed; why was not with it"),
                },
            },
        }),
        Some("cancelled") => {
            Stand::Ended(Ending { status: Status::Cancelled, body: None, detail: says("was cancelled") })
        }
        _ => Stand::GoesOn,
    }
}

/// Why a message about a task cannot be relied on: another reader could take it for something else, or it brings of a
/// result what only the end of a task may bring. Nothing where all is well. `task` is the one that it must be about.
pub(crate) fn odd(told: &str, task: Option<&str>) -> Option<String> {
    let members = Members::of(told)?;
    let nested = members.get("task").and_then(Members::of);
    if let Some(name) =
        members.look_alike(&READ).or_else(|| nested.as_ref().and_then(|nested| nested.look_alike(&READ)))
    {
        return Some(format!("its member `{}` differs from a known one in case alone", shown(name)));
    }
    let beside = |name: &&str| *name != "task" && members.get(name).is_some();
    if members.get("task").is_some() && READ.iter().any(beside) {
        return Some("it tells of a task in two places".into());
    }
    let members = nested.unwrap_or(members);
    if let (Some(task), Some(id)) = (task, members.get("taskId"))
        && serde_json::from_str::<String>(id).ok().as_deref() != Some(task)
    {
        return Some("it tells of another task than the one asked about".into());
    }
    let status = members.string("status");
    let has_error = members.get("error").is_some();
    let may = |name: &&&str| match status.as_deref() {
        Some("completed") => **name == "result",
        Some("failed") => **name == "error" || **name == "result" && !has_error,
        _ => false,
    };
    let brought = answer::BROUGHT.iter().filter(|name| members.get(name).is_some()).find(|name| !may(name));
    if let Some(name) = brought {
        return Some(format!("it has `{name}`, which a task in its state does not bring"));
    }
    odd_result(members.get("result")?)
}

/// The same for what came of a task.
fn odd_result(result: &str) -> Option<String> {
    let members = Members::of(result)?;
    if let Some(name) = members.look_alike(&answer::READ) {
        return Some(format!("the result's member `{}` differs from a known one in case alone", shown(name)));
    }
    answer::asks_of_client(&members).then(|| "the result of the task asks something of the client".into())
}

/// The task that a notification tells of.
pub(crate) fn told_of(params: &str) -> Option<String> {
    let members = Members::of(params)?;
    let nested = members.get("task").and_then(Members::of);
    nested.as_ref().unwrap_or(&members).string("taskId")
}

/// Why a task is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotFollowed {
    /// Its id is that of another.
    Known,
    /// [`TASKS_MAX`] are open.
    Full,
}

/// Who began a task, and whether it has ended.
#[derive(Debug)]
struct Task<P, E> {
    /// The run that its act was decided in.
    run: String,
    state: State<P, E>,
}

#[derive(Debug)]
enum State<P, E> {
    Open(P),
    Ended {
        end: E,
        /// Position in the order of ends.
        order: u64,
    },
}

/// The tasks of one server. `P` holds the permit of the act, which leaves here exactly once; `E` is what is known
/// of an end.
#[derive(Debug)]
pub(crate) struct TaskTable<P, E> {
    tasks: HashMap<String, Task<P, E>>,
    ends: u64,
}

impl<P, E> Default for TaskTable<P, E> {
    fn default() -> Self {
        Self { tasks: HashMap::new(), ends: 0 }
    }
}

impl<P, E> TaskTable<P, E> {
    /// Follows a task from now on.
    pub(crate) fn begin(&mut self, id: &str, run: &str, permit: P) -> Result<(), (P, NotFollowed)> {
        if self.tasks.contains_key(id) {
            return Err((permit, NotFollowed::Known));
        }
        if self.tasks.len() >= TASKS_MAX && !self.forget_ended() {
            return Err((permit, NotFollowed::Full));
        }
        self.tasks.insert(id.to_owned(), Task { run: run.to_owned(), state: State::Open(permit) });
        Ok(())
    }

    /// Whether the end of any task is still to come.
    pub(crate) fn is_any_open(&self) -> bool {
        self.tasks.values().any(|task| matches!(task.state, State::Open(_)))
    }

    /// The run in which the act that became this task was decided.
    pub(crate) fn run_of(&self, id: &str) -> Option<&str> {
        self.tasks.get(id).map(|task| task.run.as_str())
    }

    /// A task that is open.
    pub(crate) fn open_mut(&mut self, id: &str) -> Option<&mut P> {
        match &mut self.tasks.get_mut(id)?.state {
            State::Open(permit) => Some(permit),
            State::Ended { .. } => None,
        }
    }

    /// A task that has ended.
    pub(crate) fn ended_mut(&mut self, id: &str) -> Option<&mut E> {
        match &mut self.tasks.get_mut(id)?.state {
            State::Ended { end, .. } => Some(end),
            State::Open(_) => None,
        }
    }

    /// Ends an open task.
    pub(crate) fn end<R>(&mut self, id: &str, make: impl FnOnce(P) -> (E, R)) -> Option<R> {
        let Task { run, state } = self.tasks.remove(id)?;
        let State::Open(permit) = state else {
            self.tasks.insert(id.to_owned(), Task { run, state });
            return None;
        };
        let (end, made) = make(permit);
        let order = self.ends;
        self.ends += 1;
        self.tasks.insert(id.to_owned(), Task { run, state: State::Ended { end, order } });
        Some(made)
    }

    /// Those whose end was not seen.
    pub(crate) fn close(&mut self) -> Vec<P> {
        let open = self.tasks.drain().filter_map(|(_, task)| match task.state {
            State::Open(permit) => Some(permit),
            State::Ended { .. } => None,
        });
        open.collect()
    }

    fn forget_ended(&mut self) -> bool {
        let ended = self.tasks.iter().filter_map(|(id, task)| match task.state {
            State::Ended { order, .. } => Some((order, id)),
            State::Open(_) => None,
        });
        let Some((_, first)) = ended.min() else { return false };
        let first = first.clone();
        self.tasks.remove(&first).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = TaskTable<u64, &'static str>;

    fn end(table: &mut Table, id: &str) -> Option<u64> {
        table.end(id, |permit| ("over", permit))
    }

    #[test]
    fn a_permit_leaves_once_and_its_end_is_remembered() {
        let mut table = Table::default();
        assert_eq!(table.begin("t", "run", 7), Ok(()));
        assert_eq!(table.begin("t", "run", 8), Err((8, NotFollowed::Known)));
        assert_eq!((table.run_of("t"), table.run_of("x")), (Some("run"), None));
        assert_eq!((table.open_mut("t").copied(), table.ended_mut("t")), (Some(7), None));
        assert_eq!(end(&mut table, "t"), Some(7));
        assert_eq!(end(&mut table, "t"), None);
        assert_eq!((table.open_mut("t").copied(), table.ended_mut("t").copied()), (None, Some("over")));
        assert_eq!(table.begin("t", "run", 8), Err((8, NotFollowed::Known)), "also after its end");
        assert_eq!(table.run_of("t"), Some("run"));
        table.begin("u", "run", 9).unwrap();
        assert_eq!(table.close(), [9]);
        assert_eq!(end(&mut table, "u"), None);
        assert_eq!(table.run_of("t"), None);
    }

    #[test]
    fn their_number_is_limited_and_the_first_that_ended_makes_room() {
        let mut table = Table::default();
        for n in 0..TASKS_MAX {
            table.begin(&n.to_string(), "run", n as u64).unwrap();
        }
        assert_eq!(table.begin("more", "run", 1), Err((1, NotFollowed::Full)));
        end(&mut table, "5");
        end(&mut table, "3");
        assert_eq!(table.begin("more", "run", 1), Ok(()));
        assert_eq!((table.run_of("5"), table.run_of("3")), (None, Some("run")));
    }

    fn ended(operation: &str, told: &str) -> (Status, Option<String>) {
        match read(operation, told) {
            Stand::Ended(ending) => (ending.status, ending.body.map(str::to_owned)),
            Stand::GoesOn => panic!("{told} goes on"),
        }
    }

    #[test]
    fn ends_are_read_in_both_eras() {
        let some = |text: &str| Some(text.to_owned());
        let is_error = r#"{"status":"completed","result":{"content":[], "isError":true}}"#;
        assert_eq!(
            ended("tools/call", is_error),
            (Status::ToolError, some(r#"{"content":[], "isError":true}"#))
        );
        assert_eq!(ended("prompts/get", is_error).0, Status::Ok);
        for (told, expected) in [
            (r#"{"status":"completed","result":{}}"#, (Status::Ok, some("{}"))),
            (r#"{"status":"completed","result":7}"#, (Status::Unknown, some("7"))),
            (r#"{"taskId":"t","status":"completed"}"#, (Status::Ok, None)),
            (r#"{"task":{"taskId":"t","status":"completed"}}"#, (Status::Ok, None)),
            (r#"{"status":"failed","error":{"code":1}}"#, (Status::RefusedByTarget, some(r#"{"code":1}"#))),
            (r#"{"status":"failed"}"#, (Status::ToolError, None)),
            (r#"{"status":"failed","result":{}}"#, (Status::ToolError, some("{}"))),
            (r#"{"status":"cancelled"}"#, (Status::Cancelled, None)),
        ] {
            assert_eq!(ended("tools/call", told), expected, "{told}");
        }
        for told in
            [r#"{"status":"working"}"#, r#"{"status":"input_required"}"#, r#"{"status":7}"#, "{}", "7"]
        {
            assert_eq!(read("tools/call", told), Stand::GoesOn, "{told}");
        }
    }

    #[test]
    fn what_means_two_things_or_brings_too_early_is_odd() {
        for fine in [
            "{}",
            "7",
            r#"{"taskId":"t","status":"working","statusMessage":"m","ttlMs":1,"_meta":{}}"#,
            r#"{"task":{"taskId":"t","status":"completed","result":{"content":[]}},"_meta":{}}"#,
            r#"{"taskId":"t","status":"failed","error":{"code":1}}"#,
            r#"{"taskId":"t","status":"failed","result":{"isError":true}}"#,
            r#"{"taskId":"t","status":"input_required","inputRequests":{}}"#,
        ] {
            assert_eq!(odd(fine, Some("t")), None, "{fine}");
        }
        for wrong in [
            r#"{"taskId":"u","status":"working"}"#,
            r#"{"taskId":7,"status":"working"}"#,
            r#"{"taskId":"t","task":7}"#,
            r#"{"task":{"taskId":"t"},"status":"completed"}"#,
            r#"{"task":{"taskid":"t"}}"#,
            r#"{"taskId":"t","Result":{}}"#,
            r#"{"taskId":"t","result":{}}"#,
            r#"{"taskId":"t","status":"completed","error":{}}"#,
            r#"{"taskId":"t","status":"failed","error":{},"result":{}}"#,
            r#"{"taskId":"t","status":"completed","content":[]}"#,
            r#"{"taskId":"t","status":"completed","result":{"iserror":true}}"#,
            r#"{"taskId":"t","status":"completed","result":{"resultType":"input_required"}}"#,
        ] {
            assert!(odd(wrong, Some("t")).is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_notification_names_its_task_in_both_eras() {
        assert_eq!(told_of(r#"{"taskId":"t","status":"working"}"#).as_deref(), Some("t"));
        assert_eq!(told_of(r#"{"task":{"taskId":"u"}}"#).as_deref(), Some("u"));
        assert_eq!(told_of(r#"{"taskId":1}"#), None);
    }
}
