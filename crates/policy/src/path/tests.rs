//! Path resolution: each rule once, then its algebra.

use proptest::prelude::*;

use super::{PathError, normalise_path};
use crate::limits::PATH_MAX;

#[test]
fn absolute_paths_are_resolved_as_the_kernel_would_without_links() {
    for (path, norm) in [
        ("/", "/"),
        ("/srv/a", "/srv/a"),
        ("/srv//a/./b/", "/srv/a/b"),
        ("/srv/open/../secret/x", "/srv/secret/x"),
        ("/srv/open/../../srv/secret/x", "/srv/secret/x"),
        ("/../../etc", "/etc"),
        ("/..", "/"),
        ("/srv/...", "/srv/..."),
        ("/srv/a..b", "/srv/a..b"),
        ("/srv/a\\..\\b", "/srv/a\\..\\b"),
        ("/srv/ü \u{1F600}", "/srv/ü \u{1F600}"),
        ("/~/x", "/~/x"),
        ("/file:/x", "/file:/x"),
    ] {
        assert_eq!(normalise_path(path, None).as_deref(), Ok(norm), "{path}");
        assert_eq!(normalise_path(path, Some("/root")).as_deref(), Ok(norm), "{path}");
    }
}

#[test]
fn relative_paths_stay_under_the_declared_root() {
    let root = Some("/srv/./work//x/..");
    for (path, norm) in [
        ("a", "/srv/work/a"),
        ("./a/../b", "/srv/work/b"),
        (".", "/srv/work"),
        ("a/..", "/srv/work"),
        ("a\\..\\b", "/srv/work/a\\..\\b"),
        ("...", "/srv/work/..."),
    ] {
        assert_eq!(normalise_path(path, root).as_deref(), Ok(norm), "{path}");
    }
    for path in ["..", "../work/a", "a/../../work/a", "./../x", "a/b/../../.."] {
        assert_eq!(normalise_path(path, root), Err(PathError::Escapes), "{path}");
    }
    assert_eq!(normalise_path("a", Some("/")).as_deref(), Ok("/a"));
    assert_eq!(normalise_path("..", Some("/")), Err(PathError::Escapes));
}

#[test]
fn what_readers_disagree_on_is_refused() {
    for (path, error) in [
        ("", PathError::Empty),
        ("/a\0b", PathError::Nul),
        ("a\0", PathError::Nul),
        (" /srv", PathError::Blank),
        ("/srv\n", PathError::Blank),
        ("/srv/a /..\u{a0}", PathError::Blank),
        ("/srv/a /x/..", PathError::Blank),
        ("\"/srv\"", PathError::Quoted),
        ("'/srv'", PathError::Quoted),
        ("//srv", PathError::DoubleSlash),
        ("///srv", PathError::DoubleSlash),
        ("~", PathError::Home),
        ("~/.ssh/id", PathError::Home),
        ("~root/x", PathError::Home),
        ("file:///srv/x", PathError::FileUri),
        ("FILE:/srv/x", PathError::FileUri),
    ] {
        assert_eq!(normalise_path(path, Some("/root")), Err(error), "{path:?}");
    }
}

#[test]
fn a_relative_path_needs_an_absolute_root() {
    assert_eq!(normalise_path("a", None), Err(PathError::NoRoot));
    for root in ["", "srv", "./srv", "//srv", "/srv\0", " /srv"] {
        assert_eq!(normalise_path("a", Some(root)), Err(PathError::BadRoot), "{root:?}");
        assert_eq!(normalise_path("/a", Some(root)).as_deref(), Ok("/a"));
    }
}

#[test]
fn length_is_limited_before_and_after_resolution() {
    let longest = format!("/{}", "a".repeat(PATH_MAX - 1));
    assert_eq!(normalise_path(&longest, None).as_deref(), Ok(longest.as_str()));
    assert_eq!(normalise_path(&format!("{longest}a"), None), Err(PathError::TooLong));
    let relative = "a".repeat(PATH_MAX - 3);
    assert_eq!(normalise_path(&relative, Some("/r")).map(|path| path.len()), Ok(PATH_MAX));
    assert_eq!(normalise_path(&format!("{relative}a"), Some("/r")), Err(PathError::TooLong));
}

#[test]
fn messages_say_what_to_do() {
    assert_eq!(PathError::NoRoot.to_string(), "is relative and no root is declared; give the absolute path");
}

/// Mostly made of what matters, so that most cases get past the first check.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => Just("/".to_owned()),
        2 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        3 => "[a-c]{1,2}",
        1 => Just("\\".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_normal_form_is_absolute_and_plain(path in paths(), root in proptest::option::of("(/[a-c]{1,2}|/\\.\\.){1,4}")) {
        if let Ok(norm) = normalise_path(&path, root.as_deref()) {
            prop_assert!(norm.starts_with('/'));
            prop_assert!(!norm.contains("//") && !norm.contains('\0'));
            prop_assert!(norm.split('/').all(|part| part != ".." && part != "."));
            prop_assert!(norm == "/" || !norm.ends_with('/'));
            prop_assert_eq!(norm.matches('\\').count() <= path.matches('\\').count(), true);
        }
    }

    #[test]
    fn resolving_twice_changes_nothing(path in paths()) {
        if let Ok(norm) = normalise_path(&path, Some("/r/s")) {
            prop_assert_eq!(normalise_path(&norm, None), Ok(norm.clone()));
            prop_assert_eq!(normalise_path(&norm, Some("/elsewhere")), Ok(norm));
        }
    }

    #[test]
    fn a_relative_path_is_under_its_root_or_refused(path in paths()) {
        prop_assume!(!path.starts_with('/'));
        if let Ok(norm) = normalise_path(&path, Some("/r/s")) {
            prop_assert!(norm == "/r/s" || norm.starts_with("/r/s/"), "{norm}");
        }
    }

    #[test]
    fn backslashes_are_kept(name in "[a-c\\\\]{1,8}") {
        prop_assert_eq!(normalise_path(&name, Some("/r")), Ok(format!("/r/{name}")));
    }

    #[test]
    fn a_nul_is_always_refused(before in paths(), after in paths()) {
        let path = format!("{before}\0{after}");
        prop_assert_eq!(normalise_path(&path, Some("/r")), Err(PathError::Nul));
    }
}
