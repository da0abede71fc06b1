//! What a request says, read strictly: every failure is a problem document.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use evidence::Digest;
use evidence::artifact::Artifacts;
use evidence::id::{self, Id};
use evidence::limits::JSON_INTEGER_MAX;
use recorder::Peer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};

/// The caller, as the kernel tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) Peer);

/// A JSON body of a closed type.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A query string of a closed type.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The named segments of a path.
#[derive(Debug)]
pub(crate) struct Segments(BTreeMap<String, String>);

impl Segments {
    /// A segment as text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A segment that is an id.
    pub(crate) fn id(&self, name: &str) -> Result<Id, Problem> {
        id_member(name, self.text(name))
    }
}

/// An id from outside.
pub(crate) fn id_member(name: &str, text: &str) -> Result<Id, Problem> {
    id::parse(text).ok_or_else(|| Problem::member(name, "a lower-case UUID with hyphens is expected"))
}

/// A number from outside that is to be recorded: what JSON does not carry exactly would be recorded as another one.
pub(crate) fn exact(name: &str, number: u64) -> Result<u64, Problem> {
    let wrong = || Problem::member(name, "it is beyond what JSON carries exactly");
    Some(number).filter(|number| *number <= JSON_INTEGER_MAX).ok_or_else(wrong)
}

/// A digest string from outside.
pub(crate) fn digest_member(name: &str, text: &str) -> Result<(), Problem> {
    digest_of(name, text).map(drop)
}

/// A digest string that may be missing.
pub(crate) fn digest_maybe(name: &str, text: Option<&str>) -> Result<(), Problem> {
    text.map_or(Ok(()), |text| digest_member(name, text))
}

/// A digest from outside.
pub(crate) fn digest_of(name: &str, text: &str) -> Result<Digest, Problem> {
    Digest::parse(text).map_err(|error| Problem::member(name, error))
}

/// A digest from outside that may be missing.
pub(crate) fn digest_of_maybe(name: &str, text: Option<&str>) -> Result<Option<Digest>, Problem> {
    text.map(|text| digest_of(name, text)).transpose()
}

/// Artifacts from outside: a list, or what stands for one, such as the format allows.
pub(crate) fn artifacts(name: &str, told: &impl Serialize) -> Result<Artifacts, Problem> {
    let told = serde_json::to_value(told).map_err(Problem::malformed)?;
    Artifacts::from_json(&told).map_err(|error| Problem::member(name, error))
}

/// Reads a closed type from strict JSON: no name twice, no lone surrogates, bounded nesting.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value = evidence::json::parse(bytes).map_err(Problem::malformed)?;
    serde_json::from_value(value).map_err(Problem::malformed)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // every way in puts the peer there; without one nobody is served
        let peer = parts.extensions.get::<Peer>().copied();
        let nobody = || Problem::new(Code::PeerRefused, "the caller is not known: use the server's socket");
        peer.map(Self).ok_or_else(nobody)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(Problem::malformed)?;
        parse(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|error| Problem::malformed(error.body_text()))
    }
}
