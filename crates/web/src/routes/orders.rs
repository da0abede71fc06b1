//! Orders: what is revoked, who is halted and who may go on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use capture::api;
use evidence::delegation::{On, Target, What};

use crate::extract::{Caller, Json, Segments};
use crate::problem::{Code, Problem};
use crate::state::{AppState, blocking, to_the_end};

/// `POST /v1/revocations`
pub(super) async fn revoke(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::Revoke>,
) -> Result<Response, Problem> {
    let what = What::parse(&asked.what)
        .ok_or_else(|| Problem::member("what", "a word of the format, such as `delegation`, is expected"))?;
    let target = Target::from_json(&asked.target, what).map_err(|error| Problem::member("target", error))?;
    let revoke = recorder::Revoke { what, target, eff: asked.eff, why: asked.why, token: asked.token };
    let recorder = state.recorder().clone();
    let revoked = to_the_end(async move { recorder.revoke(revoke, peer).await }).await?;
    tracing::info!(index = revoked.index, what = what.as_str(), "revoked");
    let answer = api::Revoked { index: revoked.index, eff: revoked.eff };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

/// `POST /v1/halts`
pub(super) async fn halt(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::AddHalt>,
) -> Result<Response, Problem> {
    let on = On::from_json(&asked.on).map_err(|error| Problem::member("on", error))?;
    let recorder = state.recorder().clone();
    let halted = to_the_end(async move { recorder.halt(on, &asked.why, asked.token.as_deref(), peer).await });
    let index = halted.await?;
    tracing::info!(index, "halted");
    Ok((StatusCode::CREATED, axum::Json(api::Written { index })).into_response())
}

/// `GET /v1/halts`
pub(super) async fn halts(State(state): State<AppState>) -> Result<axum::Json<api::Halts>, Problem> {
    let recorder = state.recorder().clone();
    // each is read from the log
    blocking(move || {
        let halts = recorder.halts().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let halts = halts.into_iter().map(|halt| api::HaltRow {
            index: halt.index,
            on: halt.on.to_json(),
            why: halt.why,
            by: halt.by,
            at_ms: halt.at_ms,
        });
        Ok(axum::Json(api::Halts { halts: halts.collect() }))
    })
    .await
}

/// `DELETE /v1/halts/{index}`
pub(super) async fn resume(
    State(state): State<AppState>,
    Caller(peer): Caller,
    segments: Segments,
    Json(asked): Json<api::Resume>,
) -> Result<axum::Json<api::Written>, Problem> {
    let Ok(halt) = segments.text("index").parse() else {
        let text = "that is not the position of a halt: `GET /v1/halts` lists those in force";
        return Err(Problem::new(Code::HaltUnknown, text));
    };
    let recorder = state.recorder().clone();
    let resumed = to_the_end(async move { recorder.resume(halt, &asked.why, &asked.token, peer).await });
    let index = resumed.await?;
    tracing::info!(index, halt, "resumed");
    Ok(axum::Json(api::Written { index }))
}
