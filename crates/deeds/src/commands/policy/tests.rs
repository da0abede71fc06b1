//! What the next start of the server puts in force.

use std::path::Path;

use super::{By, Returning, read};
use crate::config::Config;
use crate::environment::Environment;

fn config(policy: &Path) -> Config {
    Config {
        policy: Some(policy.to_owned()),
        own_dir: Some("/home/ana/.config/deeds".into()),
        ..Config::default()
    }
}

fn told(config: &Config, environment: &Environment, activated: &str) -> Option<String> {
    Returning::find(config, environment, activated, None).map(|returning| returning.told())
}

#[test]
fn a_configured_directory_that_comes_back_is_named_with_the_line_to_write() {
    let config = config(Path::new("/nowhere/p1"));
    let none = Environment::default();
    assert_eq!(
        told(&config, &none, "/srv/p\"7").unwrap(),
        "The next start of the server activates `/nowhere/p1` again, because \
         `/home/ana/.config/deeds/config.toml` names it.\n\
         To keep this one, change the line in `/home/ana/.config/deeds/config.toml` to:\n\n  policy = '/srv/p\"7'\n"
    );
    let named = Config { file: Some("/etc/other.toml".into()), ..config.clone() };
    assert_eq!(Returning::find(&named, &none, "/srv/p7", None).unwrap().named_by, "/etc/other.toml");
    let variable = Environment::of(&[("DEEDS_POLICY", "/nowhere/p1")]);
    let text = told(&config, &variable, "/srv/p7").unwrap();
    assert!(
        text.contains("because `DEEDS_POLICY` names it.\nTo keep this one, unset the variable"),
        "{text}"
    );
    assert!(text.ends_with("\n  policy = \"/srv/p7\"\n"), "{text}");
}

#[test]
fn a_directory_that_the_server_was_started_with_is_named_where_no_configuration_names_one() {
    let find = |config: &Config, activated: &str| {
        Returning::find(config, &Environment::default(), activated, Some("/srv/by-hand"))
    };
    let by_hand = find(&Config::default(), "/srv/p7").unwrap();
    assert_eq!(
        (by_hand.dir.as_str(), by_hand.named_by.as_str()),
        ("/srv/by-hand", "the start of the server")
    );
    assert_eq!(
        by_hand.told(),
        "This server was started with the policy `/srv/by-hand` (`--policy`, or DEEDS_POLICY of whoever started it). \
         Started like that again, it activates that one again.\n\
         To keep this one, start it without that, and put this line into its config.toml:\n\n  policy = \"/srv/p7\"\n"
    );
    assert_eq!(find(&Config::default(), "/srv/by-hand"), None);
    // a configuration that names one is what the next start goes by
    assert_eq!(find(&config(Path::new("/nowhere/p1")), "/srv/p7").unwrap().dir, "/nowhere/p1");
    assert_eq!(find(&config(Path::new("/srv/p7")), "/srv/p7"), None);
    let client = Config { socket: Some("/run/deeds/deeds.sock".into()), ..config(Path::new("/nowhere")) };
    assert_eq!(find(&client, "/srv/p7").unwrap().by, By::Start);
}

#[test]
fn what_stays_in_force_needs_no_word() {
    let dir = tempfile::tempdir().unwrap();
    let real = std::fs::canonicalize(dir.path()).unwrap();
    let link = real.join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let none = Environment::default();
    let activated = real.to_str().unwrap();
    assert_eq!(told(&config(&link), &none, activated), None);
    assert_eq!(told(&Config::default(), &none, activated), None);
    // The configuration of whoever asks is not that of a server that somebody else keeps.
    let client = Config { socket: Some("/run/deeds/deeds.sock".into()), ..config(Path::new("/nowhere")) };
    assert_eq!(told(&client, &none, activated), None);
}

#[test]
fn a_tool_without_its_scheme_is_refused_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "@id(\"x\")\nforbid (principal, action == Deeds::Action::\"tools/call\", resource == Deeds::Tool::\"files#edit_file\");\n";
    std::fs::write(dir.path().join("a.cedar"), rule).unwrap();
    let found = read(dir.path()).unwrap().set.unwrap_err();
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "a.cedar:2:71: `files#edit_file` names no tool, so nothing ever matches it; did you mean `stdio:files#edit_file`?"
        ]
    );
}
