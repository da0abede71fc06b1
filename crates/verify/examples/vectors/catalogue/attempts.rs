//! What an act works on, the attempts that it takes, and what is known of servers and artifacts: kinds 9, 18 and 21,
//! and the fields that name artifacts.

use evidence::{Digest, Kind, json as canonical};
use serde_json::{Value, json};
use testkit::Draft;

use super::{Scene, Vector, at, failed, verified};

pub(super) fn vectors() -> Vec<Vector> {
    vec![tried_again(), of_the_first(), definitions(), artifacts()]
}

fn digest(text: &str) -> Value {
    json!(Digest::of(text.as_bytes()).to_string())
}

/// The outcome of an attempt that needs input first.
fn asking(outcome: Draft) -> Draft {
    outcome.without("status").with("status", &json!("input-required"))
}

/// 6 and 7 the first attempt, 8 what a person answered, 9 and 10 the second, which follows 7, 11 the run ends.
fn tried_again() -> Vector {
    let mut scene = Scene::delegated();
    let call = scene.read();
    let first = scene.log.decide(&mut scene.run, &call, "allow");
    let asked = asking(scene.log.finished(&scene.run, &call, scene.log.leaf(first)));
    let asked = scene.log.append(asked);
    let answer = Draft::new(Kind::Observed)
        .run(scene.run.id)
        .cause(scene.log.leaf(first))
        .with("subtype", &json!("human-input"))
        .with("payload", &json!({"how": "elicitation", "mode": "form", "key": "confirm", "action": "accept"}))
        .with("act_id", &json!(evidence::id::text(&call.act_id)));
    scene.log.append(answer);
    let pop = scene.log.pop(&mut scene.run, &call).sign(&scene.run.key);
    let again = scene.log.decided(&scene.run, &call, &pop, "allow").cause(scene.log.leaf(asked));
    let second = scene.log.append(again);
    let done = scene.log.finished(&scene.run, &call, scene.log.leaf(second));
    scene.log.append(done);
    let (log, parts) = scene.close();
    let about = "An act that was tried again: two decisions under one act_id, each with its own outcome and proof, the \
                 second caused by the outcome of the first.";
    verified("act-tried-again", about, &log, &parts.about("action", call.act_id), &[])
}

/// 6 and 7 the first attempt, 8 the second, 9 its outcome, which names the first.
fn of_the_first() -> Vector {
    let mut scene = Scene::delegated();
    let call = scene.read();
    let first = scene.log.decide(&mut scene.run, &call, "allow");
    let asked = asking(scene.log.finished(&scene.run, &call, scene.log.leaf(first)));
    let asked = scene.log.append(asked);
    let pop = scene.log.pop(&mut scene.run, &call).sign(&scene.run.key);
    let again = scene.log.decided(&scene.run, &call, &pop, "allow").cause(scene.log.leaf(asked));
    scene.log.append(again);
    let wrong = scene.log.finished(&scene.run, &call, scene.log.leaf(first));
    scene.log.append(wrong);
    let (log, parts) = scene.close();
    let about = "Two attempts at one act, and the outcome of the second names the decision of the first.";
    failed("outcome-other-attempt", about, &log, &parts, &[at(8, "outcome-open"), at(9, "outcome-duplicate")])
}

