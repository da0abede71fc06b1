//! Reading the answers of `deeds trace`.

use serde_json::Value;

fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn of_role<'a>(answer: &'a Value, name: &str, role: &str) -> impl Iterator<Item = &'a Value> {
    list(answer, name).filter(move |row| row.get("role").and_then(Value::as_str) == Some(role))
}

/// Of an artifact: positions of the acts that had it in this role, oldest first.
pub(super) fn acts(answer: &Value, role: &str) -> Vec<u64> {
    let mut acts: Vec<u64> =
        of_role(answer, "acts", role).filter_map(|row| row.pointer("/act/index")?.as_u64()).collect();
    acts.sort_unstable();
    acts
}

/// Of an artifact: the digest of the newest version that an act made.
pub(super) fn output_digest(answer: &Value) -> Option<String> {
    let row = of_role(answer, "acts", "output").next()?;
    Some(row.pointer("/artifacts/0/value/digest")?.as_str()?.to_owned())
}

/// Of an act: how many files it made other bytes of, the bytes before being known. A directory has no size.
pub(super) fn modified(answer: &Value) -> usize {
    let known = |row: &&Value| {
        row.pointer("/artifact/value/change").and_then(Value::as_str) == Some("modified")
            && row.pointer("/artifact/value/before").is_some()
            && row.pointer("/artifact/value/size").is_some()
    };
    of_role(answer, "artifacts", "output").filter(known).count()
}

/// Of an act: the artifact of this role whose name ends so.
pub(super) fn artifact<'a>(answer: &'a Value, role: &str, ending: &str) -> Option<&'a Value> {
    let named = |row: &&Value| {
        row.pointer("/artifact/value/uri").and_then(Value::as_str).is_some_and(|uri| uri.ends_with(ending))
    };
    of_role(answer, "artifacts", role).find(named)
}

/// The digest of an artifact of an act.
pub(super) fn digest(row: &Value) -> Option<&str> {
    row.pointer("/artifact/value/digest")?.as_str()
}

/// Whether a row says that something was withdrawn, or replaced.
pub(super) fn says(row: &Value, what: &str) -> bool {
    row.get(what).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}
