//! Delegations by the commands, against a real server and a real wrapped MCP server: given, narrowed, used, asked about,
//! revoked, halted, resumed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Data, Mcp};

const ISOLATE: &str = "stdio:edr#isolate_host";
const RELEASE: &str = "stdio:edr#release_host";

/// A log with registered principals, each with a key file of its name.
fn with_people(people: &[(&str, &str)]) -> Data {
    let data = Data::new();
    for (name, kind) in people {
        data.json(&["principal", "add", name, "--kind", kind, "--key", &format!("{name}.key")]);
    }
    data
}

/// ciso → lead → helper → tiny, each narrower than the one above, each with a key of its own.
fn with_chain() -> Data {
    let data = with_people(&[("ciso", "human")]);
    let lead =
        ["delegate", "--as", "ciso.key", "--new-key", "--agent", "lead", "--max-depth", "2", "--purpose"];
    let tools =
        ["--tool", ISOLATE, "--arg", "host=prefix:ws-", "--tool", RELEASE, "--arg", "host=prefix:ws-"];
    data.json(&[&lead[..], &["contain alert 4711"], &tools[..], &["--ttl", "30m", "-o", "lead.d"]].concat());
    let helper = [
        "delegate",
        "--from",
        "lead.d",
        "--new-key",
        "--agent",
        "helper",
        "--handoff",
        "isolate ws-1 to ws-19",
    ];
    data.json(&[&helper[..], &["--tool", ISOLATE, "--arg", "host=prefix:ws-1", "-o", "helper.d"]].concat());
    let tiny = ["delegate", "--from", "helper.d", "--new-key", "--agent", "tiny", "--ttl", "5m"];
    data.json(&[&tiny[..], &["--tool", ISOLATE, "--arg", "host=ws-11", "-o", "tiny.d"]].concat());
    data
}

fn isolate(client: &mut Mcp, host: &str) -> Result<String, String> {
    client.call("isolate_host", &json!({ "host": host }))
}

/// The actions of a holder, newest first.
fn did(data: &Data, who: &str) -> Vec<Value> {
    data.json(&["did", who])["actions"].as_array().unwrap().clone()
}

fn index(action: &Value) -> u64 {
    action["index"].as_u64().unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no list `{name}` in {value}"))
}

