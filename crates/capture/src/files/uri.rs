//! Names of files as URIs (RFC 8089): `file://` and the absolute path, of whose bytes all that RFC 3986 does not allow
//! in a path are percent-encoded in upper-case hex, and no others. So a path has one URI, whatever bytes are in it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The URI of an absolute path.
pub fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    push(&mut uri, path.as_os_str().as_bytes());
    uri
}

/// The URI of an entry of a directory.
pub(crate) fn child_uri(directory: &str, name: &[u8]) -> String {
    let mut uri = String::with_capacity(directory.len() + name.len() + 1);
    uri.push_str(directory);
    if !directory.ends_with('/') {
        uri.push('/');
    }
    push(&mut uri, name);
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

fn push(uri: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                uri.extend(HEX.get(usize::from(digit)).map(|&digit| char::from(digit)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_any_bytes_have_one_uri() {
        assert_eq!(file_uri(Path::new("/srv/a-b_c.~1/x")), "file:///srv/a-b_c.~1/x");
        assert_eq!(file_uri(Path::new("/!$&'()*+,;=:@")), "file:///!$&'()*+,;=:@");
        assert_eq!(file_uri(Path::new("/a b/ü%#?\n")), "file:///a%20b/%C3%BC%25%23%3F%0A");
        assert_eq!(file_uri(Path::new(OsStr::from_bytes(b"/\xff"))), "file:///%FF");
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

    proptest! {
        #[test]
        fn two_paths_never_share_a_uri(one: Vec<u8>, other: Vec<u8>) {
            let uri = |bytes: &[u8]| file_uri(Path::new(OsStr::from_bytes(bytes)));
            prop_assert_eq!(one == other, uri(&one) == uri(&other));
        }
    }
}
