//! The policy in force.

use std::path::{Path, PathBuf};

use axum::extract::State;
use capture::api;
use serde_json::Value;

use crate::extract::{Caller, Json};
use crate::problem::Problem;
use crate::state::{AppState, to_the_end};

/// `GET /v1/policy`
pub(super) async fn show(State(state): State<AppState>) -> Result<axum::Json<api::Policy>, Problem> {
    let policy = state.recorder().policy()?;
    let rows = policy.set.policies().iter().map(|one| api::PolicyRow {
        id: one.id.clone(),
        effect: match serde_json::to_value(one.effect) {
            Ok(Value::String(effect)) => effect,
            _ => String::new(),
        },
    });
    Ok(axum::Json(api::Policy {
        digest: policy.set.digest(),
        source: policy.source.clone(),
        policies: rows.collect(),
        warnings: policy.set.warnings().iter().map(ToString::to_string).collect(),
    }))
}

/// `POST /v1/policy`
pub(super) async fn activate(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::ActivatePolicy>,
) -> Result<axum::Json<api::ActivatedPolicy>, Problem> {
    if !Path::new(&asked.dir).is_absolute() {
        return Err(Problem::member("dir", "an absolute path is expected"));
    }
    let activation = (state.0.parts.activate)(PathBuf::from(asked.dir), peer);
    let active = to_the_end(activation).await?;
    tracing::info!(index = active.index, digest = active.set.digest(), "policy activated");
    Ok(axum::Json(api::ActivatedPolicy { digest: active.set.digest(), index: active.index }))
}
