//! What stands behind a root delegation: its `src`.

use serde_json::{Value, json};

use super::claims::{ClaimError, Claims, check, key_urn};

/// A signed object as a root names it: enough to find it and to hold it against the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Thumbprint of the key that signed it.
    pub kid: String,
    /// Its `jti`.
    pub jti: String,
    /// Its token digest.
    pub digest: String,
}

/// What stands behind a root delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A request signed by a registered key of the principal.
    KeyRequest(Named),
    /// A request signed by a registered key of a service, under a standing authority of the principal.
    Mandate {
        /// The mandate.
        mandate: Named,
        /// The request.
        request: Named,
    },
    /// The operating system vouches for the user id of the peer, and for nothing else.
    PeerCredentials {
        /// The user id.
        uid: u64,
    },
}

impl Source {
    /// The signed request.
    pub fn request(&self) -> Option<&Named> {
        match self {
            Self::KeyRequest(request) | Self::Mandate { request, .. } => Some(request),
            Self::PeerCredentials { .. } => None,
        }
    }

    /// The mandate that the request was made under.
    pub fn mandate(&self) -> Option<&Named> {
        match self {
            Self::Mandate { mandate, .. } => Some(mandate),
            Self::KeyRequest(_) | Self::PeerCredentials { .. } => None,
        }
    }

    /// Thumbprints of the keys whose signatures the root rests on, in the order of `src`.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.mandate().into_iter().chain(self.request()).map(|named| named.kid.as_str())
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::KeyRequest(request) => json!([request.to_json("key-request")]),
            Self::Mandate { mandate, request } => {
                json!([mandate.to_json("mandate"), request.to_json("key-request")])
            }
            Self::PeerCredentials { uid } => json!([{"t": "peer-cred", "uid": uid}]),
        }
    }

    pub(super) fn parse(own: Claims<'_>) -> Result<Self, ClaimError> {
        let wrong = || Claims::wrong("src", "a list of sources that this version knows");
        let list = own.0.get("src").and_then(Value::as_array).ok_or_else(wrong)?;
        let kind = |source: &Value| source.get("t").and_then(Value::as_str).map(str::to_owned);
        let kinds: Option<Vec<String>> = list.iter().map(kind).collect();
        let kinds = kinds.ok_or_else(wrong)?;
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        match (kinds.as_slice(), list.as_slice()) {
            (["key-request"], [Value::Object(request)]) => {
                Ok(Self::KeyRequest(Named::parse(Claims(request))?))
            }
            (["mandate", "key-request"], [Value::Object(mandate), Value::Object(request)]) => {
                Ok(Self::Mandate {
                    mandate: Named::parse(Claims(mandate))?,
                    request: Named::parse(Claims(request))?,
                })
            }
            (["peer-cred"], [Value::Object(peer)]) => {
                Ok(Self::PeerCredentials { uid: Claims(peer).number("uid")? })
            }
            _ => Err(wrong()),
        }
    }
}

impl Named {
    fn to_json(&self, kind: &str) -> Value {
        json!({"t": kind, "iss": key_urn(&self.kid), "kid": self.kid, "jti": self.jti, "d": self.digest})
    }

    fn parse(source: Claims<'_>) -> Result<Self, ClaimError> {
        let kid = source.text("kid")?;
        check(source.text("iss")? == key_urn(&kid), "its source names two keys")?;
        Ok(Self { kid, jti: source.uuid_text("jti")?, digest: source.text("d")? })
    }
}
