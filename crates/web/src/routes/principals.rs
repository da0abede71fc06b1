//! Registering and retiring keys of people and services.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use capture::api;
use recorder::Registration;

use crate::extract::{Caller, Json, Segments};
use crate::problem::{Code, Problem};
use crate::state::{AppState, to_the_end};

/// `POST /v1/principals`
pub(super) async fn add(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::AddPrincipal>,
) -> Result<Response, Problem> {
    use evidence::principal::PrincipalKind::{Human, Service};
    if !matches!(asked.kind, Human | Service) {
        return Err(Problem::member("kind", "`human` or `service` is expected"));
    }
    let registration = Registration {
        kind: asked.kind,
        sub: asked.sub,
        key: asked.key,
        proof: asked.proof,
        display: asked.display,
    };
    let recorder = state.recorder().clone();
    let (principal, index) =
        to_the_end(async move { recorder.register_principal(&registration, peer).await }).await?;
    tracing::info!(index, "principal registered");
    Ok((StatusCode::CREATED, axum::Json(api::AddedPrincipal { principal, index })).into_response())
}

/// `DELETE /v1/principals/{thumbprint}`
pub(super) async fn retire(
    State(state): State<AppState>,
    Caller(peer): Caller,
    segments: Segments,
) -> Result<axum::Json<api::Written>, Problem> {
    let thumbprint = segments.text("thumbprint").to_owned();
    if evidence::base64url::decode_32(&thumbprint).is_none() {
        let text = "that is not the thumbprint of a key: `deeds principal list` shows them";
        return Err(Problem::new(Code::PrincipalUnknown, text));
    }
    let recorder = state.recorder().clone();
    let index = to_the_end(async move { recorder.retire_principal(&thumbprint, peer).await }).await?;
    tracing::info!(index, "principal retired");
    Ok(axum::Json(api::Written { index }))
}
