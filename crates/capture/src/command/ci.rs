//! The CI job that a command runs in, as the variables of its runner tell it. Any process could have set them: they
//! are asserted, and decide nothing.

use serde_json::{Map, Value, json};

use crate::limits::ASSERTED_VALUE_MAX;

/// A system, the variable that gives it away, and under which name each of its variables is recorded.
type System = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SYSTEMS: [System; 2] = [
    (
        "github-actions",
        "GITHUB_ACTIONS",
        &[
            ("server", "GITHUB_SERVER_URL"),
            ("repository", "GITHUB_REPOSITORY"),
            ("repository_id", "GITHUB_REPOSITORY_ID"),
            ("workflow", "GITHUB_WORKFLOW"),
            ("workflow_ref", "GITHUB_WORKFLOW_REF"),
            ("workflow_sha", "GITHUB_WORKFLOW_SHA"),
            ("run_id", "GITHUB_RUN_ID"),
            ("run_number", "GITHUB_RUN_NUMBER"),
            ("run_attempt", "GITHUB_RUN_ATTEMPT"),
            ("job", "GITHUB_JOB"),
            ("action", "GITHUB_ACTION"),
            ("event_name", "GITHUB_EVENT_NAME"),
            ("ref", "GITHUB_REF"),
            ("sha", "GITHUB_SHA"),
            ("actor", "GITHUB_ACTOR"),
            ("actor_id", "GITHUB_ACTOR_ID"),
            ("triggering_actor", "GITHUB_TRIGGERING_ACTOR"),
            ("runner", "RUNNER_NAME"),
            ("runner_environment", "RUNNER_ENVIRONMENT"),
        ],
    ),
    (
        "gitlab-ci",
        "GITLAB_CI",
        &[
            ("server", "CI_SERVER_URL"),
            ("repository", "CI_PROJECT_PATH"),
            ("repository_id", "CI_PROJECT_ID"),
            ("workflow_ref", "CI_CONFIG_PATH"),
            ("run_id", "CI_PIPELINE_ID"),
            ("event_name", "CI_PIPELINE_SOURCE"),
            ("job", "CI_JOB_NAME"),
            ("job_id", "CI_JOB_ID"),
            ("ref", "CI_COMMIT_REF_NAME"),
            ("sha", "CI_COMMIT_SHA"),
            ("actor", "GITLAB_USER_LOGIN"),
            ("actor_id", "GITLAB_USER_ID"),
            ("environment", "CI_ENVIRONMENT_NAME"),
            ("runner", "CI_RUNNER_ID"),
        ],
    ),
];

/// What the variables tell of the job; nothing outside of a known system. A value that is too long is left out, and
/// its name is among those `left_out`.
pub fn ci_job(variable: impl Fn(&str) -> Option<String>) -> Option<Value> {
    let (system, _, variables) =
        SYSTEMS.iter().find(|(_, sign, _)| variable(sign).as_deref() == Some("true"))?;
    let mut job = Map::from_iter([("system".to_owned(), json!(system))]);
    let mut left_out = Vec::new();
    for (name, source) in *variables {
        match variable(source).filter(|value| !value.is_empty()) {
            Some(value) if value.len() > ASSERTED_VALUE_MAX => left_out.push(*name),
            Some(value) => drop(job.insert((*name).to_owned(), value.into())),
            None => {}
        }
    }
    if !left_out.is_empty() {
        job.insert("left_out".into(), json!(left_out));
    }
    Some(Value::Object(job))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Option<Value> {
        ci_job(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_job_of_either_system_is_told_in_the_same_words() {
        let github = job(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "acme/payments"),
            ("GITHUB_RUN_ID", "8812"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_SHA", "a1b2"),
            ("GITHUB_TOKEN", "secret"),
        ]);
        let expected = json!({"system": "github-actions", "repository": "acme/payments", "run_id": "8812",
            "run_attempt": "1", "sha": "a1b2"});
        assert_eq!(github, Some(expected));
        let gitlab = job(&[
            ("GITLAB_CI", "true"),
            ("CI_PROJECT_PATH", "acme/payments"),
            ("CI_PIPELINE_ID", "7"),
            ("CI_JOB_TOKEN", "secret"),
        ]);
        assert_eq!(
            gitlab,
            Some(json!({"system": "gitlab-ci", "repository": "acme/payments", "run_id": "7"}))
        );
    }

    #[test]
    fn elsewhere_there_is_no_job() {
        assert_eq!(job(&[("GITHUB_REPOSITORY", "acme/payments"), ("CI", "true")]), None);
        assert_eq!(job(&[("GITHUB_ACTIONS", "false")]), None);
    }

    #[test]
    fn values_are_limited_at_the_boundary() {
        let (fits, long) = ("x".repeat(ASSERTED_VALUE_MAX), "x".repeat(ASSERTED_VALUE_MAX + 1));
        let told = job(&[("GITHUB_ACTIONS", "true"), ("GITHUB_REF", &fits), ("GITHUB_WORKFLOW", &long)]);
        let expected = json!({"system": "github-actions", "ref": fits, "left_out": ["workflow"]});
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn no_variable_that_holds_a_secret_is_read() {
        for (_, _, variables) in SYSTEMS {
            let secret =
                |name: &str| ["TOKEN", "PASSWORD", "SECRET", "KEY"].iter().any(|word| name.contains(word));
            assert!(variables.iter().all(|(_, source)| !secret(source)));
        }
    }
}
