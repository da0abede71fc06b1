//! Names of files as URIs, as [`evidence::artifact::file_uri`] writes them, and what lies under what.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use evidence::artifact;

/// The URI of an absolute path.
pub fn file_uri(path: &Path) -> String {
    artifact::file_uri(path.as_os_str().as_bytes())
}

/// The URI of an entry of a directory.
pub(crate) fn child_uri(directory: &str, name: &[u8]) -> String {
    let mut uri = String::with_capacity(directory.len() + name.len() + 1);
    uri.push_str(directory);
    if !directory.ends_with('/') {
        uri.push('/');
    }
    artifact::push_path(&mut uri, name);
    uri
}

/// The part of a URI below a root: nothing for the root itself and for what is not under it.
pub(crate) fn below<'a>(uri: &'a str, root: &str) -> Option<&'a str> {
    let rest = uri.strip_prefix(root)?;
    let rest = if root.ends_with('/') { rest } else { rest.strip_prefix('/')? };
    Some(rest).filter(|rest| !rest.is_empty())
}

/// Whether a URI is a root or under it.
pub(crate) fn is_under(uri: &str, root: &str) -> bool {
    uri == root || below(uri, root).is_some()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_and_a_child_of_a_directory_have_one_uri() {
        assert_eq!(file_uri(Path::new(OsStr::from_bytes(b"/a b/\xff"))), "file:///a%20b/%FF");
        assert_eq!(child_uri("file:///", b"etc"), "file:///etc");
        assert_eq!(child_uri("file:///etc", b"a b"), "file:///etc/a%20b");
    }

    #[test]
    fn what_is_under_a_root_is_told_by_whole_names() {
        assert!(is_under("file:///a", "file:///a") && is_under("file:///a/b", "file:///a"));
        assert!(is_under("file:///a", "file:///") && !is_under("file:///ab", "file:///a"));
        assert_eq!(below("file:///a/b/c", "file:///a"), Some("b/c"));
        assert_eq!((below("file:///a", "file:///a"), below("file:///", "file:///")), (None, None));
    }
}
