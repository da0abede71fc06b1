//! The token that a CI system gave its job (OIDC), as a correlator: what it says is recorded, asserted, because nobody
//! checked its signature; the token itself never is. Its SHA-256 finds it again in the records of whoever saw it.

use evidence::{Digest, base64url, json};
use serde_json::{Map, Value};

use crate::limits::{ASSERTED_VALUE_MAX, OIDC_AUDIENCES_MAX, OIDC_TOKEN_MAX};

/// The claims that identify a job.
const CLAIMS: [&str; 24] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "jti",
    "repository",
    "ref",
    "sha",
    "run_id",
    "run_attempt",
    "actor",
    "workflow",
    "job_workflow_ref",
    "job_workflow_sha",
    "environment",
    "event_name",
    // the same of GitLab
    "project_path",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "user_login",
    "ci_config_ref_uri",
    "ci_config_sha",
];

/// Why a job token cannot be used. The text never holds a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// Too long.
    #[error("it has {0} bytes, more than the {OIDC_TOKEN_MAX} that a job token may have")]
    TooLong(usize),
    /// Not three parts of base64url.
    #[error("it is not a signed token: three parts of base64url with points between them")]
    Shape,
    /// Header or claims are no JSON objects.
    #[error("its {0} is not a JSON object, strictly read")]
    Json(&'static str),
    /// A claim is not what its name promises.
    #[error("its claim `{0}` is neither a text nor a number, or is too long")]
    Claim(&'static str),
    /// It does not say who made it out to whom.
    #[error("it has no claim `{0}`")]
    Missing(&'static str),
}

/// What a job token says: `{"label":"asserted","digest":"sha256:…","claims":{…}}`. `digest` is of the token's text,
/// without white space around it.
pub fn job_token(text: &str) -> Result<Value, OidcError> {
    let token = text.trim();
    if token.len() > OIDC_TOKEN_MAX {
        return Err(OidcError::TooLong(token.len()));
    }
    let parts: Vec<Vec<u8>> =
        token.split('.').map(base64url::decode).collect::<Option<_>>().ok_or(OidcError::Shape)?;
    let [header, payload, signature] = parts.as_slice() else { return Err(OidcError::Shape) };
    if signature.is_empty() {
        return Err(OidcError::Shape);
    }
    object(header, "header")?;
    let said = object(payload, "payload")?;
    let mut claims = Map::new();
    for name in CLAIMS {
        if let Some(value) = said.get(name) {
            claims.insert(name.to_owned(), claim(name, value)?);
        }
    }
    for needed in ["iss", "sub"] {
        if !claims.get(needed).is_some_and(Value::is_string) {
            return Err(OidcError::Missing(needed));
        }
    }
    let digest = Digest::of(token.as_bytes()).to_string();
    Ok(serde_json::json!({"label": "asserted", "digest": digest, "claims": claims}))
}

fn object(bytes: &[u8], what: &'static str) -> Result<Map<String, Value>, OidcError> {
    match json::parse(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(OidcError::Json(what)),
    }
}

/// A claim as it is recorded: a text or a whole number; `aud` may be a list of texts.
fn claim(name: &'static str, value: &Value) -> Result<Value, OidcError> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.len() <= ASSERTED_VALUE_MAX,
        Value::Number(number) => number.is_u64(),
        _ => false,
    };
    let fits = match value {
        Value::Array(list) if name == "aud" => {
            list.len() <= OIDC_AUDIENCES_MAX && list.iter().all(|item| item.is_string() && plain(item))
        }
        other => plain(other),
    };
    if fits { Ok(value.clone()) } else { Err(OidcError::Claim(name)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let part = |text: &str| base64url::encode(text.as_bytes());
        format!("{}.{}.{}", part(header), part(payload), part("signature"))
    }

    fn of(payload: &Value) -> Result<Value, OidcError> {
        job_token(&token(r#"{"alg":"RS256","kid":"k"}"#, &payload.to_string()))
    }

    #[test]
    fn the_claims_that_identify_are_told_and_the_token_is_not() {
        let payload = json!({
            "iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/payments:environment:prod",
            "aud": ["acme", "b"], "exp": 1_800_000_600, "iat": 1_800_000_000, "nbf": 1_800_000_000, "jti": "j",
            "repository": "acme/payments", "ref": "refs/heads/main", "sha": "a1b2", "run_id": "8812",
            "run_attempt": "1", "actor": "ravi", "workflow": "deploy", "environment": "prod",
            "job_workflow_ref": "acme/payments/.github/workflows/deploy.yml@refs/heads/main",
            "job_workflow_sha": "a1b2", "event_name": "push", "enterprise": "not needed",
        });
        let text = token(r#"{"alg":"RS256","kid":"k"}"#, &payload.to_string());
        let told = job_token(&format!("{text}\n")).unwrap();
        assert_eq!(told["label"], "asserted");
        assert_eq!(told["digest"], Digest::of(text.as_bytes()).to_string().as_str());
        let mut expected = payload;
        for left_out in ["nbf", "enterprise"] {
            expected.as_object_mut().unwrap().remove(left_out);
        }
        assert_eq!(told["claims"], expected);
        let shown = told.to_string();
        assert!(text.split('.').all(|part| !shown.contains(part)));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "a", "a.b", "e30.e30.", "e30.e30.aa.aa", "e30=.e30.aa", "e30 .e30.aa", "ghp_abc"] {
            assert_eq!(job_token(text), Err(OidcError::Shape), "{text}");
        }
        assert_eq!(job_token(&token("[]", "{}")), Err(OidcError::Json("header")));
        assert_eq!(job_token(&token("{}", r#"{"iss":"a","iss":"b"}"#)), Err(OidcError::Json("payload")));
        assert_eq!(of(&json!({"iss": "a"})), Err(OidcError::Missing("sub")));
        assert_eq!(of(&json!({"iss": 7, "sub": "a"})), Err(OidcError::Missing("iss")));
        for wrong in [json!({}), json!(1.5), json!(-1), json!(["a"]), json!(null), json!(true)] {
            assert_eq!(of(&json!({"iss": "a", "sub": "b", "sha": wrong})), Err(OidcError::Claim("sha")));
        }
        assert_eq!(of(&json!({"iss": "a", "sub": "b", "aud": [1]})), Err(OidcError::Claim("aud")));
    }

    #[test]
    fn limits_hold_at_and_one_past() {
        let sub = |length: usize| of(&json!({"iss": "a", "sub": "x".repeat(length)})).map(drop);
        assert_eq!(
            (sub(ASSERTED_VALUE_MAX), sub(ASSERTED_VALUE_MAX + 1)),
            (Ok(()), Err(OidcError::Claim("sub")))
        );
        let aud = |count: usize| of(&json!({"iss": "a", "sub": "b", "aud": vec!["x"; count]})).map(drop);
        assert_eq!(
            (aud(OIDC_AUDIENCES_MAX), aud(OIDC_AUDIENCES_MAX + 1)),
            (Ok(()), Err(OidcError::Claim("aud")))
        );
        assert_eq!(job_token(&"a".repeat(OIDC_TOKEN_MAX)), Err(OidcError::Shape));
        let long = OIDC_TOKEN_MAX + 1;
        assert_eq!(job_token(&"a".repeat(long)), Err(OidcError::TooLong(long)));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_judged(text in "\\PC{0,200}", payload in "\\PC{0,200}") {
            let _ = job_token(&text);
            let _ = job_token(&token("{}", &payload));
        }

        #[test]
        fn no_error_shows_a_part_of_the_token(secret in "[a-z]{24}") {
            let token = token("{}", &format!(r#"{{"iss":"a","sub":["{secret}"]}}"#));
            prop_assert!(!job_token(&token).unwrap_err().to_string().contains(&secret));
        }
    }
}
