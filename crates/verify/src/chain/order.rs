//! Signed orders (format §6): revocations and halts.

use evidence::Principal;
use evidence::delegation::{HaltOrder, Revocation};
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::SKEW_S;
use evidence::span::Span;

use super::{Anchor, Failure, Stated, Step, failure};

/// Checks a signed revocation: shape, rules, the log's issuer and tenant, a registered key, its signature (format
/// §10 step 12). Gives it with whose key signed it. Whether it is fresh is [`order_fresh`].
pub fn revocation(
    token: &str,
    anchor: &Anchor<'_>,
    registered: impl FnOnce(&str) -> Option<(Principal, Jwk)>,
) -> Result<(Revocation, Principal), Failure> {
    let (signed, revocation) = parse_revocation(token, &anchor.into())?;
    Ok((revocation, signer(&signed, registered)?))
}

/// Checks a signed halt or resume order, as [`revocation`] does.
pub fn halt(
    token: &str,
    anchor: &Anchor<'_>,
    registered: impl FnOnce(&str) -> Option<(Principal, Jwk)>,
) -> Result<(HaltOrder, Principal), Failure> {
    let (signed, order) = parse_halt(token, &anchor.into())?;
    Ok((order, signer(&signed, registered)?))
}

/// Checks that an order signed at `iat` that ends at `exp` may be carried out at `now_s` (all seconds).
pub fn order_fresh(iat: u64, exp: u64, now_s: u64) -> Result<(), Failure> {
    if (iat.saturating_sub(SKEW_S)..=exp.saturating_add(SKEW_S)).contains(&now_s) {
        return Ok(());
    }
    let text = if now_s > exp {
        format!("the order ended {} before it came here: sign a new one", Span::between(exp, now_s))
    } else {
        format!("the order was signed {} in the future: compare the two clocks", Span::between(iat, now_s))
    };
    Err(failure(Step::OrderBinding, text))
}

fn signer(
    signed: &Signed,
    registered: impl FnOnce(&str) -> Option<(Principal, Jwk)>,
) -> Result<Principal, Failure> {
    let (principal, key) = registered(signed.kid()).ok_or_else(|| unregistered_order(signed.kid()))?;
    signed_order(signed, &key)?;
    Ok(principal)
}

/// Shape and rules of a revocation, and that it is for this log; its signature is not checked yet.
pub(crate) fn parse_revocation(token: &str, stated: &Stated<'_>) -> Result<(Signed, Revocation), Failure> {
    let signed = Signed::parse(token, jws::REVOCATION).map_err(|error| malformed(&error.to_string()))?;
    let order = Revocation::parse(signed.unverified()).map_err(|error| malformed(&error.to_string()))?;
    for_log(&signed, &order.key, stated.fits(&order.audience, &order.tenant))?;
    Ok((signed, order))
}

/// The same of a halt or resume order.
pub(crate) fn parse_halt(token: &str, stated: &Stated<'_>) -> Result<(Signed, HaltOrder), Failure> {
    let signed = Signed::parse(token, jws::HALT).map_err(|error| malformed(&error.to_string()))?;
    let order = HaltOrder::parse(signed.unverified()).map_err(|error| malformed(&error.to_string()))?;
    for_log(&signed, &order.key, stated.fits(&order.audience, &order.tenant))?;
    Ok((signed, order))
}

fn for_log(signed: &Signed, key: &str, fits: Result<(), String>) -> Result<(), Failure> {
    if key != signed.kid() {
        return Err(malformed("its issuer is not the key that it names as its signer"));
    }
    fits.map_err(|why| malformed(&why))
}

fn malformed(why: &str) -> Failure {
    failure(Step::OrderMalformed, format!("the signed order is not an acceptable one: {why}"))
}

/// The signature on an order; `key` is the registered one.
pub(crate) fn signed_order(signed: &Signed, key: &Jwk) -> Result<(), Failure> {
    signed.verify(key).map(|_| ()).map_err(|error| {
        let text = format!("the order's signature does not hold: {error}; it was altered or forged");
        failure(Step::OrderSignature, text)
    })
}

/// That the key of an order is that of a revoked principal.
pub(crate) fn revoked_signer(kid: &str) -> Failure {
    let text = format!(
        "the order is signed with the key `{kid}` of a principal that is revoked: somebody else has to sign it"
    );
    failure(Step::OrderKey, text)
}

/// That the key of an order is not one of a registered principal.
pub(crate) fn unregistered_order(kid: &str) -> Failure {
    let text = format!(
        "the order is signed with the key `{kid}`, which is not registered (or no longer): sign with a registered key"
    );
    failure(Step::OrderKey, text)
}
