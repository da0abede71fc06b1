//! Tests of the configuration: precedence, paths, typing errors.

use std::fs;

use super::*;

fn resolve(toml: &str, flags: &Flags, environment: &[(&str, &str)]) -> anyhow::Result<Config> {
    let raw: Raw = toml::from_str(toml)?;
    raw.resolve(flags, &Environment::of(environment), Path::new("/etc/deeds"))
}

#[test]
fn flags_win_over_variables_over_the_file_over_the_default() {
    let home = ("HOME", "/home/ana");
    let file = "data = \"/from/file\"";
    let flags = Flags { data: Some("/from/flag".into()), ..Flags::default() };
    let variable = ("DEEDS_DATA", "/from/variable");
    let none = Flags::default();
    let data = |toml: &str, flags: &Flags, env: &[(&str, &str)]| resolve(toml, flags, env).unwrap().data;
    assert_eq!(data(file, &flags, &[home, variable]), Path::new("/from/flag"));
    assert_eq!(data(file, &none, &[home, variable]), Path::new("/from/variable"));
    assert_eq!(data(file, &none, &[home, ("DEEDS_DATA", "")]), Path::new("/from/file"));
    assert_eq!(data("", &none, &[home]), Path::new("/home/ana/.local/share/deeds"));
    let xdg = ("XDG_DATA_HOME", "/data");
    assert_eq!(data("", &none, &[home, xdg]), Path::new("/data/deeds"));
    let relative = ("XDG_DATA_HOME", "data");
    assert_eq!(data("", &none, &[home, relative]), Path::new("/home/ana/.local/share/deeds"));
    let error = resolve("", &Flags::default(), &[]).unwrap_err().to_string();
    assert!(error.contains("--data"), "{error}");
}

#[test]
fn paths_of_the_file_start_at_its_directory_or_at_home() {
    let toml = "policy = \"policy\"\nprincipal = \"~/keys/ana\"\n[alias.fs]\nscope = \"../fs.json\"\nread_fail_open = [\"read_file\"]";
    let config = resolve(toml, &Flags::default(), &[("HOME", "/home/ana")]).unwrap();
    assert_eq!(config.policy.as_deref(), Some(Path::new("/etc/deeds/policy")));
    assert_eq!(config.principal.as_deref(), Some(Path::new("/home/ana/keys/ana")));
    assert_eq!(config.alias("fs").read_fail_open, ["read_file"]);
    assert!(config.alias("other").read_fail_open.is_empty());
    assert_eq!(config.alias("fs").scope.as_deref(), Some(Path::new("/etc/deeds/../fs.json")));
}

#[test]
fn misspelt_names_are_refused_with_those_that_exist() {
    for (toml, named) in [
        ("dta = \"/x\"", "`dta`"),
        ("[alias.fs]\nread_failopen = []", "`read_failopen`"),
        ("[alias.fs]\nread_fail_open = \"yes\"", "invalid type"),
        ("[alias.\"F S\"]", "`F S`"),
    ] {
        let error = format!("{:#}", resolve(toml, &Flags::default(), &[("HOME", "/h")]).unwrap_err());
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    let environment = Environment::of(&[("HOME", home)]);
    assert!(Config::load(&Flags::default(), &environment).unwrap().file.is_none());
    let flags = Flags { config: Some(dir.path().join("none.toml")), ..Flags::default() };
    let error = format!("{:#}", Config::load(&flags, &environment).unwrap_err());
    assert!(error.contains("none.toml"), "{error}");

    fs::create_dir_all(dir.path().join(".config/deeds")).unwrap();
    let default = dir.path().join(".config/deeds/config.toml");
    fs::write(&default, "data = \"d\"\nlog = \"debug\"").unwrap();
    let config = Config::load(&Flags::default(), &environment).unwrap();
    assert_eq!(config.data, dir.path().join(".config/deeds/d"));
    assert_eq!((config.file, config.log.as_deref()), (None, Some("debug")));
}

#[test]
fn size_of_the_file_and_of_the_socket_path_are_limited_at_the_boundary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let max = usize::try_from(CONFIG_MAX_BYTES).unwrap();
    fs::write(&path, format!("#{}", "x".repeat(max - 1))).unwrap();
    assert!(read(&path).is_ok());
    fs::write(&path, format!("#{}", "x".repeat(max))).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("more than"));

    let socket = |length: usize| {
        let data = format!("/{}", "d".repeat(length - "/".len() - "/deeds.sock".len()));
        resolve("", &Flags { data: Some(data.into()), ..Flags::default() }, &[])
    };
    assert!(socket(SOCKET_PATH_MAX_BYTES).is_ok());
    assert!(socket(SOCKET_PATH_MAX_BYTES + 1).unwrap_err().to_string().contains("--data"));
}
