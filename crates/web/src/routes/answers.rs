//! Answers from the index, each on a thread of its own, and proofs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use capture::api;
use evidence::Verdict;
use evidence::id::Id;
use lineage::{Answer, DidFilter, Index, LineageError, OutcomeIs, RunsFilter, Which, Whose};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::extract::{Json, Query, Segments, id_member};
use crate::problem::{Code, Problem};
use crate::state::{AppState, blocking};

/// Media type of a bundle.
const BUNDLE: &str = "application/vnd.deeds.bundle";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsAsked {
    task: Option<String>,
    issued: Option<bool>,
    from: Option<u64>,
    to: Option<u64>,
    limit: Option<u64>,
    before: Option<u64>,
    wait: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DidAsked {
    who: Option<String>,
    run: Option<String>,
    task: Option<String>,
    tool: Option<String>,
    principal: Option<String>,
    verdict: Option<String>,
    outcome: Option<String>,
    from: Option<u64>,
    to: Option<u64>,
    limit: Option<u64>,
    before: Option<u64>,
    wait: Option<u64>,
}

/// `GET /v1/status`
pub(super) async fn status(
    State(state): State<AppState>,
    Query(asked): Query<Wait>,
) -> Result<Response, Problem> {
    ask(&state, asked.wait, Index::status).await
}

/// `GET /v1/runs`
pub(super) async fn runs(
    State(state): State<AppState>,
    Query(asked): Query<RunsAsked>,
) -> Result<Response, Problem> {
    let task = asked.task.as_deref().map(|task| id_member("task", task)).transpose()?;
    let filter = RunsFilter {
        task,
        issued: asked.issued.unwrap_or_default(),
        from_ms: asked.from,
        to_ms: asked.to,
        limit: asked.limit,
        before: asked.before,
    };
    ask(&state, asked.wait, move |index| index.runs(&filter)).await
}

/// `GET /v1/runs/{run}`
pub(super) async fn run(
    State(state): State<AppState>,
    segments: Segments,
    Query(asked): Query<Wait>,
) -> Result<Response, Problem> {
    let run: Id = segments.id("run")?;
    ask(&state, asked.wait, move |index| index.run(&run)).await
}

/// `GET /v1/did`
pub(super) async fn did(
    State(state): State<AppState>,
    Query(asked): Query<DidAsked>,
) -> Result<Response, Problem> {
    let (wait, filter) = (asked.wait, filter(asked)?);
    ask(&state, wait, move |index| index.did(&filter)).await
}

fn filter(asked: DidAsked) -> Result<DidFilter, Problem> {
    let whose = match (asked.who, asked.run, asked.task) {
        (None, None, None) => Whose::All,
        (Some(who), None, None) => Whose::Who(who),
        (None, Some(run), None) => Whose::Run(id_member("run", &run)?),
        (None, None, Some(task)) => Whose::Task(id_member("task", &task)?),
        _ => return Err(Problem::malformed("only one of `who`, `run` and `task` can be asked for")),
    };
    let verdict = asked.verdict.map(|word| {
        Verdict::parse(&word).ok_or_else(|| Problem::member("verdict", "it is `allow` or `deny`"))
    });
    let outcome = asked.outcome.map(|word| {
        OutcomeIs::parse(&word).ok_or_else(|| Problem::member("outcome", "it is a status, or `open`"))
    });
    Ok(DidFilter {
        whose,
        tool: asked.tool,
        principal: asked.principal,
        verdict: verdict.transpose()?,
        outcome: outcome.transpose()?,
        from_ms: asked.from,
        to_ms: asked.to,
        limit: asked.limit,
        before: asked.before,
    })
}

/// `GET /v1/authority/{index or act_id}`
pub(super) async fn authority(
    State(state): State<AppState>,
    segments: Segments,
    Query(asked): Query<Wait>,
) -> Result<Response, Problem> {
    let text = segments.text("action");
    let which = match text.parse() {
        Ok(index) => Which::Index(index),
        Err(_) => Which::Act(id_member("action", text)?),
    };
    ask(&state, asked.wait, move |index| index.authority(which)).await
}

/// `GET /v1/entries/{index}`
pub(super) async fn entry(
    State(state): State<AppState>,
    segments: Segments,
    Query(asked): Query<Wait>,
) -> Result<Response, Problem> {
    let position = segments.text("index").parse();
    let position: u64 =
        position.map_err(|_| Problem::member("index", "a position of the log is expected"))?;
    ask(&state, asked.wait, move |index| index.entry(position)).await
}

/// `GET /v1/principals`
pub(super) async fn principals(
    State(state): State<AppState>,
    Query(asked): Query<Wait>,
) -> Result<axum::Json<Value>, Problem> {
    let index = Arc::clone(state.index());
    let wait = state.limits().folded;
    blocking(move || {
        wait_folded(&index, asked.wait, wait)?;
        let answer = index.principals()?;
        let in_force = |change: &lineage::Fact| change.text() != Some("principal-retired");
        let retired: Vec<Option<u64>> = answer
            .content
            .principals
            .iter()
            .map(|row| (!in_force(&row.change)).then_some(row.index))
            .collect();
        let mut answer = serde_json::to_value(answer).map_err(|error| internal(&error))?;
        let rows = answer.get_mut("principals").and_then(Value::as_array_mut).into_iter().flatten();
        for (row, retired) in rows.zip(retired) {
            let label = row.pointer("/principal/assurance").cloned().unwrap_or_default();
            if let Some(row) = row.as_object_mut() {
                row.insert("label".into(), label);
                row.insert("retired".into(), json!(retired));
            }
        }
        Ok(axum::Json(answer))
    })
    .await
}

/// `POST /v1/prove`
pub(super) async fn prove(
    State(state): State<AppState>,
    Json(asked): Json<api::Prove>,
) -> Result<Response, Problem> {
    let index = Arc::clone(state.index());
    let limits = state.limits().clone();
    blocking(move || {
        // the subject may have been written a moment ago
        wait_folded(&index, index.reader().size().checked_sub(1), limits.folded)?;
        let subject = report::Subject::resolve(&index, &asked.subject)?;
        let options = report::Options { withhold: asked.withhold, publish_timeout: limits.published };
        let proof = report::prove(&index, subject, &options)?;
        Ok(([(CONTENT_TYPE, BUNDLE)], proof.bytes).into_response())
    })
    .await
}

/// How long an answer waits for what was durable when it was asked for.
const KEEPING_UP: Duration = Duration::from_millis(100);

/// Asks the index, once it has come as far as the caller wants.
pub(super) async fn ask<T: Serialize + Send + 'static>(
    state: &AppState,
    wait: Option<u64>,
    question: impl FnOnce(&Index) -> Result<Answer<T>, LineageError> + Send + 'static,
) -> Result<Response, Problem> {
    let index = Arc::clone(state.index());
    let longest = state.limits().folded;
    blocking(move || {
        wait_folded(&index, wait, longest)?;
        // Whoever was told of an entry finds it in the next answer, as long as the index keeps up. Where it does not,
        // the answer says how far it reaches.
        index.wait_applied(index.reader().size(), KEEPING_UP);
        let answer = question(&index)?;
        // made here, where it may take its time
        let body = serde_json::to_vec(&answer).map_err(|error| internal(&error))?;
        Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
    })
    .await
}

fn wait_folded(index: &Index, position: Option<u64>, longest: Duration) -> Result<(), Problem> {
    let Some(position) = position else { return Ok(()) };
    if index.wait_applied(position.saturating_add(1), longest) {
        return Ok(());
    }
    let text = format!(
        "answers do not reflect entry @{position} yet: the log has {} entries and {} are folded; ask again",
        index.reader().size(),
        index.applied()
    );
    Err(Problem::new(Code::NotFolded, text))
}

fn internal(error: &serde_json::Error) -> Problem {
    Problem::new(Code::Internal, format!("an answer could not be written: {error}"))
}
