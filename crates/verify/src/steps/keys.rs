//! Step 9, second part: the register of principals' keys, as it stood at every index.

use std::collections::BTreeMap;

use evidence::Principal;
use evidence::id::LOG_LEVEL;
use evidence::jws::Jwk;
use evidence::kind::Kind;
use evidence::principal::PrincipalKind;
use serde_json::Value;

use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};

const REGISTERED: &str = "principal-registered";

/// Who holds which key; changes by index for each thumbprint.
#[derive(Default)]
pub(crate) struct Register(BTreeMap<String, Vec<Change>>);

/// One change of a key.
struct Change {
    index: u64,
    registered: Option<Registered>,
}

/// A key and whose it is.
pub(crate) struct Registered {
    pub(crate) key: Jwk,
    principal: Value,
}

impl Registered {
    /// Whether the key is that of a principal, by issuer and `sub`.
    pub(crate) fn is_of(&self, principal: &Principal) -> bool {
        self.text("iss") == Some(&principal.iss) && self.text("sub") == Some(&principal.sub)
    }

    /// The `iss` and `sub` of the principal, where both are text.
    pub(crate) fn owner(&self) -> Option<(String, String)> {
        Some((self.text("iss")?.to_owned(), self.text("sub")?.to_owned()))
    }

    /// Whether the principal is a person.
    pub(crate) fn is_person(&self) -> bool {
        self.kind() == Some(PrincipalKind::Human.as_str())
    }

    /// The kind of the principal.
    pub(crate) fn kind(&self) -> Option<&str> {
        self.text("kind")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.principal.get(name).and_then(Value::as_str)
    }
}

impl Register {
    /// A key below a log index; none where the last change before it is not a registration.
    pub(crate) fn at(&self, thumbprint: &str, index: u64) -> Option<&Registered> {
        let changes = self.0.get(thumbprint)?;
        let count = changes.partition_point(|change| change.index < index);
        changes.get(count.checked_sub(1)?)?.registered.as_ref()
    }

    /// Whether a key of some person counts as registered below a log index.
    pub(crate) fn has_person_at(&self, index: u64) -> bool {
        self.0.keys().any(|thumbprint| self.at(thumbprint, index).is_some_and(Registered::is_person))
    }
}

/// Step 9.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) -> Register {
    let mut register = Register::default();
    for (seen, _) in items.of_kind(Kind::KeyOrTrustChanged).filter(|(_, entry)| entry.run == LOG_LEVEL) {
        let (Some(change), Some(principal), Some(_)) =
            (seen.value("change"), seen.value("principal"), seen.raw("key"))
        else {
            continue;
        };
        let key = seen.key("key");
        check_thumbprint(seen, key.as_ref(), findings);
        let Some(key) = key else { continue };
        let thumbprint = key.thumbprint();
        // whatever is not a registration ends one
        let registered = (change == REGISTERED).then_some(Registered { key, principal });
        register.0.entry(thumbprint).or_default().push(Change { index: seen.index, registered });
    }
    register
}

fn check_thumbprint(seen: &Seen<'_>, key: Option<&Jwk>, findings: &mut Findings) {
    let Some(recorded) = seen.value("thumbprint") else { return };
    if key.is_none_or(|key| recorded != key.thumbprint()) {
        let text = "the thumbprint recorded for this key is not the key's: one of them was mixed up";
        findings.at(seen.index, Code::KeyThumbprint, text);
    }
}
