//! In plain words: what this installation can prove, and what it cannot.

use super::host::KeysFound;
use super::log::Known;
use crate::config::Config;

/// What a file that `deeds prove` writes here proves.
pub(super) fn can(keys: &KeysFound, known: &Known) -> Vec<String> {
    let mut all = vec![
        "what was decided about a call that came through deeds, before it went, under which policy and for exactly \
         which arguments"
            .to_owned(),
        "that nothing recorded of a run was taken out or changed since a checkpoint that somebody kept".to_owned(),
    ];
    if known.principals {
        let who =
            if keys.of_principals.is_empty() { "the holder of a registered key" } else { "a registered key" };
        all.push(format!("that {who} stood behind it"));
    }
    all
}

/// What it does not.
pub(super) fn cannot(config: &Config, keys: &KeysFound) -> Vec<String> {
    let mut all = vec![
        "that nothing went around deeds: a client can call a server that is not wrapped, and an agent with a shell \
         needs no server"
            .to_owned(),
    ];
    if !config.is_system_client() {
        all.push(
            "who was behind it, beyond your user account: person, agents and deeds share one, so an agent could stop \
             the server, change the policy or the configuration, or write another log with its keys"
                .to_owned(),
        );
    }
    if !keys.of_principals.is_empty() {
        all.push("that a person signed, and not an agent with the person's key file".to_owned());
    }
    all.push("that the whole log was not rolled back: no witness keeps its checkpoints".to_owned());
    all
}
