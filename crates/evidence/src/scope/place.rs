//! Plain paths, hosts, host patterns and URLs (format §6): only what has one reading is any of them.

use crate::limits::{HOST_LABEL_MAX_BYTES, HOST_MAX_BYTES, PORT_MAX_DIGITS, SCOPE_STRING_MAX_BYTES};

/// Stands before a host for every host below it.
const BELOW: &str = "*.";

/// A plain path: segments that mean nothing but themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    rooted: bool,
    segments: Vec<&'a str>,
}

impl<'a> Path<'a> {
    /// Parses a plain path; nothing for text that two systems could read as two places.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let acceptable = |c: char| c != '\\' && !c.is_ascii_control();
        if !(1..=SCOPE_STRING_MAX_BYTES).contains(&text.len()) || !text.chars().all(acceptable) {
            return None;
        }
        if text == "/" {
            return Some(Self { rooted: true, segments: Vec::new() });
        }
        let (rooted, rest) = match text.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let segments: Vec<&str> = rest.split('/').collect();
        let plain = segments.iter().all(|segment| !matches!(*segment, "" | "." | ".."));
        plain.then_some(Self { rooted, segments })
    }

    /// Whether it is `other`, or below it.
    pub(super) fn is_under(&self, other: &Self) -> bool {
        self.rooted == other.rooted && self.segments.starts_with(&other.segments)
    }
}

/// Whether text is a host: labels joined by dots.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=HOST_LABEL_MAX_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    (1..=HOST_MAX_BYTES).contains(&text.len()) && text.split('.').all(label)
}

/// Whether text is a host pattern: a host in lower case, or `*.` before one.
pub(super) fn is_host_pattern(text: &str) -> bool {
    let host = text.strip_prefix(BELOW).unwrap_or(text);
    is_host(host) && !host.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether text is a host, or a URL of a host, that fits one of the patterns.
pub(super) fn is_of_host<S: AsRef<str>>(text: &str, patterns: &[S]) -> bool {
    let host = if is_host(text) { Some(text) } else { url_host(text) };
    host.map(str::to_ascii_lowercase)
        .is_some_and(|host| patterns.iter().any(|pattern| fits(&host, pattern.as_ref())))
}

/// Whether every host that fits one of `patterns` fits one of `outer`.
pub(super) fn patterns_within<S: AsRef<str>>(patterns: &[S], outer: &[S]) -> bool {
    // `*.x` is not within `x`: only a pattern with a `*.` of its own covers more than itself
    let covers = |outer: &str, pattern: &str| {
        outer == pattern
            || (outer.starts_with(BELOW) && fits(pattern.strip_prefix(BELOW).unwrap_or(pattern), outer))
    };
    patterns.iter().all(|pattern| outer.iter().any(|outer| covers(outer.as_ref(), pattern.as_ref())))
}

/// Whether a host in lower case fits a pattern: is it, or has labels before what follows its `*.`. (No host begins with
/// a dot, so what is before that dot is labels.)
fn fits(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix(BELOW) {
        Some(above) => host.strip_suffix(above).is_some_and(|rest| rest.ends_with('.')),
        None => host == pattern,
    }
}

/// The host of a URL; nothing for text that is none by the format's narrow grammar.
fn url_host(text: &str) -> Option<&str> {
    let acceptable = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    if !text.bytes().all(acceptable) {
        return None;
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.split_once(':') {
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            ((1..=PORT_MAX_DIGITS).contains(&port.len()) && digits).then_some(host)?
        }
        None => authority,
    };
    is_host(host).then_some(host)
}