#[test]
fn three_holders_act_and_authority_names_person_keys_scopes_and_labels_at_each_hop() {
    let data = with_chain();
    let mut lead = data.edr(&["--delegation", "lead.d"]);
    let mut helper = data.edr(&["--delegation", "helper.d"]);
    let mut tiny = data.edr(&["--delegation", "tiny.d"]);
    isolate(&mut lead, "ws-2").unwrap();
    isolate(&mut helper, "ws-12").unwrap();
    isolate(&mut tiny, "ws-11").unwrap();
    // each is held to its own link and to every one above
    assert!(isolate(&mut lead, "dc-1").unwrap_err().contains("step scope"));
    assert!(isolate(&mut helper, "ws-2").unwrap_err().contains("step scope"));
    assert!(isolate(&mut tiny, "ws-12").unwrap_err().contains("step scope"));
    assert!(helper.call("release_host", &json!({"host": "ws-12"})).unwrap_err().contains("step scope"));

    let allowed =
        did(&data, "tiny").into_iter().find(|action| action["verdict"]["value"] == "allow").unwrap();
    let authority = data.json(&["authority", &format!("@{}", index(&allowed))]);
    assert_eq!(authority["principal"]["principal"]["value"]["sub"], "ciso");
    let chain = list(&authority, "chain");
    let holders: Vec<&Value> = chain.iter().map(|link| &link["holder"]["value"]["id"]).collect();
    assert_eq!(holders, ["lead", "helper", "tiny"]);
    assert!(chain.iter().all(|link| link["holder"]["assurance"] == "delegator-asserted"), "{chain:?}");
    assert_eq!(chain[0]["delegator"]["value"]["sub"], "ciso");
    assert_eq!(chain[2]["delegator"]["value"]["id"], "helper");
    let keys: std::collections::BTreeSet<&str> =
        chain.iter().map(|link| link["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 3);
    assert!(
        list(&chain[1], "narrowed").iter().any(|text| text.as_str().unwrap().contains("ws-1")),
        "{chain:?}"
    );
    for link in chain {
        let signature = list(link, "checks").iter().find(|check| check["what"] == "signature").unwrap();
        assert_eq!(signature["check"], "verified-captured");
    }
    // the run is a child of the one that handed the work over, and so on up
    assert!(authority["parent_run"]["value"].is_string(), "{authority}");
    let of_helper =
        did(&data, "helper").into_iter().find(|action| action["verdict"]["value"] == "allow").unwrap();
    let of_helper = data.json(&["authority", &format!("@{}", index(&of_helper))]);
    assert_eq!(of_helper["handoff"]["value"]["text"], "isolate ws-1 to ws-19");
    let text = data.command().args(["authority", &format!("@{}", index(&allowed))]).output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    for said in ["Delegation 1 of 3", "Delegation 3 of 3", "given by", "narrower", "checked"] {
        assert!(text.contains(said), "`{said}` in\n{text}");
    }
    [lead, helper, tiny].into_iter().for_each(Mcp::close);
}

#[test]
fn revoking_the_middle_stops_it_and_all_below_and_lists_what_is_in_doubt() {
    let data = with_chain();
    let mut lead = data.edr(&["--delegation", "lead.d"]);
    let mut helper = data.edr(&["--delegation", "helper.d"]);
    let mut tiny = data.edr(&["--delegation", "tiny.d"]);
    isolate(&mut lead, "ws-2").unwrap();
    isolate(&mut helper, "ws-12").unwrap();
    isolate(&mut tiny, "ws-11").unwrap();
    let in_doubt = [index(&did(&data, "helper")[0]), index(&did(&data, "tiny")[0])];
    let chain = data.json(&["authority", &format!("@{}", in_doubt[1])])["chain"].clone();
    let middle = chain[1]["digest"].as_str().unwrap().to_owned();

    // the log knows that it is a delegation and not a key
    let revoked = data.json(&[
        "revoke",
        &middle,
        "--effective",
        "1h",
        "--why",
        "the laptop was stolen",
        "--as",
        "ciso.key",
    ]);
    assert_eq!((&revoked["what"], &revoked["target"]), (&json!("delegation"), &json!(middle)));
    let mut listed: Vec<u64> = list(&revoked["in_doubt"], "actions").iter().map(index).collect();
    listed.sort_unstable();
    assert_eq!(listed, in_doubt);
    let again = data.json(&["doubt", &format!("@{}", revoked["index"])]);
    assert_eq!(again["count"], 2);
    assert!(list(&again, "actions").iter().all(|action| action["link"] == json!(middle)), "{again}");

    assert!(isolate(&mut helper, "ws-13").unwrap_err().contains("revoked"));
    assert!(isolate(&mut tiny, "ws-11").unwrap_err().contains("revoked"));
    isolate(&mut lead, "ws-3").unwrap();
    // what was done before is marked, and still provable
    let authority = data.json(&["authority", &format!("@{}", in_doubt[0])]);
    let since = &list(&authority["revocations"], "now")[0];
    assert_eq!((&since["index"], &since["in_doubt"]), (&revoked["index"], &json!(true)));
    // a revocation outlives a restart of the server
    data.stop();
    assert!(data.json(&["allowed", "tiny"])["delegations"][0]["state"] == "revoked");
    drop((lead, helper, tiny));
}

#[test]
fn everything_that_can_be_revoked_can_be_named() {
    let data = with_chain();
    let revoke =
        |target: &str| data.json(&["revoke", target, "--why", "test"])["what"].as_str().unwrap().to_owned();
    let mut lead = data.edr(&["--delegation", "lead.d"]);
    isolate(&mut lead, "ws-2").unwrap();
    let authority = data.json(&["authority", &format!("@{}", index(&did(&data, "lead")[0]))]);
    let link = &authority["chain"][0];
    assert_eq!(revoke(link["key"].as_str().unwrap()), "holder-key");
    assert_eq!(revoke(authority["delegation"]["task"]["value"].as_str().unwrap()), "lineage");
    assert_eq!(revoke(&format!("@{}", link["index"])), "delegation");
    assert_eq!(revoke("ciso"), "principal");
    assert_eq!(revoke("issuer-key"), "issuer-key");
    assert_eq!(revoke("tenant"), "tenant");
    let file: Value = serde_json::from_slice(&fs::read(data.path().join("tiny.d")).unwrap()).unwrap();
    assert_eq!(revoke(file["chain"][2].as_str().unwrap()), "delegation");
    let unknown = "A".repeat(43);
    assert!(data.refused(&["revoke", &unknown, "--why", "x"]).contains("--what"));
    data.json(&["revoke", &unknown, "--what", "holder-key", "--why", "x"]);
    assert!(data.refused(&["revoke", "lead", "--why", "x"]).contains("deeds halt lead"));
    assert!(data.refused(&["revoke", "@0", "--why", "x"]).contains("records no delegation"));
    assert!(data.refused(&["revoke", "ciso", "--why", ""]).contains("--why"));
    assert!(isolate(&mut lead, "ws-3").unwrap_err().contains("revoked"));
    lead.close();
}

#[test]
fn a_halt_stops_until_a_registered_person_lifts_it() {
    let data = with_chain();
    let mut lead = data.edr(&["--delegation", "lead.d"]);
    let mut helper = data.edr(&["--delegation", "helper.d"]);
    isolate(&mut lead, "ws-2").unwrap();
    // nobody's signature is needed to stop
    let halted = data.json(&["halt", "helper", "--why", "isolates the wrong hosts"]);
    assert_eq!(halted["halts"][0]["on"], json!({"t": "agent", "id": "helper"}));
    assert!(isolate(&mut helper, "ws-12").unwrap_err().contains("halt"));
    isolate(&mut lead, "ws-3").unwrap();
    // of a registered principal, all who act for it are stopped, and whoever acts under its name
    let halted = data.json(&["halt", "ciso", "--why", "the key may be lost"]);
    assert_eq!(list(&halted, "halts").len(), 2);
    assert!(isolate(&mut lead, "ws-4").unwrap_err().contains("halt"));
    // a halt outlives a kill of the server
    support::kill_server(&data);
    let halts = data.json(&["halts"]);
    assert_eq!(list(&halts, "halts").len(), 3);
    assert!(list(&halts, "halts").iter().any(|halt| halt["why"] == "isolates the wrong hosts"), "{halts}");

    assert!(data.refused(&["resume", "ciso", "--why", "found"]).contains("--as KEYFILE"));
    data.json(&["principal", "add", "bot", "--kind", "service", "--key", "bot.key"]);
    let refused = data.refused(&["resume", "ciso", "--as", "bot.key", "--why", "found"]);
    assert!(refused.contains("person") || refused.contains("human"), "{refused}");
    let resumed = data.json(&["resume", "ciso", "--as", "ciso.key", "--why", "found"]);
    assert_eq!(list(&resumed, "resumed").len(), 2);
    isolate_soon(&mut lead, "ws-4");
    let helper_halt = list(&data.json(&["halts"]), "halts")[0]["index"].as_u64().unwrap();
    data.json(&["resume", &format!("@{helper_halt}"), "--as", "ciso.key", "--why", "corrected"]);
    isolate_soon(&mut helper, "ws-12");
    assert!(data.refused(&["resume", "helper", "--as", "ciso.key", "--why", "x"]).contains("deeds halts"));
    assert_eq!(list(&data.json(&["halts"]), "halts").len(), 0);
    lead.close();
    helper.close();
}

/// After the server was killed a wrap needs a moment to come back; until then its calls are refused, never lost.
fn isolate_soon(client: &mut Mcp, host: &str) {
    let mut last = String::new();
    for _ in 0..50 {
        match isolate(client, host) {
            Ok(_) => return,
            Err(why) => last = why,
        }
    }
    panic!("{last}");
}

#[test]
fn what_was_given_and_never_used_is_found() {
    let data = with_chain();
    let mut lead = data.edr(&["--delegation", "lead.d"]);
    isolate(&mut lead, "ws-2").unwrap();
    lead.close();
    let tree = data.json(&["delegations", "lead"]);
    let root = &list(&tree, "tree")[0];
    assert_eq!((&root["kind"], &root["used"]), (&json!("root"), &json!(1)));
    assert_eq!(list(root, "unused"), &[json!(RELEASE)]);
    let identities = data.json(&["identities"]);
    let lead = list(&identities, "identities")
        .iter()
        .find(|identity| identity["what"] == "holder" && identity["id"] == "lead")
        .unwrap_or_else(|| panic!("{identities}"));
    assert_eq!(list(lead, "never_used"), &[json!(RELEASE)]);
    let said = data.command().args(["delegations", "lead"]).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&said).contains("never used: edr#release_host"));

    let allowed = data.json(&["allowed", "lead"]);
    let delegation = &list(&allowed, "delegations")[0];
    assert_eq!((&delegation["state"], &delegation["used"]), (&json!("live"), &json!(1)));
    let isolate = list(delegation, "tools").iter().find(|tool| tool["tool"] == ISOLATE).unwrap();
    assert_eq!(isolate["arguments"]["host"]["prefix"], "ws-");
    assert!(["always", "never", "conditional"].contains(&isolate["policy"].as_str().unwrap()), "{isolate}");
    let before = data.json(&["allowed", "lead", "--at", "1h"]);
    assert_eq!(list(&before, "delegations")[0]["state"], "not-yet");
}

