//! The checks of a delegation and of an act under it (format §6, §10 steps 10 and 11).
//!
//! There is one set of them: the recorder calls them before an act is let go, and the bundle check calls the same
//! functions years later. Times come in as arguments, so both reach the same answer.
//!
//! [`delegation`], [`root_request`], [`within_request`] and [`act`] stop at the first check that fails. The bundle
//! check calls the parts one by one, because it has to name everything that is wrong.

use evidence::delegation::{Pop, Root, RootRequest, Source, args_digest};
use evidence::id::Id;
use evidence::jws::{self, Jwk, JwsError, Signed};
use evidence::label::Assurance;
use evidence::limits::SKEW_S;
use evidence::{Principal, id};
use serde_json::{Map, Value};

/// Which check failed. Its `name()` is the finding code of format §10, and the `step` of a recorded refusal.
pub use crate::finding::Code as Step;

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Which one.
    pub step: Step,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// A root delegation whose shape, rules and signature hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Its claims.
    pub root: Root,
    /// Its token digest, by which proofs and decisions name it.
    pub digest: String,
}

/// A root request that a registered key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its claims.
    pub request: RootRequest,
    /// Its token digest, by which the root names it.
    pub digest: String,
    /// Whose key signed it, by the register.
    pub principal: Principal,
}

/// One act that is to be covered by a delegation.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// Tool URI.
    pub tool: &'a str,
    /// The arguments; none where they are withheld (absent arguments are an empty object).
    pub args: Option<&'a Map<String, Value>>,
    /// base64url SHA-256 of the JCS of the arguments.
    pub args_digest: &'a str,
    /// The act.
    pub act_id: Id,
    /// When it was decided, ms.
    pub at_ms: u64,
}

/// An act that a delegation covers and its holder proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The holder's proof. That its counter is unused is for the caller to check.
    pub pop: Pop,
    /// `false` where the delegation constrains the arguments and they were withheld.
    pub arguments_checked: bool,
}

/// Checks a root delegation by itself: shape, rules, issuer, signature (format §10 step 10).
pub fn delegation(token: &str, issuer: &str, issuer_key: &Jwk) -> Result<Delegation, Failure> {
    let signed = parse_signed_delegation(token)?;
    let delegation = parse_root(&signed)?;
    issued_by(&delegation.root, issuer)?;
    signed_by_issuer(&signed, issuer_key)?;
    Ok(delegation)
}

/// Checks a root request: shape, rules, audience, a registered key, its signature (format §10 step 10).
///
/// `registered` looks up a thumbprint in the register of principals as it stands. Whether the request is fresh is
/// [`request_fresh`].
pub fn root_request(
    token: &str,
    issuer: &str,
    registered: impl FnOnce(&str) -> Option<(Principal, Jwk)>,
) -> Result<Request, Failure> {
    let (signed, request) = parse_request(token, issuer)?;
    let (principal, key) = registered(signed.kid()).ok_or_else(|| unregistered(signed.kid()))?;
    signed_by_principal(&signed, &key)?;
    Ok(Request { request, digest: signed.digest(), principal })
}

/// Checks that a request may be answered at `now_s`, so that the root issued then lies within its time.
pub fn request_fresh(request: &RootRequest, now_s: u64) -> Result<(), Failure> {
    if in_request_time(request, now_s) {
        return Ok(());
    }
    let text = format!(
        "the request holds from {} to {} and it is {now_s} (seconds): sign a new one, and compare the two clocks",
        request.iat, request.exp
    );
    Err(failure(Step::RequestBinding, text))
}

/// Checks that a root is of the principal who signed its request, and gives no more than it asked for (format §6).
pub fn within_request(delegation: &Delegation, request: &Request) -> Result<(), Failure> {
    if !delegation.root.principal.same(&request.principal) {
        return Err(other_principal());
    }
    within(&delegation.root, &request.request, &request.digest)
}

/// Checks that an act is covered by a delegation and proven by its holder (format §10 step 11): the delegation's
/// time, the scope as far as the arguments are known, then the proof's shape, signature, binding and time.
pub fn act(delegation: &Delegation, pop: &str, act: &Act<'_>) -> Result<Proven, Failure> {
    let at_s = act.at_ms / 1_000;
    in_time(&delegation.root, at_s)?;
    let arguments_checked = in_scope(&delegation.root, act.tool, act.args)?;
    let pop = possession(delegation, pop, act)?;
    Ok(Proven { pop, arguments_checked })
}

/// Checks that the delegation's holder signed a proof, whatever it is about: its counter is used up then.
pub fn signed_proof(delegation: &Delegation, pop: &str) -> Result<Pop, Failure> {
    let (signed, pop) = parse_pop(pop)?;
    proven_by_holder(&signed, &delegation.root)?;
    Ok(pop)
}

