//! Telling the deeds server what was learned: one message at a time, because the order is what makes a change.

use std::sync::Arc;

use super::Definitions;
use crate::api::{Define, Defined};
use crate::mcp::frame::{Frame, Id};
use crate::mcp::proxy::{Proxy, lock};
use crate::run::gap::Missed;

impl Definitions {
    /// True for the caller who is to tell what waits.
    fn begin_telling(&mut self) -> bool {
        !self.queue.is_empty() && !core::mem::replace(&mut self.telling, true)
    }

    fn next(&mut self) -> Option<Define> {
        let next = self.queue.pop_front();
        self.telling = next.is_some();
        next
    }
}

impl Proxy {
    /// The digest under which the server has listed something.
    pub(in crate::mcp) fn definition_of(&self, list: Defined, name: &str) -> Option<String> {
        lock(&self.definitions).digest_of(list, name)
    }

    /// The client asks for a list: to be called before the server can answer.
    pub(in crate::mcp) fn list_asked(&self, id: &Id, request: &Frame) {
        lock(&self.definitions).ask(id, request);
    }

    /// The server has answered such a request: to be called before the client can see the answer, so that a call
    /// that follows it knows the definition.
    pub(in crate::mcp) fn list_answered(
        self: &Arc<Self>,
        id: &Id,
        list: Defined,
        is_error: bool,
        response: &Frame,
    ) {
        let is_mine_to_tell = {
            let mut definitions = lock(&self.definitions);
            definitions.answered(id, list, Some(response).filter(|_| !is_error));
            definitions.begin_telling()
        };
        if is_mine_to_tell {
            let proxy = Arc::clone(self);
            self.replies.spawn(async move { proxy.tell_definitions().await });
        }
    }

    /// The server has answered such a request with something that could not be read.
    pub(in crate::mcp) fn list_lost(&self, id: &Id, list: Defined) {
        lock(&self.definitions).answered(id, list, None);
    }

    async fn tell_definitions(&self) {
        while let Some(message) = self.next_definitions() {
            let (list, frame_digest) = (message.list, message.frame_digest.clone());
            match self.run.define(message).await {
                Ok(told) if told.changed.is_empty() => {}
                Ok(told) => tracing::warn!(
                    changed = ?told.changed,
                    "the MCP server offers something else than what was known of it; see `deeds definitions`"
                ),
                Err(error) => {
                    tracing::debug!(%error, "definitions could not be recorded");
                    lock(&self.definitions).untold(list);
                    self.run.miss(Missed::Frame, frame_digest.as_deref());
                }
            }
        }
    }

    fn next_definitions(&self) -> Option<Define> {
        lock(&self.definitions).next()
    }
}
