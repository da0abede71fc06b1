//! How clients are to call this program.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::config::{Config, Flags};
use crate::environment::Environment;
use crate::wiring::Program;

/// By its name where that finds this very file, else by its path. A client may start its servers with few of the
/// variables that are set here, so what they say is passed on as options.
pub(crate) fn of(config: &Config, environment: &Environment) -> anyhow::Result<Program> {
    let own = std::env::current_exe().context("cannot find the own executable")?;
    let own = std::fs::canonicalize(&own).unwrap_or(own);
    ensure!(
        own.file_name() == Some(OsStr::new("deeds")),
        "this program is called `{}`; clients and `--undo` know it as `deeds`: rename it",
        own.display()
    );
    let program = if on_path(&own, config.search.as_deref()) { Path::new("deeds") } else { &own };
    Ok(Program { program: text(program)?, options: options(config, environment)? })
}

fn on_path(own: &Path, search: Option<&OsStr>) -> bool {
    let found = search.into_iter().flat_map(std::env::split_paths).map(|dir| dir.join("deeds"));
    // what stands first is what would run, be it this one or another
    let first = found.filter(|path| path.is_file()).find_map(|path| std::fs::canonicalize(path).ok());
    first.as_deref() == Some(own)
}

/// What a wrap must be told so that it uses this configuration and this data directory with no variable but `HOME`.
fn options(config: &Config, environment: &Environment) -> anyhow::Result<Vec<String>> {
    let bare = environment.only(&["HOME"]);
    let mut options = Vec::new();
    let mut flags = Flags::default();
    let default = |environment: &Environment| environment.config_dir().map(|dir| dir.join("config.toml"));
    let file = config.file.clone().or_else(|| default(environment).filter(|path| path.exists()));
    if let Some(file) = file.filter(|file| Some(file) != default(&bare).as_ref()) {
        options.extend(["--config".to_owned(), text(&file)?]);
        flags.config = Some(file);
    }
    let there = Config::load(&flags, &bare);
    if there.map(|there| there.data).ok().as_ref() != Some(&config.data) {
        options.extend(["--data".to_owned(), text(&config.data)?]);
    }
    Ok(options)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("the path `{}` is not UTF-8 text", path.display()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(pairs: &[(&str, &str)], flags: &Flags) -> Vec<String> {
        let environment = Environment::of(pairs);
        options(&Config::load(flags, &environment).unwrap(), &environment).unwrap()
    }

    #[test]
    fn only_what_a_client_might_not_know_is_passed_on() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().to_str().unwrap();
        let none: [&str; 0] = [];
        assert_eq!(loaded(&[("HOME", home)], &Flags::default()), none);
        let flags = Flags { data: Some("/d".into()), ..Flags::default() };
        assert_eq!(loaded(&[("HOME", home)], &flags), ["--data", "/d"]);
        assert_eq!(loaded(&[("HOME", home), ("DEEDS_DATA", "/e")], &Flags::default()), ["--data", "/e"]);
        assert_eq!(
            loaded(&[("HOME", home), ("XDG_DATA_HOME", "/x")], &Flags::default()),
            ["--data", "/x/deeds"]
        );
        // a data directory that the default configuration names is found by everybody
        let config = Path::new(home).join(".config/deeds");
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("config.toml"), "data = \"/y\"\n").unwrap();
        assert_eq!(loaded(&[("HOME", home)], &Flags::default()), none);
        let other = config.join("other.toml");
        std::fs::write(&other, "data = \"/z\"\n").unwrap();
        let other = other.to_str().unwrap();
        assert_eq!(
            loaded(&[("HOME", home), ("DEEDS_CONFIG", other)], &Flags::default()),
            ["--config", other]
        );
        let elsewhere = config.to_str().unwrap().trim_end_matches("/deeds");
        assert_eq!(loaded(&[("HOME", home), ("XDG_CONFIG_HOME", elsewhere)], &Flags::default()), none);
    }
}
