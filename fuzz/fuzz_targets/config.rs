//! The configuration file: whatever it holds, an error that a person can read.
#![no_main]

#[allow(dead_code, reason = "the target loads, the program goes on to use")]
#[path = "../../crates/deeds/src/config.rs"]
mod config;
#[allow(dead_code, reason = "the target loads, the program goes on to use")]
#[path = "../../crates/deeds/src/environment.rs"]
mod environment;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let path = std::env::temp_dir().join(format!("deeds-fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, data).expect("the temporary directory can be written");
    let flags = config::Flags { config: Some(path), ..config::Flags::default() };
    let _ = config::Config::load(&flags, &environment::Environment::default());
});