#[test]
fn a_service_gets_roots_under_a_mandate_until_it_is_revoked() {
    let data = with_people(&[("ciso", "human"), ("ir-playbook", "service"), ("other", "service")]);
    let mandate =
        ["mandate", "--as", "ciso.key", "--for", "ir-playbook", "--purpose", "contain", "--root-ttl", "5m"];
    let tools =
        ["--tool", ISOLATE, "--arg", "host=prefix:ws-", "--tool", RELEASE, "--arg", "host=prefix:ws-"];
    let mandate = data.json(&[&mandate[..], &tools[..]].concat());
    let at = format!("@{}", mandate["index"]);
    // what is not said is taken over from it; what is said may only be narrower
    let given =
        data.json(&["delegate", "--as", "ir-playbook.key", "--mandate", &at, "--new-key", "-o", "root.d"]);
    assert_eq!((&given["purpose"], &given["holder"]["id"]), (&json!("contain"), &json!("ir-playbook")));
    let digest = mandate["digest"].as_str().unwrap();
    let narrow = [
        "delegate",
        "--as",
        "ir-playbook.key",
        "--mandate",
        digest,
        "--new-key",
        "--force",
        "-o",
        "narrow.d",
    ];
    let given = data.json(&[&narrow[..], &["--tool", ISOLATE, "--arg", "host=ws-7"]].concat());
    assert!(!list(&given, "narrowed").is_empty(), "{given}");
    let wider = data.refused(&[&narrow[..], &["--tool", ISOLATE, "--arg", "host=*"]].concat());
    assert!(wider.contains("not within those of the mandate"), "{wider}");
    let other = data.refused(&["delegate", "--as", "other.key", "--mandate", &at, "--new-key", "-o", "o.d"]);
    assert!(other.contains("mandate"), "{other}");
    assert!(
        data.refused(&["delegate", "--as", "ciso.key", "--mandate", "@0", "--new-key", "-o", "o.d"])
            .contains("no mandate")
    );

    let mut service = data.edr(&["--delegation", "root.d"]);
    isolate(&mut service, "ws-1").unwrap();
    let authority = data.json(&["authority", &format!("@{}", index(&did(&data, "ir-playbook")[0]))]);
    assert_eq!(authority["mandate"]["digest"], mandate["digest"]);
    assert_eq!(authority["principal"]["principal"]["value"]["sub"], "ciso");
    let text = data
        .command()
        .args(["authority", &format!("@{}", index(&did(&data, "ir-playbook")[0]))])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("a machine asked, under a standing authority"));
    data.json(&["revoke", &at, "--why", "the playbook changed"]);
    assert!(isolate(&mut service, "ws-2").unwrap_err().contains("revoked"));
    let refused =
        data.refused(&["delegate", "--as", "ir-playbook.key", "--mandate", &at, "--new-key", "-o", "late.d"]);
    assert!(refused.contains("revoked"), "{refused}");
    service.close();
}

