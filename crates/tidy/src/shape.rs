//! Files and functions that have grown past what one can read at once.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 120;

struct Source {
    path: PathBuf,
    text: String,
}

/// Product code: everything under a `src` that is not a test.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        collect(&entry.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 50, "the sources are found");
    files
}

fn collect(directory: &Path, files: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            let text = fs::read_to_string(&path).unwrap();
            files.push(Source { path, text });
        }
    }
}

/// The lines before a trailing `#[cfg(test)]` module.
fn product_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ") && pair[1].contains('{')
    });
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

#[test]
fn files_stay_readable() {
    let mut long = Vec::new();
    for Source { path, text } in sources() {
        let path = path.display();
        assert!(text.starts_with("//!"), "{path}: a file begins by saying what it is (`//!`)");
        let lines = product_lines(&text);
        assert!(lines.len() <= FILE_LINES_MAX, "{path}: {} lines, find the seam", lines.len());
        for (number, line) in lines.iter().enumerate() {
            let chars = line.chars().count();
            // a long literal cannot be broken without changing what it says
            if chars > LINE_CHARS_MAX && !line.contains('"') {
                long.push(format!("{path}:{}: {chars} characters", number + 1));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn functions_stay_readable() {
    for Source { path, text } in sources() {
        for (name, first, lines) in functions(&product_lines(&text)) {
            assert!(lines <= FUNCTION_LINES_MAX, "{}:{first}: `{name}` has {lines} lines", path.display());
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    for Source { path, text } in sources() {
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//").unwrap_or_default();
            for marker in ["TODO", "FIXME", "XXX", "HACK"] {
                assert!(
                    !comment.trim_start().starts_with(marker),
                    "{}:{}: {marker}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

/// Name, first line and length of each function, by the indentation that rustfmt gives its closing brace.
fn functions(lines: &[&str]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[first..].iter().position(|line| {
            *line == closing
                || line.trim_end().ends_with(';') && line.len() - line.trim_start().len() == indent
        });
        found.push((name, first + 1, end.unwrap_or(0) + 1));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let code = line.trim_start();
    let before = code.find("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    if !code[..before].split_whitespace().all(|word| modifiers.contains(&word)) {
        return None;
    }
    let name = &code[before + 3..];
    name.find(['(', '<']).map(|end| name[..end].to_owned())
}
