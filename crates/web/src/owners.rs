//! Whose run it is. A server that serves several users must not let one of them speak for a run of another: outcomes,
//! observations and the end of a run are taken as its holder's word.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use evidence::id::Id;

use crate::extract::{Caller, id_member};
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Lets only its owner write about a run.
pub(crate) async fn owned(
    State(state): State<AppState>,
    Caller(peer): Caller,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // what is no id is told by the route
    let run = params.ok().and_then(|params| {
        let (_, run) = params.iter().find(|(name, _)| *name == "run")?;
        id_member("run", run).ok()
    });
    match run {
        Some(run) if request.method() == Method::POST => match check(&state, run, peer.uid) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
        _ => next.run(request).await,
    }
}

/// Whether this user may write about the run: the log says whose it is, so a restart changes nothing. One of a log that
/// did not say so yet is the server's own user's. Of one that is not known the route itself says so.
pub(crate) fn check(state: &AppState, run: Id, uid: u32) -> Result<(), Problem> {
    let owner = state.recorder().control().run(&run).map(|known| known.uid);
    match owner {
        Some(owner) if owner.unwrap_or_else(own_uid) != uid => {
            Err(Problem::new(Code::PeerRefused, "the run belongs to another user: open one of your own"))
        }
        _ => Ok(()),
    }
}

/// The user that the server runs as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
