//! The few styles in use. Output strips them where they are not wanted.

use anstyle::{AnsiColor, Style};

/// Headings.
pub(crate) const HEAD: Style = Style::new().bold();
/// Labels and what is beside the point.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Allowed, verified.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Refused, failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Unknown, unchecked.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// No style.
pub(crate) const PLAIN: Style = Style::new();

/// Text in a style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A verdict as people read it, in one word everywhere; what this version does not know stays as it is.
pub(crate) fn verdict(word: &str) -> &str {
    match word {
        "allow" => "allowed",
        "deny" => "denied",
        word => word,
    }
}

/// The style of a verdict, a status or a label.
pub(crate) fn of_word(word: &str) -> Style {
    match word {
        "allow" | "allowed" | "ok" | "verified" | "verified-pinned" | "verified-captured" | "included"
        | "live" | "always" => GOOD,
        "deny" | "denied" | "failed" | "unreadable" | "error" | "lost" | "revoked" | "halted" | "never" => {
            BAD
        }
        "unknown" | "open" | "inferred" | "asserted" | "tool-error" | "refused-by-target" | "cancelled"
        | "not-forwarded" | "sequenced" | "conditional" | "expired" | "not-yet" | "key-retired" => WARN,
        _ => PLAIN,
    }
}
