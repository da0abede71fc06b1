//! Tool URIs (DESIGN §9): `<server>#<tool>`, compared byte for byte.

use crate::limits::TOOL_URI_MAX_BYTES;

/// Stands for every tool of a server.
pub const ANY: &str = "*";

/// Splits a tool URI into server and tool; nothing for text that is not one.
pub fn split(uri: &str) -> Option<(&str, &str)> {
    let (server, tool) = uri.split_once('#')?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    (uri.len() <= TOOL_URI_MAX_BYTES && plain(server) && plain(tool) && !tool.contains('#'))
        .then_some((server, tool))
}

/// The URI of a tool of a stdio server.
pub fn stdio(alias: &str, tool: &str) -> String {
    format!("stdio:{alias}#{tool}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_uris_split() {
        assert_eq!(split("stdio:fs#read_file"), Some(("stdio:fs", "read_file")));
        assert_eq!(split("stdio:fs#*"), Some(("stdio:fs", ANY)));
        for wrong in ["stdio:fs", "#x", "stdio:fs#", "a b#c", "a#b#c", "é#x"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
        let long = |len: usize| format!("s#{}", "x".repeat(len - 2));
        assert!(split(&long(TOOL_URI_MAX_BYTES)).is_some());
        assert!(split(&long(TOOL_URI_MAX_BYTES + 1)).is_none());
    }
}
