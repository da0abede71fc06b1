//! Reading claims by name and type; a missing claim and one of another type get the same plain error.

use serde_json::{Map, Value, json};

use crate::digest::Digest;
use crate::id::{self, Id};
use crate::jws::Jwk;
use crate::limits::{JSON_INTEGER_MAX, SCOPE_STRING_MAX_BYTES};
use crate::principal::{self, Principal};
use crate::scope::Scope;

const DETAIL: &str = "attenuating_agent_token";
const THUMBPRINT_URN: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// Why claims are not those of the object they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClaimError(pub(super) String);

/// The URN that names a key by its thumbprint (RFC 9278).
pub(super) fn key_urn(thumbprint: &str) -> String {
    format!("{THUMBPRINT_URN}{thumbprint}")
}

/// The `authorization_details` of a scope.
pub(super) fn details(scope: &Scope) -> Value {
    json!([{"type": DETAIL, "tools": scope.to_json()}])
}

/// Adds a claim that may be absent.
pub(super) fn put(members: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value);
    }
}

pub(super) fn check(holds: bool, otherwise: &str) -> Result<(), ClaimError> {
    if holds { Ok(()) } else { Err(ClaimError(otherwise.to_owned())) }
}

/// `exp` is not below `iat`, and at most `longest` seconds above it.
pub(super) fn check_life(iat: u64, exp: u64, longest: u64) -> Result<(), ClaimError> {
    let life =
        exp.checked_sub(iat).ok_or_else(|| ClaimError("it ends before it was made: exp below iat".into()))?;
    check(life <= longest, &format!("it lives longer than the {longest} s allowed"))
}

/// Claims of a signed object, or of an object inside it.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Claims<'a> {
    pub(super) fn wrong(name: &str, expected: &str) -> ClaimError {
        ClaimError(format!("its claim `{name}` is not {expected}"))
    }

    /// Reads a claim that may be absent; `null` is a value, and of no claim.
    pub(super) fn optional<T>(
        self,
        name: &str,
        read: impl FnOnce(Self, &str) -> Result<T, ClaimError>,
    ) -> Result<Option<T>, ClaimError> {
        self.0.contains_key(name).then(|| read(self, name)).transpose()
    }

    pub(super) fn check_version(self) -> Result<(), ClaimError> {
        check(self.number("v")? == 1, "its version is not 1")
    }

    pub(super) fn text(self, name: &str) -> Result<String, ClaimError> {
        let text = self.0.get(name).and_then(Value::as_str);
        let text = text.filter(|text| text.len() <= SCOPE_STRING_MAX_BYTES && !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| Self::wrong(name, "a text of acceptable length"))
    }

    pub(super) fn number(self, name: &str) -> Result<u64, ClaimError> {
        let number = self.0.get(name).and_then(Value::as_u64).filter(|number| *number <= JSON_INTEGER_MAX);
        number.ok_or_else(|| Self::wrong(name, "a whole number within 2^53"))
    }

    pub(super) fn uuid(self, name: &str) -> Result<Id, ClaimError> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.and_then(id::parse).ok_or_else(|| Self::wrong(name, "a lower-case UUID"))
    }

    pub(super) fn uuid_text(self, name: &str) -> Result<String, ClaimError> {
        self.uuid(name).map(|id| id::text(&id))
    }

    /// A digest string, `sha256:` and hex.
    pub(super) fn digest(self, name: &str) -> Result<String, ClaimError> {
        let text = self.text(name)?;
        Digest::parse(&text).map_err(|_| Self::wrong(name, "a digest: `sha256:` and 64 hex digits"))?;
        Ok(text)
    }

    /// An array of `1..=most` texts, each of which `fits`.
    pub(super) fn texts(
        self,
        name: &str,
        most: usize,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, ClaimError> {
        let wrong = || Self::wrong(name, &format!("a list of 1 to {most} acceptable texts"));
        let list = self.0.get(name).and_then(Value::as_array);
        list.filter(|list| (1..=most).contains(&list.len()))
            .ok_or_else(wrong)?
            .iter()
            .map(|text| text.as_str().filter(|text| fits(text)).map(str::to_owned).ok_or_else(wrong))
            .collect()
    }

    pub(super) fn object(self, name: &str) -> Result<Claims<'a>, ClaimError> {
        self.0.get(name).and_then(Value::as_object).map(Claims).ok_or_else(|| Self::wrong(name, "an object"))
    }

    /// The thumbprint of the key that `iss` names.
    pub(super) fn issuing_key(self) -> Result<String, ClaimError> {
        let issuer = self.text("iss")?;
        let key = issuer.strip_prefix(THUMBPRINT_URN).filter(|key| !key.is_empty());
        key.map(str::to_owned).ok_or_else(|| ClaimError("its issuer is not the thumbprint of a key".into()))
    }

    /// The one member of `aud`.
    pub(super) fn sole_audience(self) -> Result<String, ClaimError> {
        let wrong = || Self::wrong("aud", "a list of exactly one audience");
        let list = self.0.get("aud").and_then(Value::as_array).ok_or_else(wrong)?;
        let [Value::String(audience)] = list.as_slice() else { return Err(wrong()) };
        let fits = (1..=SCOPE_STRING_MAX_BYTES).contains(&audience.len());
        if fits { Ok(audience.clone()) } else { Err(wrong()) }
    }

    pub(super) fn bound_key(self) -> Result<Jwk, ClaimError> {
        let key = self.object("cnf")?;
        let jwk =
            key.0.get("jwk").filter(|_| key.0.len() == 1).ok_or_else(|| Self::wrong("cnf", "one key"))?;
        Jwk::parse(jwk).map_err(|error| ClaimError(format!("its bound key: {error}")))
    }

    pub(super) fn scope(self) -> Result<Scope, ClaimError> {
        let wrong = || Self::wrong("authorization_details", "exactly one detail of the expected type");
        let list = self.0.get("authorization_details").and_then(Value::as_array).ok_or_else(wrong)?;
        let [Value::Object(detail)] = list.as_slice() else { return Err(wrong()) };
        if detail.len() != 2 || detail.get("type").and_then(Value::as_str) != Some(DETAIL) {
            return Err(wrong());
        }
        Scope::parse(detail.get("tools").ok_or_else(wrong)?).map_err(|error| ClaimError(error.to_string()))
    }

    pub(super) fn typed<T: serde::de::DeserializeOwned>(self, name: &str) -> Result<T, ClaimError> {
        let value = self.0.get(name).cloned().unwrap_or_default();
        // a list would be taken for an object, member by member
        if value.is_array() {
            return Err(Self::wrong(name, "as the format says"));
        }
        serde_json::from_value(value).map_err(|_| Self::wrong(name, "as the format says"))
    }

    pub(super) fn principal(self, name: &str) -> Result<Principal, ClaimError> {
        let principal: Principal = self.typed(name)?;
        check(
            principal.is_well_formed(),
            "its principal's identifiers are empty, too long or not printable",
        )?;
        Ok(principal)
    }

    /// The `iss` and `sub` of an object that has no other members but the `more` given.
    pub(super) fn identity(self, more: usize) -> Result<(String, String), ClaimError> {
        let (iss, sub) = (self.text("iss")?, self.text("sub")?);
        check(
            self.0.len() == 2 + more && principal::is_identifier(&iss) && principal::is_identifier(&sub),
            "a principal is not an `iss` and a `sub` of printable text",
        )?;
        Ok((iss, sub))
    }
}
