//! Definitions: what the servers of runs offer and are, and the configurations of clients.

use axum::extract::State;
use capture::api;
use evidence::definition::List;

use super::runs::check_stream;
use crate::extract::{Caller, Json, Segments, digest_maybe, digest_of, digest_of_maybe};
use crate::owners::own_uid;
use crate::problem::{Code, Problem};
use crate::state::{AppState, to_the_end};

/// `POST /v1/runs/{run}/definitions`
pub(super) async fn tell(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::Define>,
) -> Result<axum::Json<api::DefinedAnswer>, Problem> {
    let run = segments.id("run")?;
    digest_maybe("frame_digest", asked.frame_digest.as_deref())?;
    let names = asked.names.into_iter().map(|(name, digest)| Ok((name, digest_of("names", &digest)?)));
    let define = recorder::Define {
        list: list(asked.list),
        names: names.collect::<Result<_, Problem>>()?,
        gone: asked.gone,
        complete: asked.complete,
        frame_digest: asked.frame_digest,
    };
    check_stream(&state, run, asked.stream)?;
    let recorder = state.recorder().clone();
    let told = to_the_end(async move { recorder.define(run, asked.stream, define).await }).await?;
    if !told.changed.is_empty() {
        tracing::info!(index = told.index, changed = told.changed.len(), "definitions changed");
    }
    Ok(axum::Json(api::DefinedAnswer { index: told.index, changed: told.changed }))
}

/// `POST /v1/definitions`
pub(super) async fn client_config(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::ClientConfigChanged>,
) -> Result<axum::Json<api::Written>, Problem> {
    if peer.uid != own_uid() && peer.uid != 0 {
        let text =
            "the entry does not say who saw the change, so the server's own user and root alone report one";
        return Err(Problem::new(Code::PeerRefused, text));
    }
    let changed = recorder::ConfigChanged {
        name: asked.name,
        old: digest_of_maybe("old", asked.old.as_deref())?,
        new: digest_of_maybe("new", asked.new.as_deref())?,
    };
    let recorder = state.recorder().clone();
    let index = to_the_end(async move { recorder.client_config_changed(changed).await }).await?;
    tracing::info!(index, "the configuration of a client changed");
    Ok(axum::Json(api::Written { index }))
}

fn list(list: api::Defined) -> List {
    match list {
        api::Defined::Tool => List::Tool,
        api::Defined::Resource => List::Resource,
        api::Defined::ResourceTemplate => List::ResourceTemplate,
        api::Defined::Prompt => List::Prompt,
        api::Defined::Server => List::Server,
    }
}
