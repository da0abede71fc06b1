//! Progress: how many parts came before a result, and a digest over them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use evidence::Digest;
use sha2::{Digest as _, Sha256};

use super::frame::{Frame, Id};
use super::members::Members;
use crate::api;
use crate::limits::{OPEN_MAX, TASKS_MAX};

/// Counts the parts of one act.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<(u64, Sha256)>);

impl Counter {
    fn add(&self, digest: &str) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.0 += 1;
        parts.1.update(digest.as_bytes());
        parts.1.update(b"\n");
    }

    /// What came so far, where anything did.
    pub(crate) fn parts(&self) -> Option<api::Parts> {
        let (count, hasher) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let digest = Digest(hasher.finalize().into()).to_string();
        (count > 0).then_some(api::Parts { count, digest })
    }
}

/// Acts under way by the token of their progress. An act is forgotten with its counter.
#[derive(Debug, Default)]
pub(crate) struct Parts(HashMap<Id, Weak<Counter>>);

impl Parts {
    /// Counts for a token from now on; nothing where another act has it already, to which its progress belongs.
    pub(crate) fn open(&mut self, token: &Id) -> Option<Arc<Counter>> {
        if self.0.get(token).is_some_and(|counter| counter.strong_count() > 0) {
            return None;
        }
        // no more than that are under way, so what is over makes room
        if self.0.len() >= OPEN_MAX + TASKS_MAX {
            self.0.retain(|_, counter| counter.strong_count() > 0);
        }
        let counter = Arc::new(Counter::default());
        self.0.insert(token.clone(), Arc::downgrade(&counter));
        Some(counter)
    }

    /// Counts a progress notification, where it belongs to an act under way.
    pub(crate) fn told(&self, notification: &Frame) {
        let params = notification.params().and_then(Members::of);
        let token = params.and_then(|params| params.get("progressToken")).and_then(Id::parse);
        if let Some(counter) = token.and_then(|token| self.0.get(&token)?.upgrade()) {
            counter.add(&notification.digest());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(token: &str, n: u64) -> Frame {
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{n}}}}}"#
        );
        Frame::parse(text.into_bytes()).unwrap()
    }

    #[test]
    fn parts_are_counted_for_the_act_with_their_token_until_it_ends() {
        let mut parts = Parts::default();
        let token = Id::Text("p".into());
        let counter = parts.open(&token).unwrap();
        assert_eq!(counter.parts(), None);
        for frame in [progress("\"p\"", 1), progress("7", 1), progress("\"p\"", 2)] {
            parts.told(&frame);
        }
        let list = format!("{}\n{}\n", progress("\"p\"", 1).digest(), progress("\"p\"", 2).digest());
        let expected = api::Parts { count: 2, digest: Digest::of(list.as_bytes()).to_string() };
        assert_eq!(counter.parts(), Some(expected.clone()));
        assert!(parts.open(&token).is_none(), "the token is taken");
        drop(counter);
        parts.told(&progress("\"p\"", 3));
        let again = parts.open(&token).unwrap();
        assert_eq!(again.parts(), None);
    }

    #[test]
    fn what_is_over_makes_room() {
        let mut parts = Parts::default();
        let kept = parts.open(&Id::Number(-1)).unwrap();
        for n in 0..i64::try_from(3 * (OPEN_MAX + TASKS_MAX)).unwrap() {
            parts.open(&Id::Number(n));
        }
        assert!(parts.0.len() <= OPEN_MAX + TASKS_MAX, "{}", parts.0.len());
        parts.told(&progress("-1", 1));
        assert_eq!(kept.parts().map(|parts| parts.count), Some(1));
    }
}
