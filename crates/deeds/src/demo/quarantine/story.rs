//! What story 4 says: who is who, hosts, calls, files, and the lines that later mechanisms will play.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::demo::player::agent::Call;
use crate::demo::{NotYet, Script};

/// What is there before anything happens.
pub(in crate::demo) const SCRIPT: Script = Script {
    opening: "\
An alert says that workstations are infected. No person is awake. A playbook starts an AI agent, \
containment-agent, which may isolate them, because the chief information security officer (ciso) signed a \
mandate that says exactly what may be done in such a case. deeds sits between the agent and its tools: it \
decides each call, writes the decision down before the tool sees the call, and can prove all of it afterwards. \
Everything below is real: separate processes, signed objects, a synced log; only the tools are samples.",
    files: &[
        ("policy/containment.cedar", include_str!("files/containment.cedar")),
        ("policy/classes.toml", include_str!("files/classes.toml")),
        ("scope.json", SCOPE),
    ],
};
/// The tools of the mandate.
const SCOPE: &str = include_str!("files/scope.json");
/// The agent.
pub(super) const AGENT: &str = "containment-agent";
/// The person who signs the mandate.
pub(super) const PERSON: &str = "ciso";
/// The service that may act under it.
pub(super) const SERVICE: &str = "ir-playbook";
/// The person on call.
pub(super) const ON_CALL: &str = "noor";
/// Who they are.
pub(super) const WHO: &str = "\
Three keys are registered: of the ciso, of the service ir-playbook, and of Noor, who is on call. What an agent may do \
rests on signatures by such keys.";
/// Who is registered, and as what.
pub(super) const REGISTERED: [(&str, &str); 3] =
    [(PERSON, "human"), (SERVICE, "service"), (ON_CALL, "human")];
/// Why.
pub(super) const PURPOSE: &str = "contain infected hosts";
/// What the playbook hands to the agent.
pub(super) const HAND_OVER: &str = "Alert 4711: isolate the workstations on its list, one by one.";
/// Why the glass is broken.
pub(super) const WHY: &str = "dc-01 spreads the infection, and the playbook may not touch it";
/// Hosts isolated while all is well.
pub(super) const ISOLATED: u32 = 14;
/// Hosts released again, the last isolated first.
pub(super) const RELEASED: u32 = 3;
/// A host outside the delegation.
pub(super) const CONTROLLER: &str = "dc-01";
/// The policy that refuses what has effects outside.
pub(super) const EXTERNAL_POLICY: &str = "external-needs-a-person";
/// The tool that the policy refuses.
pub(super) const EXTERNAL_TOOL: &str = "stdio:idp#disable_user";
/// The host whose isolation the tool does not survive.
pub(super) const LAST_HOST: u32 = ISOLATED + 1;

/// After the isolations.
pub(super) const NO_RATE: NotYet =
    NotYet { line: "the 21st host within an hour is refused by a rate", comes_with: "rates and budgets" };
/// After the unknown outcome.
pub(super) const NO_RECONCILIATION: NotYet = NotYet {
    line: "the unknown outcome is confirmed from the EDR server's own journal",
    comes_with: "reconciliation",
};

/// Name of the nth workstation.
pub(super) fn host(n: u32) -> String {
    format!("ws-{:04}", 100 + n)
}

/// What the agent is given of what the playbook holds: for each of its servers, tools with their limits.
pub(super) fn handed_over() -> BTreeMap<&'static str, Vec<&'static str>> {
    let tool = |uri, limit| vec!["--tool", uri, "--arg", limit];
    let mut edr = tool("stdio:edr#isolate_host", "host=prefix:ws-");
    edr.extend(tool("stdio:edr#release_host", "host=prefix:ws-"));
    BTreeMap::from([("edr", edr), ("idp", tool(EXTERNAL_TOOL, "user=*"))])
}

fn call(part: &str, server: &str, tool: &str, args: Value) -> Call {
    let [part, server, tool] = [part, server, tool].map(str::to_owned);
    Call { part, server, tool, args, run_as: None }
}

