//! Roots issued outside a run, chains kept for a reference, and mandates.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use capture::api;
use evidence::id;
use recorder::Peer;

use crate::extract::{Caller, Json};
use crate::problem::Problem;
use crate::state::{AppState, to_the_end};

/// `POST /v1/delegations`
pub(super) async fn add(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::AddDelegation>,
) -> Result<Response, Problem> {
    match asked {
        api::AddDelegation::RootRequest(request) => issue(&state, request, peer).await,
        api::AddDelegation::Chain(tokens) => keep(&state, tokens, peer).await,
    }
}

async fn issue(state: &AppState, request: String, peer: Peer) -> Result<Response, Problem> {
    let recorder = state.recorder().clone();
    let issued = to_the_end(async move { recorder.issue(&request, peer).await }).await?;
    tracing::info!(index = issued.index, digest = issued.digest, "root issued");
    let answer = api::IssuedDelegation {
        delegation: issued.token,
        digest: issued.digest,
        exp: issued.exp,
        index: issued.index,
        run: id::text(&issued.run),
        txn: id::text(&issued.txn),
        issuer: state.recorder().names().issuer.clone(),
        principal: issued.principal,
        grade: issued.grade.to_owned(),
    };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

async fn keep(state: &AppState, tokens: Vec<String>, peer: Peer) -> Result<Response, Problem> {
    let recorder = state.recorder().clone();
    let kept = to_the_end(async move { recorder.keep_chain(tokens, peer).await }).await?;
    let answer = api::KeptChain { digest: kept.digest, links: kept.links as u64, exp: kept.exp };
    Ok(axum::Json(answer).into_response())
}

/// `POST /v1/mandates`
pub(super) async fn mandate(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::AddMandate>,
) -> Result<Response, Problem> {
    let recorder = state.recorder().clone();
    let known = to_the_end(async move { recorder.register_mandate(&asked.mandate, peer).await }).await?;
    tracing::info!(index = known.index, digest = known.digest, "mandate recorded");
    let answer = api::AddedMandate { digest: known.digest, index: known.index, exp: known.exp };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}
