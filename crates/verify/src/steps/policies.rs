//! Step 12, second part: a policy's digest is that of the files shown.

use evidence::digest::Digest;
use evidence::json;
use evidence::kind::Kind;
use serde_json::{Value, json};

use crate::finding::{Code, Findings};
use crate::items::Items;

/// Step 12.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    for (seen, _) in items.of_kind(Kind::PolicyActivated) {
        let (Some(files), Some(recorded)) = (seen.value("files"), seen.value("policy_digest")) else {
            continue;
        };
        if policy_digest(&files).is_none_or(|digest| recorded != digest) {
            let text =
                "the policy files shown are not those of the policy digest: a file was altered or left out";
            findings.at(seen.index, Code::PolicyDigest, text);
        }
    }
}

/// The digest string of a policy; nothing where a file's own digest is not that of its text, or files are not in
/// ascending order of their paths.
fn policy_digest(files: &Value) -> Option<String> {
    let one = |file: &Value| {
        let (path, sha256) = (file.get("path")?.as_str()?, file.get("sha256")?.as_str()?);
        let text = file.get("text")?.as_str()?;
        (Digest::of(text.as_bytes()).hex() == sha256).then(|| json!({"path": path, "sha256": sha256}))
    };
    let list: Option<Vec<Value>> = files.as_array()?.iter().map(one).collect();
    let list = list?;
    // one order and no path twice: otherwise one policy would have several digests, or one digest several policies
    let paths = list.iter().map(|file| file.get("path").and_then(Value::as_str));
    paths.is_sorted_by(|one, next| one < next).then(|| Digest::of(&json::jcs(&list.into())).to_string())
}
