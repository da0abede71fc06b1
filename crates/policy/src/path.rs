//! Lexical resolution of paths, so that a policy's `like` compares one spelling of each path.
//!
//! Only the text is looked at. Symbolic links, mount points, hard links, case-insensitive file
//! systems, percent-encoding and Unicode normalisation are out of reach: two normal forms that
//! differ may still name one file. What a server would read in a different way than plain POSIX
//! resolution does (`~`, `file:`, quotes, white space at the ends, a leading `//`) is refused
//! instead of guessed.

use crate::limits::PATH_MAX;

/// Why a path has no normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is the empty string.
    #[error("is empty; name a path")]
    Empty,
    /// A NUL byte: the kernel would see a shorter path than the policy does.
    #[error("contains a NUL byte")]
    Nul,
    /// More than [`PATH_MAX`] bytes, as given or resolved.
    #[error("is longer than {PATH_MAX} bytes")]
    TooLong,
    /// White space at an end, which some servers trim.
    #[error("begins or ends with white space; give it without")]
    Blank,
    /// A quotation mark in front, which some servers strip.
    #[error("begins with a quotation mark; give it without")]
    Quoted,
    /// Two slashes in front, whose meaning POSIX leaves to the system.
    #[error("begins with `//`; begin it with one slash")]
    DoubleSlash,
    /// `~`, which some servers expand to a home directory.
    #[error("begins with `~`; give the absolute path")]
    Home,
    /// An absolute path disguised as a relative one.
    #[error("is a `file:` URI; give the path itself")]
    FileUri,
    /// A relative path, and nothing declared to resolve it against.
    #[error("is relative and no root is declared; give the absolute path")]
    NoRoot,
    /// The declared root itself has no normal form or is not absolute.
    #[error("cannot be resolved, because the declared root is not an absolute path")]
    BadRoot,
    /// A relative path that climbs out of the declared root, even if it comes back.
    #[error("climbs out of the declared root")]
    Escapes,
}

/// Resolves `path` lexically into an absolute path: one leading slash, no `.`, `..` or empty
/// component, no trailing slash (except `/` itself). An absolute path is taken as given, a
/// relative one is resolved against `root` and must stay under it at every step. Backslashes are
/// ordinary characters. Idempotent: a normal form is its own normal form.
///
/// # Errors
/// [`PathError`], when the path has no normal form that every reader would agree on.
pub fn normalise_path(path: &str, root: Option<&str>) -> Result<String, PathError> {
    check_text(path)?;
    if path.starts_with('/') {
        return join(&resolve_absolute(path));
    }
    check_relative(path)?;
    let root = root.ok_or(PathError::NoRoot)?;
    if !root.starts_with('/') || check_text(root).is_err() {
        return Err(PathError::BadRoot);
    }
    let mut parts = resolve_absolute(root);
    parts.extend(resolve_relative(path)?);
    join(&parts)
}

fn check_text(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.contains('\0') {
        return Err(PathError::Nul);
    }
    if path.len() > PATH_MAX {
        return Err(PathError::TooLong);
    }
    if path.starts_with(char::is_whitespace) || path.ends_with(char::is_whitespace) {
        return Err(PathError::Blank);
    }
    if path.starts_with(['"', '\'']) {
        return Err(PathError::Quoted);
    }
    if path.starts_with("//") {
        return Err(PathError::DoubleSlash);
    }
    Ok(())
}

fn check_relative(path: &str) -> Result<(), PathError> {
    if path.starts_with('~') {
        return Err(PathError::Home);
    }
    if path.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return Err(PathError::FileUri);
    }
    Ok(())
}

/// `..` above `/` stays at `/`, as in the kernel.
fn resolve_absolute(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts
}

fn resolve_relative(path: &str) -> Result<Vec<&str>, PathError> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathError::Escapes)?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts)
}

fn join(parts: &[&str]) -> Result<String, PathError> {
    let path = format!("/{}", parts.join("/"));
    // A component may itself end in white space (`a /..` leaves none, `a /b/..` does), and what
    // some servers trim must not be a normal form.
    if path.ends_with(char::is_whitespace) {
        return Err(PathError::Blank);
    }
    if path.len() > PATH_MAX { Err(PathError::TooLong) } else { Ok(path) }
}

#[cfg(test)]
#[path = "path/tests.rs"]
mod tests;