/// Checks the holder's proof alone: shape, signature, binding, time. That the act is in scope is [`act`]'s to say.
pub fn possession(delegation: &Delegation, pop: &str, act: &Act<'_>) -> Result<Pop, Failure> {
    let pop = signed_proof(delegation, pop)?;
    let expected = Binding {
        issuer: &delegation.root.issuer,
        leaf: &delegation.digest,
        tool: Some(act.tool),
        act_id: Some(act.act_id),
        args_digest: Some(act.args_digest),
        args: act.args,
    };
    bound(&pop, &expected)?;
    pop_in_time(&pop, act.at_ms / 1_000)?;
    Ok(pop)
}

/// Shape of a signed delegation; neither its claims nor its signature are checked yet.
pub(crate) fn parse_signed_delegation(token: &str) -> Result<Signed, Failure> {
    Signed::parse(token, jws::DELEGATION).map_err(|error| malformed_delegation(&error))
}

/// Claims and rules of a root delegation; its signature is not checked yet.
pub(crate) fn parse_root(signed: &Signed) -> Result<Delegation, Failure> {
    let root = Root::parse(signed.unverified()).map_err(|error| malformed_delegation(&error))?;
    if !are_plain(signed, &["prin", "hld"]) {
        let text = "the delegation is not an acceptable one: its principal or holder is no object of strings";
        return Err(failure(Step::DelegationMalformed, text));
    }
    Ok(Delegation { root, digest: signed.digest() })
}

/// Whether these members of `deeds`, where they are there, are objects of strings (and an absent key perhaps null).
///
/// Reading JSON into types also takes lists for objects and objects for words, which the format does not.
fn are_plain(signed: &Signed, names: &[&str]) -> bool {
    let own = signed.unverified().get("deeds");
    let is_plain = |value: &Value| {
        let members = value.as_object();
        members.is_some_and(|members| members.values().all(|value| value.is_string() || value.is_null()))
    };
    names.iter().filter_map(|name| own?.get(*name)).all(is_plain)
}

fn malformed_delegation(why: &dyn std::error::Error) -> Failure {
    failure(Step::DelegationMalformed, format!("the delegation is not an acceptable one: {why}"))
}

/// The rule that a root is issued by the log's issuer.
pub(crate) fn issued_by(root: &Root, issuer: &str) -> Result<(), Failure> {
    if root.issuer == issuer {
        return Ok(());
    }
    let text = format!("the delegation is issued by `{}`, not by this log's issuer `{issuer}`", root.issuer);
    Err(failure(Step::DelegationMalformed, text))
}

/// Checks that a root is for the log's tenant, as its genesis states it (format §10 step 10).
pub fn of_tenant(root: &Root, tenant: &str) -> Result<(), Failure> {
    if root.tenant == tenant {
        return Ok(());
    }
    let text = format!("the delegation is for the tenant `{}`, not for this log's `{tenant}`", root.tenant);
    Err(failure(Step::DelegationMalformed, text))
}

/// The issuer's signature on a root.
pub(crate) fn signed_by_issuer(signed: &Signed, issuer_key: &Jwk) -> Result<(), Failure> {
    signed.verify(issuer_key).map(|_| ()).map_err(|error| {
        let text =
            format!("the issuer's signature on the delegation is wrong: {error}; it was altered or forged");
        failure(Step::DelegationSignature, text)
    })
}

/// Shape and rules of a root request; its signature is not checked yet.
pub(crate) fn parse_request(token: &str, issuer: &str) -> Result<(Signed, RootRequest), Failure> {
    let wrong = |why: String| {
        let text = format!("the request for this delegation is not an acceptable one: {why}");
        failure(Step::RequestMalformed, text)
    };
    let signed = Signed::parse(token, jws::ROOT_REQUEST).map_err(|error| wrong(error.to_string()))?;
    let request = RootRequest::parse(signed.unverified()).map_err(|error| wrong(error.to_string()))?;
    if !are_plain(&signed, &["hld"]) {
        return Err(wrong("its holder is no object of strings".into()));
    }
    if request.key != signed.kid() {
        return Err(wrong("its issuer is not the key that it names as its signer".into()));
    }
    if request.audience != issuer {
        return Err(wrong(format!("it is addressed to `{}`, not to `{issuer}`", request.audience)));
    }
    Ok((signed, request))
}

/// The principal's signature on a request.
pub(crate) fn signed_by_principal(signed: &Signed, key: &Jwk) -> Result<(), Failure> {
    signed.verify(key).map(|_| ()).map_err(|error| {
        let text = format!("the principal's request does not hold: {error}; it was altered or forged");
        failure(Step::RequestSignature, text)
    })
}

