//! Where things came from and what came of them, what servers offer, what work was done, and what may be missing.

use axum::extract::State;
use axum::response::Response;
use lineage::{Direction, GapsFilter, TasksFilter, TraceFilter, TraceOf};
use serde::Deserialize;

use super::answers::ask;
use crate::extract::Query;
use crate::problem::Problem;
use crate::state::AppState;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceAsked {
    of: String,
    direction: Option<String>,
    limit: Option<u64>,
    before: Option<u64>,
    wait: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefinitionsAsked {
    server: Option<String>,
    wait: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StretchAsked {
    from: Option<u64>,
    to: Option<u64>,
    limit: Option<u64>,
    before: Option<u64>,
    wait: Option<u64>,
}

/// `GET /v1/trace`
pub(super) async fn trace(
    State(state): State<AppState>,
    Query(asked): Query<TraceAsked>,
) -> Result<Response, Problem> {
    let of = TraceOf::parse(&asked.of).ok_or_else(|| {
        Problem::member("of", "a digest `sha256:…`, a URI, an absolute path, or the position or id of an act")
    })?;
    let direction = match asked.direction.as_deref() {
        None => None,
        Some("up") => Some(Direction::Up),
        Some("down") => Some(Direction::Down),
        Some(_) => return Err(Problem::member("direction", "it is `up` or `down`")),
    };
    let filter = TraceFilter { of, direction, limit: asked.limit, before: asked.before };
    ask(&state, asked.wait, move |index| index.trace(&filter)).await
}

/// `GET /v1/definitions`
pub(super) async fn definitions(
    State(state): State<AppState>,
    Query(asked): Query<DefinitionsAsked>,
) -> Result<Response, Problem> {
    ask(&state, asked.wait, move |index| index.definitions(asked.server.as_deref())).await
}

/// `GET /v1/tasks`
pub(super) async fn tasks(
    State(state): State<AppState>,
    Query(asked): Query<StretchAsked>,
) -> Result<Response, Problem> {
    let filter =
        TasksFilter { from_ms: asked.from, to_ms: asked.to, limit: asked.limit, before: asked.before };
    ask(&state, asked.wait, move |index| index.tasks(&filter)).await
}

/// `GET /v1/gaps`
pub(super) async fn gaps(
    State(state): State<AppState>,
    Query(asked): Query<StretchAsked>,
) -> Result<Response, Problem> {
    let filter =
        GapsFilter { from_ms: asked.from, to_ms: asked.to, limit: asked.limit, before: asked.before };
    ask(&state, asked.wait, move |index| index.gaps(&filter)).await
}
