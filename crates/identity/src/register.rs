//! The register of local key principals, as the log's `key-or-trust-changed` entries make it.

use std::collections::BTreeMap;

use evidence::jws::Jwk;
use evidence::principal::Principal;

/// One registered key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Whose key it is.
    pub principal: Principal,
    /// The key.
    pub key: Jwk,
    /// Log index of the entry that registered it.
    pub index: u64,
    /// Log index of the entry that retired it.
    pub retired: Option<u64>,
}

/// Keys by thumbprint. Retired keys stay: past decisions are explained with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register(BTreeMap<String, Registered>);

impl Register {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key with this thumbprint, unless it was retired.
    pub fn get(&self, thumbprint: &str) -> Option<&Registered> {
        self.0.get(thumbprint).filter(|known| known.retired.is_none())
    }

    /// Adds a key, or brings a retired one back.
    pub fn add(&mut self, principal: Principal, key: Jwk, index: u64) {
        self.0.insert(key.thumbprint(), Registered { principal, key, index, retired: None });
    }

    /// Marks a key as retired; `false` when it is not in force.
    pub fn retire(&mut self, thumbprint: &str, index: u64) -> bool {
        match self.0.get_mut(thumbprint).filter(|known| known.retired.is_none()) {
            Some(known) => {
                known.retired = Some(index);
                true
            }
            None => false,
        }
    }

    /// All keys, retired ones too, by thumbprint.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Registered)> {
        self.0.iter().map(|(thumbprint, known)| (thumbprint.as_str(), known))
    }
}