/// 6 what the server is, 7 and 8 what it offers and a change of that, 9 another command, 10 many changes, 11 and 12 an
/// act, 13 the configuration of a client, 14 the run ends.
fn definitions() -> Vector {
    let mut scene = Scene::delegated();
    let told = |list: &str, names: Value, complete: bool| {
        let payload =
            json!({"server": "stdio:fs", "list": list, "names": names, "gone": [], "complete": complete});
        Draft::new(Kind::Observed).with("subtype", &json!("definitions")).with("payload", &payload)
    };
    let changed = |what: &str, name: &str| {
        Draft::new(Kind::DefinitionChanged)
            .with("what", &json!(what))
            .with("name", &json!(name))
            .with("server", &json!("stdio:fs"))
    };
    let run = scene.run.id;
    scene.log.append(told("server", json!({"executable": digest("program")}), true).run(run));
    let offers = json!({"read_file": digest("new definition"), "write_file": digest("w")});
    let offered = scene.log.append(told("tool", offers, true).run(run));
    let read = changed("tool", "read_file").with("old", &digest("definition")).with("since", &json!(4));
    let read = read.with("new", &digest("new definition")).cause(scene.log.leaf(offered));
    scene.log.append(read.run(run));
    let command = changed("server-command", "stdio:fs").with("old", &digest("a")).with("since", &json!(4));
    scene.log.append(command.with("new", &digest("b")).cause(scene.log.leaf(4)).run(run));
    let many = changed("definitions", "stdio:fs").with("count", &json!(65)).cause(scene.log.leaf(offered));
    scene.log.append(many.run(run));
    let call = scene.read();
    scene.log.act(&mut scene.run, &call);
    let config = Draft::new(Kind::DefinitionChanged)
        .with("what", &json!("client-config"))
        .with("name", &json!("claude-code:/home/m/.claude.json#fs"))
        .with("old", &digest("wrapped"));
    scene.log.append(config);
    let (log, parts) = scene.close();
    let about = "What a server is and offers, how that differs from what was known, and a client's configuration that \
                 changed.";
    verified("definitions-changed", about, &log, &parts, &[])
}

/// 6 and 7 a long list in parts, 8 the decision that names it, 9 its outcome, 10 and 11 a short list of each, 12 and 13
/// two withdrawals, 14 the run ends.
fn artifacts() -> Vector {
    let mut scene = Scene::delegated();
    let call = scene.read();
    let all: Vec<Value> = (0..257)
        .map(|n| json!({"uri": format!("file:///srv/{n}"), "digest": digest(&n.to_string()), "size": n}))
        .collect();
    for (part, artifacts) in all.chunks(256).enumerate() {
        let payload = json!({"role": "inputs", "part": part, "artifacts": artifacts});
        let part = Draft::new(Kind::Observed)
            .run(scene.run.id)
            .with("subtype", &json!("artifacts"))
            .with("payload", &payload)
            .with("act_id", &json!(evidence::id::text(&call.act_id)));
        scene.log.append(part);
    }
    let list = json!({"count": all.len(), "digest": Digest::of(&canonical::jcs(&json!(all))).to_string()});
    let pop = scene.log.pop(&mut scene.run, &call).sign(&scene.run.key);
    let decided = scene.log.decided(&scene.run, &call, &pop, "allow").with("inputs", &list);
    let decided = scene.log.append(decided);
    let outcome = scene.log.finished(&scene.run, &call, scene.log.leaf(decided));
    scene.log.append(outcome);

    let call = scene.read();
    let read =
        json!([{"uri": "file:///srv/report.txt", "digest": digest("before"), "media_type": "text/plain"}]);
    let wrote = json!([
        {"uri": "file:///srv/report.txt", "digest": digest("after"), "change": "modified", "before": digest("before")},
        {"uri": "file:///srv/old.txt", "change": "deleted", "before": digest("old")},
    ]);
    let pop = scene.log.pop(&mut scene.run, &call).sign(&scene.run.key);
    let frame = json!({"digest": digest("frame"), "position": 1, "count": 2});
    let decided = scene.log.decided(&scene.run, &call, &pop, "allow").with("inputs", &read);
    let decided = scene.log.append(decided.with("batch", &frame));
    let parts = json!({"us": 7, "parts": {"count": 2, "digest": digest("parts")}});
    let outcome = scene.log.finished(&scene.run, &call, scene.log.leaf(decided));
    let outcome = outcome.with("outputs", &wrote).with("duration", &parts);
    scene.log.append(outcome.with("sent_frame_digest", &digest("stripped")));
    for artifact in [json!({"uri": "file:///srv/report.txt"}), json!({"digest": digest("after")})] {
        let withdrawn = Draft::new(Kind::LabelChanged)
            .with("change", &json!("withdrawn"))
            .with("artifact", &artifact)
            .with("why", &json!("poisoned"))
            .with("by", &json!({"kind": "unknown", "iss": scene.log.issuer, "sub": "uid:1000"}))
            .with("assurance", &json!("inferred"));
        scene.log.append(withdrawn);
    }
    let (log, parts) = scene.close();
    let about = "Artifacts before and after acts, in the entries and in parts beside them, and two that were withdrawn.";
    verified("artifacts", about, &log, &parts, &[])
}
