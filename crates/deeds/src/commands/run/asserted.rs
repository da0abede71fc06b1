//! What the environment says of itself: names of variables, the CI job, the job's token.

use std::path::Path;

use anyhow::Context as _;
use capture::command::{ci_job, job_token};
use capture::limits::OIDC_TOKEN_MAX;
use serde_json::Value;

use crate::config::DEEDS_OIDC_TOKEN;
use crate::environment::Environment;
use crate::files::read_limited;

/// Names of the variables that the command gets, in their order. A name that is no text is told with its strange bytes
/// replaced.
pub(super) fn names(environment: &Environment, taken: &[String]) -> Vec<String> {
    let names = environment.names().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !taken.contains(name)).collect()
}

/// The CI job that the variables tell of.
pub(super) fn ci(environment: &Environment) -> Option<Value> {
    ci_job(|name| environment.get(name).and_then(|value| value.to_str()).map(str::to_owned))
}

/// What the job's token says: the one in the file, otherwise the one in the variable.
pub(super) fn oidc(environment: &Environment, file: Option<&Path>) -> anyhow::Result<Option<Value>> {
    if let Some(path) = file {
        let wrong = || format!("cannot use the job token in `{}`", path.display());
        // a line break after it is not part of it
        let text = read_limited(path, OIDC_TOKEN_MAX + 2)?;
        let text =
            String::from_utf8(text).map_err(|_| anyhow::anyhow!("it is not text")).with_context(wrong)?;
        return job_token(&text).map(Some).with_context(wrong);
    }
    let Some(value) = environment.get(DEEDS_OIDC_TOKEN) else { return Ok(None) };
    let wrong = || format!("cannot use the job token in `{DEEDS_OIDC_TOKEN}`");
    let text = value.to_str().context("it is not text").with_context(wrong)?;
    job_token(text).map(Some).with_context(wrong)
}

#[cfg(test)]
mod tests {
    use evidence::base64url;

    use super::*;

    fn token(sub: &str) -> String {
        let part = |text: &str| base64url::encode(text.as_bytes());
        format!("{}.{}.{}", part("{}"), part(&format!(r#"{{"iss":"i","sub":"{sub}"}}"#)), part("s"))
    }

    #[test]
    fn the_file_goes_before_the_variable_and_both_are_read_strictly() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, token("file") + "\n").unwrap();
        let with = |value: &str| Environment::of(&[(DEEDS_OIDC_TOKEN, value)]);
        let sub = |told: Option<Value>| told.unwrap()["claims"]["sub"].as_str().unwrap().to_owned();
        assert_eq!(sub(oidc(&with(&token("variable")), Some(&path)).unwrap()), "file");
        assert_eq!(sub(oidc(&with(&token("variable")), None).unwrap()), "variable");
        assert!(oidc(&with(""), None).unwrap().is_none());
        let error = format!("{:#}", oidc(&with("secret"), None).unwrap_err());
        assert!(error.contains("DEEDS_OIDC_TOKEN") && !error.contains("secret"), "{error}");
        std::fs::write(&path, "a".repeat(OIDC_TOKEN_MAX + 3)).unwrap();
        assert!(oidc(&with(""), Some(&path)).is_err());
    }

    #[test]
    fn names_are_told_without_what_is_taken_away() {
        let environment = Environment::of(&[("PATH", "/bin"), ("DEEDS_RUN", "x"), ("A", "")]);
        assert_eq!(names(&environment, &["DEEDS_RUN".into()]), ["A", "PATH"]);
    }
}
