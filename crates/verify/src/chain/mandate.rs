//! Mandates (format §6): a registered principal's standing authority, and the short roots under it.

use evidence::Principal;
use evidence::delegation::{Approvals, Mandate, Named, Root};
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::SKEW_S;

use super::{Anchor, Failure, Stated, Step, are_plain, failure};

/// A mandate that a registered key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandated {
    /// Its claims.
    pub mandate: Mandate,
    /// Its token digest, by which roots, requests and revocations name it.
    pub digest: String,
}

/// Checks a mandate: shape, rules, the log's issuer and tenant, a registered key, its signature, and that it is of
/// the principal whose key that is (format §10 step 10). `registered` is the register as it stands.
pub fn mandate(
    token: &str,
    anchor: &Anchor<'_>,
    registered: impl FnOnce(&str) -> Option<(Principal, Jwk)>,
) -> Result<Mandated, Failure> {
    let (signed, mandate) = parse_mandate(token, &anchor.into())?;
    let (principal, key) = registered(signed.kid()).ok_or_else(|| unregistered_mandate(signed.kid()))?;
    signed_mandate(&signed, &key)?;
    if !(principal.same(&mandate.principal) && principal.kind == mandate.principal.kind) {
        return Err(mandate_of_another());
    }
    Ok(Mandated { mandate, digest: signed.digest() })
}

/// Shape and rules of a mandate, and that it is for this log; its signature is not checked yet.
pub(crate) fn parse_mandate(token: &str, stated: &Stated<'_>) -> Result<(Signed, Mandate), Failure> {
    let wrong =
        |why: String| failure(Step::MandateMalformed, format!("the mandate is not an acceptable one: {why}"));
    let signed = Signed::parse(token, jws::MANDATE).map_err(|error| wrong(error.to_string()))?;
    let mandate = Mandate::parse(signed.unverified()).map_err(|error| wrong(error.to_string()))?;
    if !are_plain(&signed, &["prin"]) {
        return Err(wrong("its principal is no object of strings".into()));
    }
    if mandate.key != signed.kid() {
        return Err(wrong("its issuer is not the key that it names as its signer".into()));
    }
    stated.fits(&mandate.audience, &mandate.tenant).map_err(wrong)?;
    Ok((signed, mandate))
}

/// The signature on a mandate; `key` is the registered one.
pub(crate) fn signed_mandate(signed: &Signed, key: &Jwk) -> Result<(), Failure> {
    signed.verify(key).map(|_| ()).map_err(|error| {
        let text = format!("the mandate's signature does not hold: {error}; it was altered or forged");
        failure(Step::MandateSignature, text)
    })
}

/// That the key of a mandate is not one of a registered principal.
pub(crate) fn unregistered_mandate(kid: &str) -> Failure {
    let text = format!(
        "the mandate is signed with the key `{kid}`, which is not registered (or no longer): register it with \
         `deeds principal add`, or sign with a registered key"
    );
    failure(Step::MandateKey, text)
}

/// That a mandate names somebody else than the principal whose key signed it.
pub(crate) fn mandate_of_another() -> Failure {
    let text = "the mandate names another principal than the one whose key signed it: nobody can give another's authority";
    failure(Step::MandateBinding, text)
}

/// Whether a root is under the mandate that it names as `named`. `asker` is the `iss` and `sub` of who signed the
/// root's request, where that is known.
pub(crate) fn under(
    root: &Root,
    named: &Named,
    mandate: &Mandate,
    asker: Option<(String, String)>,
) -> Result<(), Failure> {
    let approvals = Approvals::kept(root.approvals.as_ref(), mandate.approvals.as_ref());
    let asker_named = asker.is_none_or(|(iss, sub)| {
        iss == root.issuer && mandate.holders.contains(&sub) && root.holder.id == sub
    });
    let life = root.exp.saturating_sub(root.iat);
    let rules = [
        (named.kid == mandate.key && named.jti == mandate.jti, "names another mandate than this one"),
        (root.principal == mandate.principal, "names another principal than its mandate"),
        (root.scope.within(&mandate.scope), "allows more than its mandate"),
        (root.max_depth <= mandate.max_depth, "allows a deeper chain than its mandate"),
        (root.tenant == mandate.tenant, "is for another tenant than its mandate"),
        (root.purpose == mandate.purpose, "states another purpose than its mandate"),
        (approvals, "demands fewer approvals than its mandate"),
        (life <= mandate.root_ttl && root.exp <= mandate.exp, "lives longer than its mandate allows"),
        (
            mandate.nbf.saturating_sub(SKEW_S) <= root.iat && root.iat < mandate.exp,
            "was issued outside the time of its mandate",
        ),
        (asker_named, "was asked for by somebody whom its mandate does not name, or is held by another"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => {
            let text = format!("the delegation {problem}: it is not within the mandate that was signed");
            Err(failure(Step::MandateBinding, text))
        }
        None => Ok(()),
    }
}
