//! What story 4 says: hosts, calls, files, and the lines that later mechanisms will play.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::NotYet;
use super::player::agent::Call;

/// Before anything happens.
pub(super) const OPENING: &str = "\
An alert says that workstations are infected. No person is awake. An AI agent, containment-agent, may isolate \
them, because the chief information security officer (ciso) signed a delegation that says exactly what it may do. \
deeds sits between the agent and its tools: it decides each call, writes the decision down before the tool sees \
the call, and can prove all of it afterwards. Everything below is real: separate processes, signed objects, a \
synced log; only the tools are samples.";

/// The agent.
pub(super) const AGENT: &str = "containment-agent";
/// The person.
pub(super) const PERSON: &str = "ciso";
/// Why.
pub(super) const PURPOSE: &str = "contain the hosts of alert 4711";
/// Hosts isolated while all is well.
pub(super) const ISOLATED: u32 = 14;
/// Hosts released again, the last isolated first.
pub(super) const RELEASED: u32 = 3;
/// A host outside the delegation.
pub(super) const CONTROLLER: &str = "dc-01";
/// The policy that refuses what has effects outside.
pub(super) const EXTERNAL_POLICY: &str = "external-needs-a-person";
/// The host whose isolation the tool does not survive.
pub(super) const LAST_HOST: u32 = ISOLATED + 1;

/// Policy directory: names and texts.
pub(super) const POLICY: [(&str, &str); 2] = [
    ("containment.cedar", include_str!("story/containment.cedar")),
    ("classes.toml", include_str!("story/classes.toml")),
];
/// The scope that the person signs.
pub(super) const SCOPE: &str = include_str!("story/scope.json");

/// Instead of a mandate and two links.
pub(super) const NO_MANDATE: [NotYet; 2] = [
    NotYet {
        line: "a mandate that the ciso renews monthly, from which short delegations are issued",
        comes_with: "the delegation chain",
    },
    NotYet {
        line: "ir-playbook, a workflow, as the link between the ciso and containment-agent",
        comes_with: "the delegation chain",
    },
];
/// After the isolations.
pub(super) const NO_RATE: NotYet =
    NotYet { line: "the 21st host within an hour is refused by a rate", comes_with: "rates and budgets" };
/// After the refused controller.
pub(super) const NO_BREAK_GLASS: NotYet = NotYet {
    line: "Noor, on call, breaks the glass for the domain controller on her own authority, with a review to follow",
    comes_with: "the delegation chain",
};
/// After the unknown outcome.
pub(super) const NO_RECONCILIATION: NotYet = NotYet {
    line: "the unknown outcome is confirmed from the EDR server's own journal",
    comes_with: "reconciliation",
};

/// Name of the nth workstation.
pub(super) fn host(n: u32) -> String {
    format!("ws-{:04}", 100 + n)
}

/// What the agent does, call by call.
pub(super) fn calls() -> Vec<Call> {
    let call = |part: &str, server: &str, tool: &str, args: Value| Call {
        part: part.to_owned(),
        server: server.to_owned(),
        tool: tool.to_owned(),
        args,
        run_as: None,
    };
    let isolate = |part: &str, host: &str| call(part, "edr", "isolate_host", json!({"host": host}));
    let release = |n: u32| call("release", "edr", "release_host", json!({"host": host(n)}));
    let mut calls: Vec<Call> = (1..=ISOLATED).map(|n| isolate("isolate", &host(n))).collect();
    calls.push(isolate("controller", CONTROLLER));
    calls.push(call("user", "idp", "disable_user", json!({"user": "mallory"})));
    let title = format!("{ISOLATED} workstations isolated");
    let ticket = call("ticket", "ticket", "create", json!({"title": title}));
    calls.push(Call { run_as: Some("run".to_owned()), ..ticket });
    calls.extend((ISOLATED - RELEASED + 1..=ISOLATED).rev().map(release));
    calls.push(isolate("killed", &host(LAST_HOST)));
    calls
}

/// The tools, each a process of its own: name to the arguments of its player.
pub(super) fn tools() -> BTreeMap<&'static str, Vec<String>> {
    let die_on = vec!["--die-on".to_owned(), host(LAST_HOST)];
    BTreeMap::from([("edr", die_on), ("idp", Vec::new()), ("ticket", Vec::new())])
}

#[cfg(test)]
mod tests {
    use evidence::Scope;

    use super::*;

    #[test]
    fn the_delegation_covers_what_the_story_needs_and_not_the_controller() {
        let scope: Value = serde_json::from_str(SCOPE).unwrap();
        let scope = Scope::parse(&scope).unwrap();
        for mut call in calls() {
            if let Some(name) = &call.run_as {
                call.args[name] = json!("01890a5d-ac96-774b-bcce-b302099a8057");
            }
            let uri = evidence::tool::stdio(&call.server, &call.tool);
            let permitted = scope.permits(&uri, call.args.as_object().unwrap()).is_ok();
            assert_eq!(permitted, call.part != "controller", "{call:?}");
        }
    }

    #[test]
    fn the_policy_is_sound_and_classifies_every_tool() {
        let file = |(path, text): (&str, &str)| policy::PolicyFile { path: path.into(), text: text.into() };
        let set = policy::PolicySet::from_files(POLICY.map(file).to_vec()).unwrap();
        assert!(set.warnings().is_empty(), "{:?}", set.warnings());
        for call in calls() {
            let class = set.classify(&evidence::tool::stdio(&call.server, &call.tool), None);
            assert!(class.classified, "{call:?}");
            assert_eq!(class.classes.iter().any(|name| name == "external"), call.part == "user");
        }
    }
}
