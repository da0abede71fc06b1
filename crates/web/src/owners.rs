//! Whose run it is. A server that serves several users must not let one of them speak for a run of another: outcomes,
//! observations and the end of a run are taken as its holder's word.

use std::collections::{BTreeMap, VecDeque};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use evidence::id::Id;

use crate::extract::{Caller, id_member};
use crate::limits::OWNERS_MAX;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// User ids by run, the latest ones.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_run: BTreeMap<Id, u32>,
    order: VecDeque<Id>,
}

impl Owners {
    /// Whether the run is this user's. One that is not known, because the server was started after it was opened, is of
    /// whoever comes first: that is its own wrap, which is waiting to take its lease again.
    pub(crate) fn is_of(&mut self, run: Id, uid: u32) -> bool {
        if let Some(owner) = self.by_run.get(&run) {
            return *owner == uid;
        }
        self.by_run.insert(run, uid);
        self.order.push_back(run);
        if self.order.len() > OWNERS_MAX {
            self.order.pop_front().and_then(|oldest| self.by_run.remove(&oldest));
        }
        true
    }
}

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

/// Whether this user may write about the run. Of one that is not open the route itself says so, and nothing is
/// remembered: names that somebody made up must not push out those of runs.
pub(crate) fn check(state: &AppState, run: Id, uid: u32) -> Result<(), Problem> {
    if state.recorder().control().run(&run).is_none() || state.owns(run, uid) {
        return Ok(());
    }
    Err(Problem::new(Code::PeerRefused, "the run belongs to another user: open one of your own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: usize) -> Id {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    }

    #[test]
    fn a_run_is_of_whoever_came_first() {
        let mut owners = Owners::default();
        assert!(owners.is_of(run(1), 1000) && owners.is_of(run(1), 1000));
        assert!(!owners.is_of(run(1), 1001) && !owners.is_of(run(1), 0));
        assert!(owners.is_of(run(2), 1001));
    }

    #[test]
    fn the_oldest_run_is_forgotten_first() {
        let mut owners = Owners::default();
        for n in 0..OWNERS_MAX {
            assert!(owners.is_of(run(n), 1000));
        }
        assert!(!owners.is_of(run(0), 1001));
        assert!(owners.is_of(run(OWNERS_MAX), 1000));
        assert!(owners.is_of(run(0), 1001) && !owners.is_of(run(2), 1001));
        assert_eq!((owners.by_run.len(), owners.order.len()), (OWNERS_MAX, OWNERS_MAX));
    }
}