/// What the agent does, call by call.
pub(super) fn agent_calls() -> Vec<Call> {
    let isolate = |part: &str, host: &str| call(part, "edr", "isolate_host", json!({"host": host}));
    let release = |n: u32| call("release", "edr", "release_host", json!({"host": host(n)}));
    let mut calls: Vec<Call> = (1..=ISOLATED).map(|n| isolate("isolate", &host(n))).collect();
    calls.push(isolate("controller", CONTROLLER));
    calls.push(call("user", "idp", "disable_user", json!({"user": "mallory"})));
    calls.extend((ISOLATED - RELEASED + 1..=ISOLATED).rev().map(release));
    calls.push(isolate("killed", &host(LAST_HOST)));
    calls
}

/// What the playbook does itself, once the agent has ended.
pub(super) fn service_calls() -> Vec<Call> {
    let title = format!("{ISOLATED} workstations isolated");
    let ticket = call("ticket", "ticket", "create", json!({"title": title}));
    vec![Call { run_as: Some("run".to_owned()), ..ticket }]
}

/// What the person on call does.
pub(super) fn on_call_calls() -> Vec<Call> {
    vec![call("glass", "edr", "isolate_host", json!({"host": CONTROLLER}))]
}

/// The tools, each a process of its own: name to the arguments of its player.
pub(super) fn tool_arguments(alias: &str) -> Vec<String> {
    match alias {
        "edr" => vec!["--die-on".to_owned(), host(LAST_HOST)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use evidence::Scope;

    use super::*;
    use crate::arguments;
    use crate::cli::ToolsArgs;

    fn mandate() -> Scope {
        Scope::parse(&serde_json::from_str(SCOPE).unwrap()).unwrap()
    }

    fn permitted(scope: &Scope, call: &Call) -> bool {
        let mut args = call.args.as_object().unwrap().clone();
        args.extend(call.run_as.clone().map(|name| (name, json!("01890a5d-ac96-774b-bcce-b302099a8057"))));
        scope.permits(&evidence::tool::stdio(&call.server, &call.tool), &args).is_ok()
    }

    #[test]
    fn the_mandate_covers_what_the_story_needs_and_not_the_controller() {
        for call in agent_calls().into_iter().chain(service_calls()) {
            assert_eq!(permitted(&mandate(), &call), call.part != "controller", "{call:?}");
        }
        assert!(on_call_calls().iter().all(|call| !permitted(&mandate(), call)));
    }

    #[test]
    fn what_is_handed_over_is_within_the_mandate_and_enough_for_the_agent() {
        for (server, typed) in handed_over() {
            let mut rows: Vec<(String, Vec<String>)> = Vec::new();
            for pair in typed.chunks(2) {
                match pair {
                    ["--tool", uri] => rows.push(((*uri).to_owned(), Vec::new())),
                    ["--arg", limit] => rows.last_mut().unwrap().1.push((*limit).to_owned()),
                    other => panic!("{other:?}"),
                }
            }
            let scope = arguments::scope(&ToolsArgs { rows, scope: None }).unwrap().unwrap();
            assert!(scope.within(&mandate()), "{server}");
            for call in agent_calls().into_iter().filter(|call| call.server == server) {
                assert_eq!(permitted(&scope, &call), call.part != "controller", "{call:?}");
            }
        }
    }

    #[test]
    fn the_policy_is_sound_and_classifies_every_tool() {
        let file = |(path, text): (&str, &str)| policy::PolicyFile { path: path.into(), text: text.into() };
        let files =
            SCRIPT.files.iter().filter_map(|(path, text)| Some((path.strip_prefix("policy/")?, *text)));
        let set = policy::PolicySet::from_files(files.map(file).collect()).unwrap();
        assert!(set.warnings().is_empty(), "{:?}", set.warnings());
        for call in agent_calls().into_iter().chain(service_calls()) {
            let class = set.classify(&evidence::tool::stdio(&call.server, &call.tool), None);
            assert!(class.classified, "{call:?}");
            assert_eq!(class.classes.iter().any(|name| name == "external"), call.part == "user");
        }
    }
}
