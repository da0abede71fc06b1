//! The acts that calls presented proofs for: none is forwarded twice.
//!
//! The server gives the same question its first answer again, so that a lost answer can be asked for. Here that
//! answer would be a second use of one permit. So an act is remembered for as long as its proof could be presented
//! again, and a proof that has ended is refused here, whatever the server would say.

use std::collections::{BTreeSet, HashMap};

use evidence::delegation::Pop;
use evidence::id::Id;
use evidence::limits::SKEW_S;

use super::super::presented::Unfit;
use crate::limits::PRESENTED_ACTS_MAX;

/// How far a proof's times may lie beyond the clock here; the server looks at them exactly.
const LEEWAY_S: u64 = 2 * SKEW_S;

/// Acts by id, each until its proof has ended.
#[derive(Debug, Default)]
pub(crate) struct Acts {
    until: HashMap<Id, u64>,
    by_end: BTreeSet<(u64, Id)>,
    /// The clock, which is never taken to go back: what was forgotten must stay refused.
    now_s: u64,
}

impl Acts {
    /// Takes note of an act that is about to be asked for.
    pub(crate) fn present(&mut self, claims: &Pop, now_s: u64) -> Result<(), Unfit> {
        self.now_s = self.now_s.max(now_s);
        self.forget_ended();
        if claims.iat > self.now_s + LEEWAY_S || claims.exp.saturating_add(LEEWAY_S) < self.now_s {
            let why = "the proof of possession is not of this time: sign a fresh one for each call";
            return Err(Unfit::new("pop-time", why));
        }
        if self.until.contains_key(&claims.act_id) {
            let why =
                "this act was presented before, and its permit was for one call: sign a proof for a new act";
            return Err(Unfit::new("pop-replayed", why));
        }
        if self.until.len() >= PRESENTED_ACTS_MAX {
            let why = "too many acts were presented within a short time: call again in a minute";
            return Err(Unfit::new("pop-replayed", why));
        }
        // one second longer than the proof would be accepted
        let until = claims.exp.saturating_add(LEEWAY_S + 1);
        self.until.insert(claims.act_id, until);
        self.by_end.insert((until, claims.act_id));
        Ok(())
    }

    /// The act is unknown to the log after all: its proof may be presented again.
    pub(crate) fn forget(&mut self, act_id: &Id) {
        if let Some(until) = self.until.remove(act_id) {
            self.by_end.remove(&(until, *act_id));
        }
    }

    fn forget_ended(&mut self) {
        while let Some((until, act_id)) = self.by_end.first().copied()
            && until < self.now_s
        {
            self.forget(&act_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn pop(act: u32, iat: u64) -> Pop {
        let mut act_id = [0; 16];
        act_id[..4].copy_from_slice(&act.to_be_bytes());
        Pop {
            jti: "j".into(),
            iat,
            exp: iat + 60,
            audience: String::new(),
            leaf: String::new(),
            tool: String::new(),
            args_digest: String::new(),
            act_id,
            counter: 0,
        }
    }

    fn step(acts: &mut Acts, claims: &Pop, now_s: u64) -> Option<String> {
        acts.present(claims, now_s).err().map(|unfit| unfit.step)
    }

    #[test]
    fn an_act_is_presented_once_for_as_long_as_its_proof_could_be() {
        let mut acts = Acts::default();
        let claims = pop(1, NOW);
        assert_eq!(step(&mut acts, &claims, NOW), None);
        let replayed = Some("pop-replayed".to_owned());
        for now in [NOW, claims.exp, claims.exp + LEEWAY_S] {
            assert_eq!(step(&mut acts, &claims, now), replayed);
        }
        let ended = Some("pop-time".to_owned());
        assert_eq!(step(&mut acts, &claims, claims.exp + LEEWAY_S + 1), ended);
        assert_eq!(step(&mut acts, &claims, claims.exp + 10_000), ended);
        assert!(acts.until.is_empty() && acts.by_end.is_empty());
        assert_eq!(step(&mut acts, &claims, NOW), ended, "a clock that goes back brings nothing back");
    }

    #[test]
    fn times_far_from_now_are_refused_at_the_boundary() {
        let mut acts = Acts::default();
        assert_eq!(step(&mut acts, &pop(1, NOW + LEEWAY_S), NOW), None);
        assert!(step(&mut acts, &pop(2, NOW + LEEWAY_S + 1), NOW).is_some());
        assert_eq!(step(&mut acts, &pop(3, NOW - 60 - LEEWAY_S), NOW), None);
        assert!(step(&mut acts, &pop(4, NOW - 61 - LEEWAY_S), NOW).is_some());
        let endless = Pop { exp: u64::MAX, ..pop(5, NOW) };
        assert_eq!(step(&mut acts, &endless, NOW), None);
    }

    #[test]
    fn what_was_never_asked_may_come_again_and_their_number_is_limited() {
        let mut acts = Acts::default();
        for act in 0..u32::try_from(PRESENTED_ACTS_MAX).unwrap() {
            assert_eq!(step(&mut acts, &pop(act, NOW), NOW), None);
        }
        let more = pop(u32::MAX, NOW);
        assert!(step(&mut acts, &more, NOW).is_some());
        acts.forget(&pop(7, NOW).act_id);
        assert_eq!(step(&mut acts, &more, NOW), None);
        assert_eq!((acts.until.len(), acts.by_end.len()), (PRESENTED_ACTS_MAX, PRESENTED_ACTS_MAX));
    }
}
