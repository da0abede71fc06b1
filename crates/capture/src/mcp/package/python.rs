//! Python: the distribution that a script or module was installed with, by the `RECORD` of its `dist-info`.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{self, Files};
use super::process::Process;
use crate::limits::DISTRIBUTIONS_MAX;

/// What Python was told to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A file, with symbolic links followed.
    Script(PathBuf),
    /// `-m`: a module by its dotted name.
    Module(String),
}

/// The files that the distribution of what a process runs has installed in its own place.
pub(super) fn own_files(process: &Process) -> Option<Files> {
    let target = target(process)?;
    let places = places(process, &target);
    let (place, record) = places.iter().find_map(|place| Some((place, record_of(place, &target)?)))?;
    let own: Files = record
        .into_iter()
        .filter(|path| is_own(path))
        .map(|path| (path.clone(), place.join(&path)))
        .filter(|(_, file)| file.exists())
        .collect();
    // one that was installed for editing lists only a pointer to its source
    own.iter().any(|(path, _)| ends(path, "py") || ends(path, "so")).then_some(own)
}

fn target(process: &Process) -> Option<Target> {
    let mut arguments = process.arguments.iter().skip(1).map(String::as_str);
    loop {
        let argument = arguments.next()?;
        match argument.strip_prefix('-') {
            None => return process.resolve(argument).map(Target::Script),
            Some("") => return None,
            Some("-check-hash-based-pycs") => drop(arguments.next()),
            Some(long) if long.starts_with('-') => {}
            Some(letters) => match letters.char_indices().find(|(_, letter)| "cmWX".contains(*letter)) {
                Some((_, 'c')) => return None,
                Some((at, 'm')) => {
                    let rest = letters.get(at + 1..).filter(|rest| !rest.is_empty());
                    return Some(Target::Module(rest.or_else(|| arguments.next())?.to_owned()));
                }
                Some((at, _)) if at + 1 == letters.len() => drop(arguments.next()),
                _ => {}
            },
        }
    }
}

/// Directories in which the distribution may be installed.
fn places(process: &Process, target: &Target) -> Vec<PathBuf> {
    let prefix = match target {
        Target::Script(script) => {
            if let Some(place) = script.ancestors().find(|dir| is_place(dir)) {
                return vec![place.to_path_buf()];
            }
            script.parent().and_then(Path::parent).map(Path::to_path_buf)
        }
        Target::Module(_) => {
            // the program in a virtual environment is a link to one elsewhere: where it lies is what counts
            let program = process.arguments.first().filter(|program| program.contains('/'));
            let program =
                program.map_or_else(|| process.executable.clone(), |word| process.directory.join(word));
            program.parent().and_then(Path::parent).map(Path::to_path_buf)
        }
    };
    let below = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries =
        prefix.into_iter().flat_map(|prefix| ["lib", "lib64", "local/lib"].map(|lib| prefix.join(lib)));
    let mut places: Vec<PathBuf> = libraries
        .flat_map(below)
        .filter(|dir| dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python")))
        .flat_map(|dir| ["site-packages", "dist-packages"].map(|place| dir.join(place)))
        .collect();
    places.sort();
    places
}

fn is_place(dir: &Path) -> bool {
    dir.ends_with("site-packages") || dir.ends_with("dist-packages")
}

/// The list of the distribution in `place` that has installed the target.
fn record_of(place: &Path, target: &Target) -> Option<Vec<String>> {
    let entries = fs::read_dir(place).ok()?.flatten().map(|entry| entry.path());
    let mut infos: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "dist-info")).collect();
    infos.sort();
    infos.truncate(DISTRIBUTIONS_MAX);
    infos.iter().find_map(|info| {
        let paths: Vec<String> = files::text(&info.join("RECORD"))?.lines().filter_map(recorded).collect();
        paths.iter().any(|path| is_target(place, path, target)).then_some(paths)
    })
}

/// The path in a line of a `RECORD`, which is CSV.
fn recorded(line: &str) -> Option<String> {
    match line.strip_prefix('"') {
        None => line.split(',').next().map(str::to_owned),
        Some(quoted) => {
            let unquoted = quoted.replace("\"\"", "\0");
            Some(unquoted.split('"').next()?.replace('\0', "\""))
        }
    }
}

fn is_target(place: &Path, path: &str, target: &Target) -> bool {
    match target {
        Target::Module(name) => {
            let file = name.replace('.', "/");
            path == format!("{file}/__main__.py") || path == format!("{file}.py")
        }
        // the names are compared first: following links costs more
        Target::Script(script) => {
            Path::new(path).file_name() == script.file_name()
                && fs::canonicalize(place.join(path)).is_ok_and(|real| real == *script)
        }
    }
}

/// Whether a recorded file is the distribution's own code or data: not what tells of its installation, what Python
/// makes of it, or what lies elsewhere.
fn is_own(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    !Path::new(path).is_absolute()
        && !path.split('/').any(|part| part == "..")
        && !first.ends_with(".dist-info")
        && !ends(path, "pyc")
}

fn ends(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(words: &[&str], directory: &Path) -> Process {
        Process {
            executable: "/usr/bin/python3".into(),
            arguments: words.iter().map(|&word| word.to_owned()).collect(),
            directory: directory.to_path_buf(),
        }
    }

    #[test]
    fn what_python_runs_is_found_behind_its_options() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().canonicalize().unwrap().join("s.py");
        fs::write(&script, "").unwrap();
        let run = |words: &[&str]| target(&process(&[&["python3"], words].concat(), dir.path()));
        let module = |name: &str| Some(Target::Module(name.to_owned()));
        for words in [&["s.py"][..], &["-u", "s.py", "-m", "x"], &["-W", "error", "-Xdev", "-IB", "s.py"]] {
            assert_eq!(run(words), Some(Target::Script(script.clone())), "{words:?}");
        }
        assert_eq!(run(&["-m", "a.b"]), module("a.b"));
        assert_eq!(run(&["-uIma.b", "s.py"]), module("a.b"));
        assert_eq!(run(&["-X", "m", "-um", "a"]), module("a"));
        for words in [&["-c", "1"][..], &["-uc", "1"], &["-"], &["missing.py"], &[], &["-m"]] {
            assert_eq!(run(words), None, "{words:?}");
        }
    }

    #[test]
    fn lines_of_a_record_are_csv() {
        for (line, path) in [
            ("a/b.py,sha256=x,12", "a/b.py"),
            (r#""a,b/""c"".py",sha256=x,1"#, r#"a,b/"c".py"#),
            ("../../../bin/x,,", "../../../bin/x"),
        ] {
            assert_eq!(recorded(line).as_deref(), Some(path));
        }
    }

    #[test]
    fn only_what_was_installed_in_its_place_is_its_own() {
        assert!(is_own("a/b.py") && is_own("a.so") && is_own("a/data.json"));
        for path in ["../../../bin/x", "/etc/x", "a-1.dist-info/RECORD", "a/__pycache__/b.cpython-312.pyc"] {
            assert!(!is_own(path), "{path}");
        }
    }
}
