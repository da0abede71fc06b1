//! Step 10 at log level: every mandate is signed by the principal whose authority it hands out.

use serde_json::Value;

use crate::chain::{self, Failure, Mandated};
use crate::genesis::Genesis;
use crate::items::Seen;
use crate::steps::delegations::check_digest;
use crate::steps::keys::Register;

/// The mandate, unless it is malformed, and all that there is to say about it.
pub(crate) fn check_one(
    seen: &Seen<'_>,
    token: &Value,
    genesis: &Genesis,
    register: &Register,
) -> (Option<Mandated>, Vec<Failure>) {
    let token = token.as_str().unwrap_or_default();
    let (signed, mandate) = match chain::parse_mandate(token, &genesis.stated()) {
        Ok(parsed) => parsed,
        Err(failure) => return (None, vec![failure]),
    };
    let mut failures: Vec<Failure> = check_digest(seen, &signed).err().into_iter().collect();
    match register.at(signed.kid(), seen.index) {
        None => failures.push(chain::unregistered_mandate(signed.kid())),
        Some(registered) => {
            failures.extend(chain::signed_mandate(&signed, &registered.key).err());
            let principal = &mandate.principal;
            if !(registered.is_of(principal) && registered.kind() == Some(principal.kind.as_str())) {
                failures.push(chain::mandate_of_another());
            }
        }
    }
    (Some(Mandated { mandate, digest: signed.digest() }), failures)
}
