//! The configuration file: whatever it holds, an error that a person can read.

#[allow(dead_code, reason = "the target loads, the program goes on to use")]
#[rustfmt::skip]
#[path = "../../../../crates/deeds/src/config.rs"]
mod config;

/// Takes one input.
pub fn input(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("deeds-fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, data).expect("the temporary directory can be written");
    let flags = config::Flags { config: Some(path), ..config::Flags::default() };
    let _ = config::Config::load(&flags, &crate::environment::Environment::default());
}