#[test]
fn a_broken_glass_is_a_persons_own_root_with_a_reason_and_told_first() {
    let data = with_people(&[("noor", "human"), ("bot", "service")]);
    let mut noor =
        data.edr(&["--principal", "noor.key", "--purpose", "break-glass", "--why", "dc-1 spreads it"]);
    isolate(&mut noor, "dc-1").unwrap();
    noor.close();
    let actions = data.json(&["did"]);
    let at = format!("@{}", index(&list(&actions, "actions")[0]));
    assert_eq!(
        data.json(&["authority", &at])["break_glass"],
        json!({"why": "dc-1 spreads it", "review": "open"})
    );
    let text = data.command().args(["authority", &at]).output().unwrap().stdout;
    assert!(text.starts_with(b"BREAK-GLASS: dc-1 spreads it"), "{}", String::from_utf8_lossy(&text));
    // not without a reason, and not for a service
    let delegate = ["delegate", "--purpose", "break-glass", "--new-key", "--tool", ISOLATE, "-o", "g.d"];
    assert!(data.refused(&[&delegate[..], &["--as", "noor.key"]].concat()).contains("--why"));
    let service = data.refused(&[&delegate[..], &["--as", "bot.key", "--why", "x"]].concat());
    assert!(service.contains("human") || service.contains("person"), "{service}");
    assert!(!data.path().join("g.d").exists());
}

