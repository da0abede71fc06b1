//! Attempts that ended because something was asked of the client first, and wait to be tried again.
//!
//! A pure table under one lock. An attempt is found by who made it, on what, with which arguments and which state it
//! was given; each is tried again at most once, within [`ATTEMPT_WAIT`].

use core::time::Duration;
use std::collections::VecDeque;

use crate::limits::{ATTEMPT_WAIT, ATTEMPTS_MAX};

/// What a retry has in common with the attempt before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The run it was decided in, which is of one key, task and line of holders.
    pub(crate) run: String,
    /// Tool URI.
    pub(crate) tool: String,
    /// b64url of SHA-256 of JCS of the arguments.
    pub(crate) args_digest: String,
    /// Digest string of the state that the server gave, where it gave one.
    pub(crate) state: Option<String>,
}

/// An attempt. `A` is what was asked of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attempt<A> {
    pub(crate) act_id: String,
    /// Log index of its decision.
    pub(crate) decision: u64,
    pub(crate) asked: A,
}

#[derive(Debug)]
struct Waiting<A> {
    key: Key,
    since_us: u64,
    attempt: Attempt<A>,
}

/// Those that wait, the longest first.
#[derive(Debug)]
pub(crate) struct Attempts<A>(VecDeque<Waiting<A>>);

impl<A> Default for Attempts<A> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<A> Attempts<A> {
    /// Waits for a retry. Gives what was asked in attempts that have to go: too old, or one too many.
    pub(crate) fn wait(&mut self, key: Key, attempt: Attempt<A>, now_us: u64) -> Vec<A> {
        let mut gone = self.forget_old(now_us);
        if self.0.len() >= ATTEMPTS_MAX {
            gone.extend(self.0.pop_front().map(|oldest| oldest.attempt.asked));
        }
        self.0.push_back(Waiting { key, since_us: now_us, attempt });
        gone
    }

    /// The attempt that is tried again, if there is one, and what was asked in those that are too old. Of several
    /// that nothing tells apart it is the first.
    pub(crate) fn take(&mut self, key: &Key, now_us: u64) -> (Option<Attempt<A>>, Vec<A>) {
        let gone = self.forget_old(now_us);
        let at = self.0.iter().position(|waiting| waiting.key == *key);
        (at.and_then(|at| self.0.remove(at)).map(|waiting| waiting.attempt), gone)
    }

    /// Nothing is tried again any more.
    pub(crate) fn close(&mut self) -> Vec<A> {
        self.0.drain(..).map(|waiting| waiting.attempt.asked).collect()
    }

    fn forget_old(&mut self, now_us: u64) -> Vec<A> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.0.front()
            && Duration::from_micros(now_us.saturating_sub(oldest.since_us)) > ATTEMPT_WAIT
        {
            gone.extend(self.0.pop_front().map(|oldest| oldest.attempt.asked));
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u64; 0] = [];

    fn key(run: &str, args: &str, state: Option<&str>) -> Key {
        Key { run: run.into(), tool: "t".into(), args_digest: args.into(), state: state.map(str::to_owned) }
    }

    fn attempt(decision: u64) -> Attempt<u64> {
        Attempt { act_id: "act".into(), decision, asked: decision }
    }

    fn took(attempts: &mut Attempts<u64>, key: &Key) -> Option<u64> {
        attempts.take(key, 0).0.map(|attempt| attempt.decision)
    }

    #[test]
    fn an_attempt_is_tried_again_once_by_who_made_it() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.wait(key("r", "a", Some("s")), attempt(1), 0), NONE);
        for other in [
            key("q", "a", Some("s")),
            key("r", "b", Some("s")),
            key("r", "a", None),
            key("r", "a", Some("x")),
        ] {
            assert_eq!(took(&mut attempts, &other), None);
        }
        assert_eq!(took(&mut attempts, &key("r", "a", Some("s"))), Some(1));
        assert_eq!(took(&mut attempts, &key("r", "a", Some("s"))), None);
    }

    #[test]
    fn of_several_alike_the_first_is_meant() {
        let mut attempts = Attempts::default();
        for n in 1..4 {
            attempts.wait(key("r", "a", None), attempt(n), 0);
        }
        let key = key("r", "a", None);
        assert_eq!([(); 4].map(|()| took(&mut attempts, &key)), [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn attempts_wait_for_an_hour() {
        let hour = u64::try_from(ATTEMPT_WAIT.as_micros()).unwrap();
        let mut attempts = Attempts::default();
        attempts.wait(key("r", "a", None), attempt(1), 5);
        attempts.wait(key("r", "b", None), attempt(2), 6);
        assert_eq!(attempts.take(&key("r", "c", None), hour + 5), (None, vec![]));
        assert_eq!(attempts.take(&key("r", "a", None), hour + 6), (None, vec![1]));
        assert_eq!(attempts.take(&key("r", "b", None), hour + 6).0.map(|attempt| attempt.decision), Some(2));
        attempts.wait(key("r", "a", None), attempt(3), 0);
        assert_eq!(attempts.wait(key("r", "a", None), attempt(4), hour + 1), [3]);
        assert_eq!(attempts.close(), [4]);
        assert_eq!(attempts.close(), NONE);
    }

    #[test]
    fn their_number_is_limited_and_the_oldest_goes() {
        let mut attempts = Attempts::default();
        let max = u64::try_from(ATTEMPTS_MAX).unwrap();
        for n in 0..max {
            assert_eq!(attempts.wait(key("r", "a", None), attempt(n), 0), NONE);
        }
        assert_eq!(attempts.wait(key("r", "a", None), attempt(max), 0), [0]);
        assert_eq!(took(&mut attempts, &key("r", "a", None)), Some(1));
    }
}
