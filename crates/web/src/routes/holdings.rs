//! Who may do what, and what of it was ever used: answers about delegations and who holds them.

use axum::extract::State;
use axum::response::Response;
use lineage::{DelegationsFilter, DoubtFilter, IdentitiesFilter};
use serde::Deserialize;

use super::answers::ask;
use crate::extract::{Query, Segments, id_member};
use crate::problem::Problem;
use crate::state::AppState;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowedAsked {
    who: String,
    at: Option<u64>,
    wait: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelegationsAsked {
    who: Option<String>,
    task: Option<String>,
    run: Option<String>,
    limit: Option<u64>,
    before: Option<u64>,
    wait: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<u64>,
    before: Option<u64>,
    wait: Option<u64>,
}

/// `GET /v1/allowed`
pub(super) async fn allowed(
    State(state): State<AppState>,
    Query(asked): Query<AllowedAsked>,
) -> Result<Response, Problem> {
    let at_ms = asked.at.unwrap_or_else(|| state.now_ms());
    ask(&state, asked.wait, move |index| index.allowed(&asked.who, at_ms)).await
}

/// `GET /v1/delegations`
pub(super) async fn delegations(
    State(state): State<AppState>,
    Query(asked): Query<DelegationsAsked>,
) -> Result<Response, Problem> {
    let id = |name, text: Option<&String>| text.map(|text| id_member(name, text)).transpose();
    let filter = DelegationsFilter {
        task: id("task", asked.task.as_ref())?,
        run: id("run", asked.run.as_ref())?,
        who: asked.who,
        now_ms: state.now_ms(),
        limit: asked.limit,
        before: asked.before,
    };
    ask(&state, asked.wait, move |index| index.delegations(&filter)).await
}

/// `GET /v1/identities`
pub(super) async fn identities(
    State(state): State<AppState>,
    Query(asked): Query<Page>,
) -> Result<Response, Problem> {
    let filter = IdentitiesFilter { now_ms: state.now_ms(), limit: asked.limit, before: asked.before };
    ask(&state, asked.wait, move |index| index.identities(&filter)).await
}

/// `GET /v1/doubt/{index}`
pub(super) async fn doubt(
    State(state): State<AppState>,
    segments: Segments,
    Query(asked): Query<Page>,
) -> Result<Response, Problem> {
    let revocation = segments.text("index").parse();
    let revocation =
        revocation.map_err(|_| Problem::member("index", "the position of a revocation is expected"))?;
    let filter = DoubtFilter { revocation, limit: asked.limit, before: asked.before };
    ask(&state, asked.wait, move |index| index.doubt(&filter)).await
}
