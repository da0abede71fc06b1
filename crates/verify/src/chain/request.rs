//! Root requests (format §6): what a registered key signed for, and that the issuer gave no more.

use evidence::Principal;
use evidence::delegation::{Named, Root, RootRequest};
use evidence::jws::{self, Jwk, Signed};
use evidence::label::Assurance;
use evidence::limits::SKEW_S;
use evidence::span::Span;

use super::mandate::{Mandated, under};
use super::{Failure, Link, Step, are_plain, failure};

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
    let text = if now_s > request.exp {
        format!("the request ended {} before it came here: sign a new one", Span::between(request.exp, now_s))
    } else {
        format!(
            "the request was signed {} in the future: compare the two clocks",
            Span::between(request.iat, now_s)
        )
    };
    Err(failure(Step::RequestBinding, text))
}

/// Checks that a root gives no more than its request asked for, and is of the principal whose authority it is: the
/// one who signed the request, or the one who signed the mandate that the root is under.
///
/// `mandated` is the mandate with the digest that the root names, where it names one.
pub fn within_request(root: &Link, request: &Request, mandated: Option<&Mandated>) -> Result<(), Failure> {
    let claims = root.claims.as_root().ok_or_else(|| beyond("is no root"))?;
    let Some(named) = claims.source.mandate() else {
        if !claims.principal.same(&request.principal) {
            return Err(other_principal());
        }
        return within(claims, &request.request, &request.digest);
    };
    within(claims, &request.request, &request.digest)?;
    let mandated = mandated.filter(|mandated| mandated.digest == named.digest).ok_or_else(|| {
        let text =
            "the mandate that the delegation was issued under is not known: register it with `deeds mandate`";
        failure(Step::MandateMissing, text)
    })?;
    let asker = (request.principal.iss.clone(), request.principal.sub.clone());
    under(claims, named, &mandated.mandate, Some(asker))
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

/// The signature on a request; `key` is the registered one.
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
    let named = Named { kid: asked.key.clone(), jti: asked.jti.clone(), digest: digest.to_owned() };
    let mandate = root.source.mandate().map(|mandate| &mandate.digest);
    let rules = [
        (root.source.request() == Some(&named), "names another request than this one"),
        (mandate == asked.mandate.as_ref(), "is under another mandate than the request names"),
        (root.cnf == asked.cnf, "is bound to another key than the request names"),
        (root.scope.within(&asked.scope), "allows more than the request asked for"),
        (root.max_depth <= asked.max_depth, "allows a deeper chain than the request asked for"),
        (root.tenant == asked.tenant, "is for another tenant than the request names"),
        (root.purpose == asked.purpose, "states another purpose than the request"),
        (root.why == asked.why, "states another reason than the request"),
        (root.intent == asked.intent, "names another instruction than the request"),
        (root.approvals == asked.approvals, "demands other approvals than the request"),
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
    let text = format!("the delegation {problem}: it is not within what the principal signed");
    failure(Step::RequestBinding, text)
}

fn in_request_time(request: &RootRequest, at_s: u64) -> bool {
    (request.iat.saturating_sub(SKEW_S)..=request.exp.saturating_add(SKEW_S)).contains(&at_s)
}
