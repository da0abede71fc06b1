//! What revocations and halts have in common: whose key signs, and what every signed order says.

use ed25519_dalek::SigningKey;
use evidence::limits::ORDER_MAX_S;
use evidence::{id, jws::Jwk};

use crate::config::Config;
use crate::connect::Server;
use crate::{clock, entropy, keys};

/// The principal's key, if one is configured or named.
pub(super) fn signer(config: &Config) -> anyhow::Result<Option<SigningKey>> {
    Ok(config.principal.as_deref().map(keys::read).transpose()?.map(|key| key.signing))
}

/// What every signed order says of itself.
pub(super) struct Head {
    pub(super) jti: String,
    pub(super) key: String,
    pub(super) audience: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) tenant: String,
}

impl Head {
    /// For an order that is handed in at once.
    pub(super) fn new(server: &Server, key: &SigningKey) -> anyhow::Result<Self> {
        let iat = clock::now_s();
        Ok(Self {
            jti: id::text(&entropy::id()?),
            key: Jwk::of(key).thumbprint(),
            audience: server.hello.issuer.clone(),
            iat,
            exp: iat + ORDER_MAX_S,
            tenant: server.hello.tenant.clone(),
        })
    }
}

/// Who stands behind an order, in words.
pub(super) fn behind(key: Option<&SigningKey>) -> &'static str {
    match key {
        Some(_) => "signed",
        None => "not signed: recorded as done by the user of this process (`--as KEYFILE` signs)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_nobody_signed_says_how_to_sign() {
        assert!(behind(None).contains("`--as KEYFILE`"));
        assert_eq!(behind(Some(&SigningKey::from_bytes(&[1; 32]))), "signed");
    }
}
