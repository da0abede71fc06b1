//! What entry 1 of the log, the second genesis entry, says about keys (format §5).

use evidence::jws::Jwk;
use evidence::{Kind, label::Check};
use serde_json::Value;
use tlog::note::{KeyMaterial, VerifierKey};

use crate::chain::Stated;
use crate::items::Items;
use crate::trust::TrustRoots;

/// The log's own statement of its keys, as far as it is opened.
#[derive(Default)]
pub(crate) struct Genesis {
    /// Whether `log_key` is opened, usable or not.
    pub(crate) has_log_key: bool,
    /// The checkpoint key; none where what is opened is no Ed25519 key named as the bundle's origin.
    pub(crate) log_key: Option<VerifierKey>,
    /// `iss` of root delegations, whatever is opened as it.
    pub(crate) issuer: Option<Value>,
    /// The tenant of root delegations, whatever is opened as it.
    pub(crate) tenant: Option<Value>,
    /// Whether `issuer_key` is opened, usable or not.
    pub(crate) has_issuer_key: bool,
    /// The key that signs root delegations.
    pub(crate) issuer_key: Option<Jwk>,
}

impl Genesis {
    /// Reads the item with index 1.
    pub(crate) fn read(items: &Items<'_>, origin: &str) -> Self {
        let anchors = items
            .by_index(1)
            .filter(|seen| seen.entry.as_ref().is_ok_and(|entry| entry.kind() == Some(Kind::LogGenesis)));
        let Some(anchors) = anchors else { return Self::default() };
        Self {
            has_log_key: anchors.raw("log_key").is_some(),
            log_key: anchors.text("log_key").and_then(|text| usable_key(&text, origin)),
            issuer: anchors.value("issuer"),
            tenant: anchors.value("tenant"),
            has_issuer_key: anchors.raw("issuer_key").is_some(),
            issuer_key: anchors.key("issuer_key"),
        }
    }

    /// What signed objects are compared with. What is stated otherwise than as text equals no claim: none is empty.
    pub(crate) fn stated(&self) -> Stated<'_> {
        Stated { issuer: self.issuer.as_ref().map(as_text), tenant: self.tenant.as_ref().map(as_text) }
    }

    /// What a check with the issuer's key is worth.
    pub(crate) fn issuer_check(&self, trust: &TrustRoots) -> Check {
        match &self.issuer_key {
            Some(key) => key_check(&key.thumbprint(), trust),
            None => Check::NotChecked,
        }
    }
}

fn as_text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a check with a key that the operator recorded is worth.
pub(crate) fn key_check(thumbprint: &str, trust: &TrustRoots) -> Check {
    if trust.pins(thumbprint) { Check::VerifiedPinned } else { Check::VerifiedCaptured }
}

fn usable_key(text: &str, origin: &str) -> Option<VerifierKey> {
    let key = VerifierKey::parse(text).ok()?;
    (key.name() == origin && matches!(key.material(), KeyMaterial::Ed25519(_))).then_some(key)
}