#[test]
fn wraps_that_share_a_file_share_its_counter_also_over_a_restart() {
    let data = with_chain();
    let mut first = data.edr(&["--delegation", "lead.d"]);
    let mut second = data.edr(&["--delegation", "lead.d"]);
    for _ in 0..5 {
        isolate(&mut first, "ws-1").unwrap();
        isolate(&mut second, "ws-2").unwrap();
    }
    data.stop();
    isolate_soon(&mut first, "ws-3");
    isolate_soon(&mut second, "ws-4");
    first.close();
    // where the counter was lost, the server knows where it stands
    fs::remove_file(data.path().join("lead.d.ctr")).unwrap();
    let mut third = data.edr(&["--delegation", "lead.d"]);
    isolate(&mut third, "ws-5").unwrap();
    isolate(&mut second, "ws-6").unwrap();
    let authority = data.json(&["authority", &format!("@{}", index(&did(&data, "lead")[0]))]);
    assert_eq!(list(&authority, "chain").len(), 1);
    second.close();
    third.close();
}

#[test]
fn of_several_runs_that_could_have_handed_over_the_one_named_has() {
    let data = with_chain();
    let first = data.edr(&["--delegation", "lead.d"]);
    let second = data.edr(&["--delegation", "lead.d"]);
    let runs = data.json(&["runs"]);
    // newest first; the root was issued in a run of its own, which wraps nothing
    let mut of_lead = list(&runs, "runs").iter().filter(|run| run["holder"]["value"]["id"] == "lead");
    let (latest, before) = (of_lead.next().unwrap()["run"].clone(), of_lead.next().unwrap()["run"].clone());
    let parent_of = |wrap: &[&str], host: &str| {
        let mut helper = data.edr(&[&["--delegation", "helper.d"], wrap].concat());
        isolate(&mut helper, host).unwrap();
        helper.close();
        let acted = index(&did(&data, "helper")[0]);
        data.json(&["authority", &format!("@{acted}")])["parent_run"]["value"].clone()
    };
    assert_eq!(parent_of(&[], "ws-11"), latest);
    assert_eq!(parent_of(&["--parent", before.as_str().unwrap()], "ws-12"), before);
    first.close();
    second.close();
}

