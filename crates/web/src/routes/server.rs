//! What the server says of itself and of its log.

use axum::extract::State;
use capture::api::{API_VERSION, Checkpoint, Hello, PolicyName};
use evidence::Digest;
use serde::Deserialize;

use crate::extract::Query;
use crate::problem::{Code, Problem};
use crate::state::{AppState, blocking};

/// `GET /v1/hello`
pub(super) async fn hello(State(state): State<AppState>) -> Result<axum::Json<Hello>, Problem> {
    let (recorder, about) = (state.recorder(), &state.0.parts.about);
    let (names, reader, policy) = (recorder.names(), recorder.reader(), recorder.policy()?);
    Ok(axum::Json(Hello {
        server: "deeds".into(),
        version: about.version.clone(),
        api: API_VERSION,
        pid: about.pid,
        origin: names.origin.clone(),
        log_id: Digest(names.log_id).hex(),
        log_vkey: about.log_vkey.clone(),
        issuer: names.issuer.clone(),
        tenant: names.tenant.clone(),
        issuer_key: names.issuer_key.to_json(),
        policy: PolicyName { digest: policy.set.digest(), source: policy.source.clone() },
        size: reader.size(),
        published: reader.published_size(),
        policy_warnings: policy.set.warnings().iter().map(ToString::to_string).collect(),
        policy_at_start: about.policy_at_start.clone(),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtLeast {
    size: Option<u64>,
}

/// `GET /v1/checkpoint?size=<n>`
pub(super) async fn checkpoint(
    State(state): State<AppState>,
    Query(asked): Query<AtLeast>,
) -> Result<axum::Json<Checkpoint>, Problem> {
    let reader = state.recorder().reader();
    let wait = state.limits().published;
    blocking(move || {
        let size = asked.size.unwrap_or(1);
        if !reader.wait_published(size, wait) {
            let text = format!(
                "no checkpoint covers {size} entries; the log has {} and {} are published: try again, or ask for less",
                reader.size(),
                reader.published_size()
            );
            return Err(Problem::new(Code::NotPublished, text));
        }
        let (checkpoint, note) = reader.checkpoint()?;
        // a signed note is text by its own grammar
        let note = String::from_utf8(note).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        Ok(axum::Json(Checkpoint { checkpoint: note, size: checkpoint.size }))
    })
    .await
}
