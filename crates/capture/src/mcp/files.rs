//! `deeds wrap --files`: the files that the arguments of a tool call name, as this host saw them before the call and
//! after its answer. The server may see another file system, or another file; and what one call is said to have
//! changed another process may have, in between.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::act::Act;
use super::finish::both;
use super::methods;
use crate::api::{Artifact, Artifacts, Finish};
use crate::files::changes::{file, of_one};
use crate::files::file_uri;
use crate::files::read::Seen;
use crate::files::walk::look_at;
use crate::limits::{ARTIFACT_URI_MAX, ARTIFACTS_MAX, CALL_FILE_BYTES_MAX, CALL_FILES_MAX};

/// The files of one call, as they were before it.
#[derive(Debug)]
pub(crate) struct Before {
    files: Vec<(String, PathBuf, Option<Seen>)>,
    /// How many more the call names.
    left_out: usize,
}

/// Looks at the files that a call names. Relative paths start at `root`; without one they are passed over.
pub(crate) async fn before(act: &Act, root: Option<&str>) -> Option<Arc<Before>> {
    if act.operation != methods::TOOLS_CALL {
        return None;
    }
    let args = evidence::json::parse(act.args.as_deref()?.as_bytes()).ok()?;
    let mut paths = Vec::new();
    collect(&args, Names::Nothing, root, &mut paths);
    let left_out = paths.len().saturating_sub(CALL_FILES_MAX);
    paths.truncate(CALL_FILES_MAX);
    let files = look(paths).await;
    (!files.is_empty()).then(|| Arc::new(Before { files, left_out }))
}

impl Before {
    /// Those that were there.
    pub(crate) fn inputs(&self) -> Artifacts {
        let there = self.files.iter().filter_map(|(uri, _, seen)| Some(file(uri, (*seen)?)));
        Artifacts::List(there.collect())
    }

    /// The outcome of the call, with what became of its files.
    pub(crate) async fn after(&self, mut finish: Finish) -> Finish {
        let now = look(self.files.iter().map(|(_, path, _)| path.clone()).collect()).await;
        let changes =
            self.files.iter().zip(now).filter_map(|((uri, _, was), (_, _, is))| of_one(uri, *was, is));
        let said = match finish.outputs {
            Artifacts::List(list) => list,
            many @ Artifacts::Many { .. } => return Finish { outputs: many, ..finish },
        };
        // what we saw goes before what the server said
        let mut outputs: Vec<Artifact> = changes.chain(said).collect();
        let beyond = outputs.len().saturating_sub(ARTIFACTS_MAX);
        outputs.truncate(ARTIFACTS_MAX);
        let left_out = (self.left_out > 0)
            .then(|| format!("{} more files that it names were not looked at", self.left_out));
        let beyond = (beyond > 0).then(|| format!("{beyond} more artifacts of its result are not recorded"));
        finish.detail = both(finish.detail, both(left_out, beyond));
        finish.outputs = Artifacts::List(outputs);
        finish
    }
}

/// The outcome of a call with what became of the files that were looked at before it, if any were.
pub(crate) async fn after(before: Option<&Arc<Before>>, finish: Finish) -> Finish {
    match before {
        Some(before) => before.after(finish).await,
        None => finish,
    }
}

async fn look(paths: Vec<PathBuf>) -> Vec<(String, PathBuf, Option<Seen>)> {
    let looked = tokio::task::spawn_blocking(move || {
        let look = |path: PathBuf| (file_uri(&path), look_at(&path, CALL_FILE_BYTES_MAX), path);
        paths.into_iter().map(look).map(|(uri, seen, path)| (uri, path, seen)).collect()
    });
    looked.await.unwrap_or_default()
}

/// What the name of an argument says about the strings in it. The names are those that policies see as paths
/// (`docs/policy.md`, `path.norm`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Nothing,
    File,
    /// The elements of an array are files.
    Files,
}

impl Names {
    fn of(name: &str) -> Self {
        match name {
            "paths" => Self::Files,
            "path" | "file" | "filename" | "dir" | "directory" | "source" | "destination" => Self::File,
            name if name.ends_with("_path") => Self::File,
            _ => Self::Nothing,
        }
    }
}

/// Every path in the arguments, once, in their order. The text was read strictly, so it is nested only so deep.
fn collect(value: &Value, names: Names, root: Option<&str>, paths: &mut Vec<PathBuf>) {
    match value {
        Value::String(text) if names == Names::File => {
            paths.extend(resolve(text, root).filter(|path| !paths.contains(path)));
        }
        Value::Array(items) => {
            let of_items = if names == Names::Nothing { Names::Nothing } else { Names::File };
            for item in items {
                collect(item, of_items, root, paths);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, Names::of(name), root, paths);
            }
        }
        _ => {}
    }
}

/// The absolute path, without `.` and `..`; nothing for text without one certain meaning as a path.
fn resolve(text: &str, root: Option<&str>) -> Option<PathBuf> {
    if text.is_empty() || text.contains('\0') || text.starts_with('~') || text.starts_with("file:") {
        return None;
    }
    let whole = if text.starts_with('/') { PathBuf::from(text) } else { Path::new(root?).join(text) };
    let mut path = PathBuf::from("/");
    for part in whole.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    (file_uri(&path).len() <= ARTIFACT_URI_MAX).then_some(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(args: &Value) -> Vec<String> {
        let mut paths = Vec::new();
        collect(args, Names::Nothing, Some("/root"), &mut paths);
        paths.into_iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn arguments_that_policies_see_as_paths_name_files() {
        let args = json!({
            "path": "a", "file": "/b", "filename": "c", "dir": "d", "directory": "e", "source": "f",
            "destination": "g", "old_path": "h", "paths": ["i", ["j"], {"path": "k", "text": "no"}],
            "content": "no", "edits": [{"file": "l"}], "pathology": "no", "dir_paths": "no",
        });
        let expected = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let expected =
            expected.map(|name| if name == "b" { "/b".to_owned() } else { format!("/root/{name}") });
        assert_eq!(named(&args), expected);
        // one text under `paths` is no list of them
        assert_eq!(named(&json!({"paths": "a", "x": ["b"]})), [] as [String; 0]);
        assert_eq!(named(&json!({"path": "a/../b/./c", "file": "b//c"})), ["/root/b/c"]);
    }

    #[test]
    fn text_without_one_meaning_names_none() {
        for text in ["", "~/x", "file:///x", "a\0b"] {
            assert_eq!(resolve(text, Some("/root")), None, "{text:?}");
        }
        assert_eq!(resolve("a", None), None);
        assert_eq!(resolve("/../../a", None), Some("/a".into()));
        let long = |length: usize| resolve(&format!("/{}", "x".repeat(length - "file:///".len())), None);
        assert!(long(ARTIFACT_URI_MAX).is_some() && long(ARTIFACT_URI_MAX + 1).is_none());
    }
}
