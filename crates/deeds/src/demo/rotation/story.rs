//! What story 2 says: who is who, the pipeline's steps, and the lines that later mechanisms will play.

use serde_json::{Value, json};

use crate::demo::player::agent::Call;
use crate::demo::{NotYet, Script};

/// What is there before anything happens.
pub(super) const SCRIPT: Script = Script {
    opening: "\
Ravi merges a change, and the workflow deploy.yml of acme/payments runs: it rotates the token of the payments \
database, writes the new token's fingerprint into the configuration, and applies it. No secret is stored for it; \
it has a key of its own, made for this run, and the job's identity token. The same workflow with a changed \
action then asks for more. Everything below is real: separate processes, signed objects, a synced log, files on \
disk; only the vault and the cluster are samples.",
    files: &[
        ("policy/rotation.cedar", include_str!("files/rotation.cedar")),
        ("policy/classes.toml", include_str!("files/classes.toml")),
        ("vault.json", include_str!("files/vault.json")),
        ("rotate.sh", include_str!("files/rotate.sh")),
        ("config/token.ref", include_str!("files/token.ref")),
        ("config/deploy.yaml", include_str!("files/deploy.yaml")),
    ],
};

/// The person who merged.
pub(super) const PERSON: &str = "ravi";
/// The workflow.
pub(super) const WORKFLOW: &str = "deploy.yml";
/// Who is registered, and as what.
pub(super) const REGISTERED: [(&str, &str); 2] = [(PERSON, "human"), ("lena", "human")];
/// Who they are.
pub(super) const WHO: &str = "\
Two keys are registered: Ravi's, who merges, and that of Lena, who will approve what goes to production.";
/// The tool URI of the script.
pub(super) const ROTATE: &str = "run:rotate#command/run";
/// The file with the job's identity token.
pub(super) const TOKEN: &str = "job.jwt";

pub(super) const GIVEN_SAYS: &str = "\
Ravi's merge gives the workflow run a delegation to a key made for it: rotate tokens whose name begins with \
payments-, run the rotation script, apply the manifest; half an hour, and nothing to hand on.";
/// The tools of the delegation, as they are typed.
pub(super) const GIVEN: [&str; 10] = [
    "--tool",
    "stdio:vault#rotate_token",
    "--arg",
    "name=prefix:payments-",
    "--tool",
    ROTATE,
    "--tool",
    "stdio:k8s#apply",
    "--arg",
    "path=config/deploy.yaml",
];

pub(super) const WORK_SAYS: &str = "\
The vault makes a new token and tells its fingerprint, never the token. The script writes the fingerprint down: \
`deeds run` takes the digests of the configuration before and after, and records what the job's token says of \
itself (asserted: nobody has checked its signature yet). Then the manifest is applied.";
pub(super) const REFUSED_SAYS: &str = "\
A changed action in the same workflow asks the vault for payments-root. What it holds does not include reading \
secrets, whatever it calls itself.";
pub(super) const TRACE_SAYS: &str = "\
Nobody remembers in March who touched a file in October. The file's path is enough, or the digest of what is in \
it: one hop back is the act, and behind the act stand the run, the workflow, the commit as the job told it, and \
Ravi.";

/// Why the file has a note about counters.
pub(super) const COUNTED: &str = "\
One of them is about counters: every call is signed with the job's key and numbered, and the job used that key in \
three runs (vault, script, k8s). The file is about the run of the script alone and cannot show who has the numbers \
before it; the log can, and `deeds gaps` missed none. With a key for each process there is no such note.";

/// After the refusal.
pub(super) const NOT_YET: [NotYet; 6] = [
    NotYet { line: "Lena, the environment's approver, approves the deployment", comes_with: "approvals" },
    NotYet {
        line: "the job's identity (workflow, commit) is verified against its issuer",
        comes_with: "credentials",
    },
    NotYet {
        line: "another job_workflow_sha than the one that was delegated to is refused for that",
        comes_with: "credentials",
    },
    NotYet {
        line: "a rotation with the old shared admin token, seen in the vault's own log, is observed only",
        comes_with: "reconciliation",
    },
    NotYet { line: "which uses of this credential we have no authority for", comes_with: "reconciliation" },
    NotYet { line: "everything that depends on a leaked key, in one question", comes_with: "blast radius" },
];

fn call(part: &str, server: &str, tool: &str, args: Value) -> Call {
    let [part, server, tool] = [part, server, tool].map(str::to_owned);
    Call { part, server, tool, args, run_as: None }
}

/// Before the script.
pub(super) fn rotate() -> Call {
    call("token", "vault", "rotate_token", json!({"name": "payments-db"}))
}

/// After the script.
pub(super) fn apply() -> Call {
    call("apply", "k8s", "apply", json!({"path": "config/deploy.yaml"}))
}

/// What the changed action asks for.
pub(super) fn ask_for_root() -> Call {
    call("root", "vault", "read_secret", json!({"name": "payments-root"}))
}

/// What the job's token says.
pub(super) fn claims(now_s: u64) -> Value {
    json!({
        "iss": "https://token.actions.acme.example", "aud": "https://deeds.acme.example",
        "sub": "repo:acme/payments:environment:prod", "jti": "8812-1", "iat": now_s, "exp": now_s + 600,
        "repository": "acme/payments", "ref": "refs/heads/main", "sha": "3f1c0de5a1b2c3d4e5f60718293a4b5c6d7e8f90",
        "workflow": "deploy", "job_workflow_ref": "acme/payments/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_sha": "3f1c0de5a1b2c3d4e5f60718293a4b5c6d7e8f90", "run_id": "8812", "run_attempt": "1",
        "actor": "ravi", "environment": "prod", "event_name": "push"
    })
}