#[test]
fn a_wrap_can_demand_that_each_call_presents_a_delegation() {
    let data = with_chain();
    let mut lead = data.edr(&["--delegation", "lead.d", "--require-delegation"]);
    let refused = isolate(&mut lead, "ws-2").unwrap_err();
    assert!(refused.contains("delegation"), "{refused}");
    lead.close();
}

#[test]
fn the_wrapped_server_learns_nothing_of_the_delegation() {
    let data = with_chain();
    let mut command = data.command();
    command.args(["wrap", "--name", "env", "--", "sh", "-c", "env > seen"]);
    command.env("DEEDS_DELEGATION", data.path().join("lead.d")).env("DEEDS_LOG", "warn").env("KEPT", "yes");
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    let seen = fs::read_to_string(data.path().join("seen")).unwrap();
    // nothing else of the environment is shown: there may be secrets in it
    let told: Vec<&str> = seen.lines().filter(|line| line.starts_with("DEEDS_")).collect();
    assert!(seen.lines().any(|line| line == "KEPT=yes") && told.is_empty(), "{told:?}");
}

#[test]
fn a_file_that_is_there_is_not_replaced_unasked_and_then_what_was_in_it_can_be_ended() {
    let data = with_chain();
    let before = fs::read(data.path().join("tiny.d")).unwrap();
    let again =
        ["delegate", "--as", "ciso.key", "--new-key", "--agent", "lead", "--tool", ISOLATE, "-o", "tiny.d"];
    let size = || data.json(&["status"])["size"].as_u64().unwrap();
    let entries = size();
    assert!(data.refused(&again).contains("`--force`"));
    assert_eq!(
        (fs::read(data.path().join("tiny.d")).unwrap(), size()),
        (before, entries),
        "and no root is issued"
    );
    // the old one was never presented: the log does not know it, and takes it away all the same
    let told = data.command().args(again).arg("--force").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("(of tiny) stays live until"), "{told}");
    let line = told.lines().find_map(|line| line.trim().strip_prefix("deeds ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(data.json(&words)["what"], "delegation");
    let forced = data.json(&[&again[..], &["--force"]].concat());
    assert_eq!(forced["replaced"]["holder"], "lead");
}

#[test]
fn a_kind_of_limit_that_there_is_not_is_refused() {
    let data = with_chain();
    let narrow =
        ["delegate", "--from", "lead.d", "--new-key", "--agent", "b", "-o", "b.d", "--tool", ISOLATE];
    let refused = data.refused(&[&narrow[..], &["--arg", "host=pre:ws-1"]].concat());
    assert!(refused.contains("did you mean `prefix:`?"), "{refused}");
    assert!(!data.path().join("b.d").exists());
}

#[test]
fn the_file_is_private_and_whole_however_often_its_writer_is_killed() {
    let data = with_chain();
    let path = data.path().join("out.d");
    let make = || -> Command {
        let mut command = data.command();
        command.args([
            "delegate",
            "--from",
            "lead.d",
            "--new-key",
            "--agent",
            "bot",
            "--force",
            "-o",
            "out.d",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(make().status().unwrap().success());
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..60_u32 {
        let mut child = make().spawn().unwrap();
        // ever later: from before it has begun to after it has ended
        for _ in 0..round * round {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = fs::read(&path).unwrap();
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(list(&file, "chain").len(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        seen.insert(bytes);
    }
    // what a killed writer left beside it stands in nobody's way
    assert!(make().status().unwrap().success());
    let before = seen.len();
    seen.insert(fs::read(&path).unwrap());
    assert_eq!(seen.len(), before + 1);
}
