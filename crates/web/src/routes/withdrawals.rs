//! Withdrawals: artifacts that are not to be relied on any more.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use capture::api;

use crate::extract::{Caller, Json, digest_of_maybe};
use crate::problem::Problem;
use crate::state::{AppState, to_the_end};

/// `POST /v1/withdrawals`
pub(super) async fn add(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::Withdraw>,
) -> Result<Response, Problem> {
    let digest = digest_of_maybe("digest", asked.digest.as_deref())?;
    let withdraw = recorder::Withdraw { uri: asked.uri, digest, why: asked.why };
    let recorder = state.recorder().clone();
    let index = to_the_end(async move { recorder.withdraw(&withdraw, peer).await }).await?;
    tracing::info!(index, "withdrawn");
    Ok((StatusCode::CREATED, axum::Json(api::Written { index })).into_response())
}
