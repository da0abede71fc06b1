//! Proofs of possession (format §6): the holder of a leaf key asks for one act.

use evidence::delegation::{Pop, args_digest};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk, JwsError, Signed};
use evidence::limits::SKEW_S;
use evidence::span::Span;
use serde_json::{Map, Value};

use super::{Failure, Step, failure};

/// Shape and rules of a proof; its signature is not checked yet.
pub(crate) fn parse_pop(token: &str) -> Result<(Signed, Pop), Failure> {
    let wrong = |why: String| {
        failure(Step::PopMalformed, format!("the proof of possession is not an acceptable one: {why}"))
    };
    let signed = Signed::parse(token, jws::POP).map_err(|error| wrong(error.to_string()))?;
    let pop = Pop::parse(signed.unverified()).map_err(|error| wrong(error.to_string()))?;
    Ok((signed, pop))
}

/// The holder's signature on a proof; `key` is the one that the leaf is bound to.
pub(crate) fn proven_by_holder(signed: &Signed, key: &Jwk) -> Result<(), Failure> {
    signed.verify(key).map(|_| ()).map_err(|error| {
        let why = match error {
            JwsError::OtherKey { .. } => {
                "another key than the one the delegation is bound to signed it".into()
            }
            error => error.to_string(),
        };
        let text =
            format!("the proof of possession is not the holder's: {why}; somebody else used the delegation");
        failure(Step::PopSignature, text)
    })
}

/// What a proof has to be about. A part that is not known here equals nothing.
pub(crate) struct Binding<'a> {
    pub(crate) issuer: &'a str,
    /// Token digest of the leaf.
    pub(crate) leaf: &'a str,
    pub(crate) tool: Option<&'a str>,
    pub(crate) act_id: Option<Id>,
    pub(crate) args_digest: Option<&'a str>,
    /// Where known, their digest is recomputed.
    pub(crate) args: Option<&'a Map<String, Value>>,
}

/// Whether a proof is about this act and no other.
pub(crate) fn bound(pop: &Pop, to: &Binding<'_>) -> Result<(), Failure> {
    let problem = if to.issuer != pop.audience {
        "is addressed to another issuer"
    } else if to.leaf != pop.leaf {
        "names another delegation"
    } else if to.tool != Some(pop.tool.as_str()) {
        "names another tool"
    } else if to.act_id != Some(pop.act_id) {
        "names another act"
    } else if to.args_digest != Some(pop.args_digest.as_str()) {
        "names other arguments"
    } else if to.args.is_some_and(|args| args_digest(args) != pop.args_digest) {
        "has another digest than these arguments"
    } else {
        return Ok(());
    };
    let text = format!(
        "the proof of possession {problem}: it was made for something else than act {}",
        to.act_id.as_ref().map_or_else(|| "(withheld)".to_owned(), id::text)
    );
    Err(failure(Step::PopBinding, text))
}

/// Whether a proof was fresh at a time.
pub(crate) fn pop_in_time(pop: &Pop, at_s: u64) -> Result<(), Failure> {
    if at_s.abs_diff(pop.iat) <= SKEW_S && at_s < pop.exp {
        return Ok(());
    }
    let text = if at_s >= pop.exp {
        format!(
            "the proof of possession ended {} before this act was decided: make a new one for each act",
            Span::between(pop.exp, at_s)
        )
    } else {
        let side = if pop.iat < at_s { "before" } else { "after" };
        format!(
            "the proof of possession was made {} {side} this act was decided, which is more than {SKEW_S} s: make one \
             for each act, and compare the clocks",
            Span::between(pop.iat, at_s)
        )
    };
    Err(failure(Step::PopTime, text))
}
