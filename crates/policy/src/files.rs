//! The files of a policy set: which there may be, how they are read, and their digest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::classes::CLASSES_FILE;
use crate::error::{Finding, PolicyError, WHOLE_SET, shorten};
use crate::limits::{POLICY_FILE_BYTES_MAX, POLICY_FILE_NAME_MAX, POLICY_FILES_MAX, POLICY_TOTAL_BYTES_MAX};

/// Name of the schema within a policy set.
pub const SCHEMA_FILE: &str = "schema.cedarschema";

/// The schema that applies when a policy directory has none. One that replaces it must declare at
/// least the same.
pub const BUILT_IN_SCHEMA: &str = include_str!("schema.cedarschema");

/// One file of a policy set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyFile {
    /// Name within the directory: letters, digits, `.`, `_`, `-`, not beginning with a `.`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Reads a policy directory: the files that [`PolicySet::from_files`](crate::PolicySet::from_files) takes, in no
/// certain order. Symbolic links are followed, hidden files and `*.md` passed over.
///
/// # Errors
/// [`PolicyError::Read`], or [`PolicyError::Refused`] where something in it does not belong there.
pub fn read_directory(dir: &Path) -> Result<Vec<PolicyFile>, PolicyError> {
    let mut files = Vec::new();
    let mut findings = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| read_error(dir, source))? {
        let entry = entry.map_err(|source| read_error(dir, source))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            findings.push(Finding::of_file(WHOLE_SET, "a file name is not UTF-8; rename the file"));
            continue;
        };
        if name.starts_with('.') || has_extension(name, "md") {
            continue;
        }
        // Checked before the file is opened, for opening a pipe would wait for ever.
        if let Err(finding) = check_name(name) {
            findings.push(finding);
        } else if files.len() == POLICY_FILES_MAX {
            findings.push(too_many());
            break;
        } else {
            match read_file(&entry.path()).map_err(|source| read_error(&entry.path(), source))? {
                Ok(text) => files.push(PolicyFile { path: name.to_owned(), text }),
                Err(message) => findings.push(Finding::of_file(name, message)),
            }
        }
    }
    if findings.is_empty() {
        return Ok(files);
    }
    findings.sort();
    Err(PolicyError::Refused(findings))
}

fn read_error(path: &Path, source: io::Error) -> PolicyError {
    PolicyError::Read { path: path.display().to_string(), source }
}

/// The inner error is what a person must mend in the file itself.
fn read_file(path: &Path) -> io::Result<Result<String, String>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(Err("this is not a regular file; move it out of the policy directory".to_owned()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a longer file is noticed and never read whole.
    let limit = u64::try_from(POLICY_FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > POLICY_FILE_BYTES_MAX {
        return Ok(Err(too_long()));
    }
    Ok(String::from_utf8(bytes).map_err(|_| "this is not UTF-8 text".to_owned()))
}

/// Sorts the files, adds the built-in schema where there is none, and checks names, number, sizes.
pub(crate) fn complete(mut files: Vec<PolicyFile>) -> Result<Vec<PolicyFile>, Vec<Finding>> {
    if !files.iter().any(|file| file.path == SCHEMA_FILE) {
        files.push(PolicyFile { path: SCHEMA_FILE.to_owned(), text: BUILT_IN_SCHEMA.to_owned() });
    }
    files.sort();
    if files.len() > POLICY_FILES_MAX {
        return Err(vec![too_many()]);
    }
    let mut findings: Vec<Finding> = files.iter().filter_map(|file| check_name(&file.path).err()).collect();
    for pair in files.windows(2) {
        if let [first, second] = pair
            && first.path == second.path
        {
            findings.push(Finding::of_file(
                &shorten(&first.path, 100),
                "a file of this name is there twice; keep one",
            ));
        }
    }
    for file in files.iter().filter(|file| file.text.len() > POLICY_FILE_BYTES_MAX) {
        findings.push(Finding::of_file(&file.path, too_long()));
    }
    let total: usize = files.iter().map(|file| file.text.len()).sum();
    if total > POLICY_TOTAL_BYTES_MAX {
        let message =
            format!("the files have {total} bytes together, more than {POLICY_TOTAL_BYTES_MAX}; shorten it");
        findings.push(Finding::of_file(WHOLE_SET, message));
    }
    if !files.iter().any(|file| is_policy_file(&file.path)) {
        let message =
            "there is no `*.cedar` file, so nothing would ever be permitted; is it the right directory?";
        findings.push(Finding::of_file(WHOLE_SET, message));
    }
    if findings.is_empty() { Ok(files) } else { Err(findings) }
}

pub(crate) fn is_policy_file(name: &str) -> bool {
    has_extension(name, "cedar")
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, ext)| !stem.is_empty() && ext == extension)
}

/// The name ends up in a digest, in messages and in evidence files, so it is kept plain.
fn check_name(name: &str) -> Result<(), Finding> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let shown = shorten(name, POLICY_FILE_NAME_MAX);
    if name.is_empty()
        || name.len() > POLICY_FILE_NAME_MAX
        || name.starts_with('.')
        || !name.bytes().all(plain)
    {
        let message = format!(
            "this is not a usable name; up to {POLICY_FILE_NAME_MAX} of letters, digits, `.`, `_` and `-`"
        );
        return Err(Finding::of_file(&shown, message));
    }
    if is_policy_file(name) || name == CLASSES_FILE || name == SCHEMA_FILE {
        return Ok(());
    }
    let message = format!(
        "this does not belong in a policy directory, which holds `*.cedar`, `{CLASSES_FILE}` and `{SCHEMA_FILE}`, all at its top"
    );
    Err(Finding::of_file(&shown, message))
}

fn too_many() -> Finding {
    Finding::of_file(
        WHOLE_SET,
        format!("there are more than {POLICY_FILES_MAX} files; put policies together"),
    )
}

fn too_long() -> String {
    format!("the file has more than {POLICY_FILE_BYTES_MAX} bytes; split it")
}

/// `sha256:` and the SHA-256 of the JCS list of names and digests. The names are plain ASCII, the
/// digests hexadecimal and the members in order, so compact JSON is canonical JSON here.
pub(crate) fn digest(files: &[PolicyFile]) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Item<'a> {
        path: &'a str,
        sha256: String,
    }
    let items: Vec<Item<'_>> =
        files.iter().map(|f| Item { path: &f.path, sha256: sha256_hex(f.text.as_bytes()) }).collect();
    Ok(format!("sha256:{}", sha256_hex(&serde_json::to_vec(&items)?)))
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
#[path = "files/tests.rs"]
mod tests;
