//! The files of a package, read with limits: their owner may be whom we guard against.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use evidence::Digest;
use rustix::fs::OFlags;
use serde_json::json;

use crate::limits::{PACKAGE_BYTES_MAX, PACKAGE_DEPTH_MAX, PACKAGE_FILES_MAX, PACKAGE_MANIFEST_MAX};

/// Endings of files that Node.js can load as code. Others in the same place may be what a server writes there.
const NODE_CODE: [&str; 10] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "node", "wasm"];

/// Files, each with its path as it is recorded.
pub(super) type Files = Vec<(String, PathBuf)>;

/// The digest of a package: of the JCS of [{path, sha256}], ascending by path. Nothing without a file, or when they
/// are more than is read.
pub(super) fn digest(files: &Files) -> Option<String> {
    let mut left = PACKAGE_BYTES_MAX;
    let mut listed = Vec::with_capacity(files.len());
    for (path, file) in files {
        let bytes = bytes(file, left)?;
        left -= bytes.len() as u64;
        listed.push((path.as_str(), Digest::of(&bytes).hex()));
    }
    listed.sort_unstable();
    if listed.is_empty() || listed.len() > PACKAGE_FILES_MAX {
        return None;
    }
    let listed: Vec<_> =
        listed.iter().map(|(path, sha256)| json!({"path": path, "sha256": sha256})).collect();
    Some(Digest::of(&evidence::json::jcs(&listed.into())).to_string())
}

/// The code of a Node.js package: what is below its directory, without the packages that it depends on.
pub(super) fn code_in(package: &Path) -> Option<Files> {
    let mut found = vec![("package.json".to_owned(), package.join("package.json"))];
    let mut directories = vec![(package.to_path_buf(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = directories.pop() {
        for entry in fs::read_dir(&dir).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let kind = entry.file_type().ok()?;
            let path = format!("{prefix}{name}");
            if kind.is_dir() && name != "node_modules" && name != ".git" {
                if depth >= PACKAGE_DEPTH_MAX {
                    return None;
                }
                directories.push((entry.path(), format!("{path}/"), depth + 1));
            } else if !kind.is_dir() && is_code(&name) {
                found.push((path, entry.path()));
            }
            if found.len() + directories.len() > PACKAGE_FILES_MAX {
                return None;
            }
        }
    }
    Some(found)
}

fn is_code(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| NODE_CODE.iter().any(|code| ending == *code))
}

/// The text of a file that describes a package.
pub(super) fn text(path: &Path) -> Option<String> {
    String::from_utf8(bytes(path, PACKAGE_MANIFEST_MAX)?).ok()
}

/// The bytes of a regular file of at most `max` bytes.
pub(super) fn bytes(path: &Path, max: u64) -> Option<Vec<u8>> {
    // without waiting: what opens may be a pipe that nobody writes to
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).ok()?;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= max).then_some(bytes)
}