/// That the key of a request is not one of a registered principal.
pub(crate) fn unregistered(kid: &str) -> Failure {
    let text = format!(
        "the request for this delegation is signed with the key `{kid}`, which is not registered (or no longer): \
         register it with `deeds principal add`, or sign with a registered key"
    );
    failure(Step::RequestKey, text)
}

/// That a root names somebody else than the principal whose key signed its request.
pub(crate) fn other_principal() -> Failure {
    beyond("names another principal than the one whose key signed the request")
}

/// Whether a root gives no more than the request with this token digest asked for.
pub(crate) fn within(root: &Root, asked: &RootRequest, digest: &str) -> Result<(), Failure> {
    let holder_as_named = asked.holder.as_ref().is_none_or(|(id, kind)| {
        root.holder.id == *id
            && root.holder.kind == *kind
            && root.holder.asr == Assurance::DelegatorAsserted.as_str()
    });
    let named =
        Source::KeyRequest { kid: asked.key.clone(), jti: asked.jti.clone(), digest: digest.to_owned() };
    let rules = [
        (root.source == named, "names another request than this one"),
        (root.cnf == asked.cnf, "is bound to another key than the request names"),
        (root.scope.within(&asked.scope), "allows more than the request asked for"),
        (root.max_depth <= asked.max_depth, "allows a deeper chain than the request asked for"),
        (root.tenant == asked.tenant, "is for another tenant than the request names"),
        (root.purpose == asked.purpose, "states another purpose than the request"),
        (asked.txn.is_none_or(|txn| root.txn == txn), "is for another task than the request names"),
        (root.exp.saturating_sub(root.iat) <= asked.ttl, "lives longer than the request asked for"),
        (in_request_time(asked, root.iat), "was issued outside the time of the request"),
        (holder_as_named, "names another holder than the request"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => Err(beyond(problem)),
        None => Ok(()),
    }
}

fn beyond(problem: &str) -> Failure {
    let text = format!("the delegation {problem}: the issuer went beyond what the principal signed");
    failure(Step::RequestBinding, text)
}

/// Whether a delegation holds at a time; the log's clock may be behind the issuer's by the skew allowed.
pub(crate) fn in_time(root: &Root, at_s: u64) -> Result<(), Failure> {
    if root.nbf.saturating_sub(SKEW_S) <= at_s && at_s < root.exp {
        return Ok(());
    }
    let text = format!(
        "the delegation holds from {} until {} and the act was decided at {at_s} (seconds): get a new delegation",
        root.nbf, root.exp
    );
    Err(failure(Step::DelegationTime, text))
}

/// Whether a delegation includes a call. `Ok(false)`: the tool is included, the arguments could not be checked.
pub(crate) fn in_scope(root: &Root, tool: &str, args: Option<&Map<String, Value>>) -> Result<bool, Failure> {
    let row = root.scope.row(tool).ok_or_else(|| {
        let text =
            format!("the delegation does not include the tool `{tool}`: ask the principal for one that does");
        failure(Step::Scope, text)
    })?;
    let Some(args) = args else { return Ok(row.is_empty()) };
    root.scope
        .permits(tool, args)
        .map_err(|denial| failure(Step::Scope, format!("{denial} (tool `{tool}`)")))?;
    Ok(true)
}

/// Shape and rules of a proof; its signature is not checked yet.
pub(crate) fn parse_pop(token: &str) -> Result<(Signed, Pop), Failure> {
    let wrong = |why: String| {
        failure(Step::PopMalformed, format!("the proof of possession is not an acceptable one: {why}"))
    };
    let signed = Signed::parse(token, jws::POP).map_err(|error| wrong(error.to_string()))?;
    let pop = Pop::parse(signed.unverified()).map_err(|error| wrong(error.to_string()))?;
    Ok((signed, pop))
}

/// The holder's signature on a proof.
pub(crate) fn proven_by_holder(signed: &Signed, root: &Root) -> Result<(), Failure> {
    signed.verify(&root.cnf).map(|_| ()).map_err(|error| {
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
    /// Token digest of the delegation.
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
    let text = format!(
        "the proof of possession was made at {} and ends at {}, the act was decided at {at_s} (seconds): \
         make a proof for each act, and compare the clocks",
        pop.iat, pop.exp
    );
    Err(failure(Step::PopTime, text))
}

fn in_request_time(request: &RootRequest, at_s: u64) -> bool {
    (request.iat.saturating_sub(SKEW_S)..=request.exp.saturating_add(SKEW_S)).contains(&at_s)
}

/// One check that failed.
pub(crate) fn failure(step: Step, text: impl Into<String>) -> Failure {
    Failure { step, text: text.into() }
}

#[cfg(test)]
mod tests;
