//! Step 13: outcomes that do not belong to one allowed act.

use evidence::Kind;
use serde_json::json;
use testkit::Draft;

use super::{Scene, Vector, at, failed};

pub(super) fn vectors() -> Vec<Vector> {
    [unbound(), contradictions()].into_iter().flatten().collect()
}

fn unbound() -> Vec<Vector> {
    // 6 is observed, 7 the outcome that names it
    let mut observed = Scene::delegated();
    let call = observed.read();
    let frame = Draft::new(Kind::Observed).run(observed.run.id).with("subtype", &json!("frame"));
    let frame = observed.log.append(frame);
    let outcome = observed.log.finished(&observed.run, &call, observed.log.leaf(frame));
    observed.log.append(outcome);
    let (observed, observed_parts) = observed.close();
    // 7 has no cause, and the decision at 6 therefore no outcome
    let mut causeless = Scene::delegated();
    let call = causeless.read();
    causeless.log.decide(&mut causeless.run, &call, "allow");
    let mut outcome = causeless.log.finished(&causeless.run, &call, [0; 32]);
    outcome.causes.clear();
    causeless.log.append(outcome);
    let (causeless, causeless_parts) = causeless.close();
    // 7 names the decision and the delegation
    let mut double = Scene::delegated();
    let call = double.read();
    let decision = double.log.decide(&mut double.run, &call, "allow");
    let outcome =
        double.log.finished(&double.run, &call, double.log.leaf(decision)).cause(double.log.leaf(5));
    double.log.append(outcome);
    let (double, double_parts) = double.close();
    // 7 names the decision and another act
    let mut other = Scene::delegated();
    let (call, second) = (other.read(), other.read());
    let decision = other.log.decide(&mut other.run, &call, "allow");
    let outcome = other.log.finished(&other.run, &second, other.log.leaf(decision));
    other.log.append(outcome);
    let (other, other_parts) = other.close();
    vec![
        failed(
            "outcome-of-observation",
            "The outcome names an entry that is no decision.",
            &observed,
            &observed_parts,
            &[at(7, "outcome-unbound")],
        ),
        failed(
            "outcome-without-cause",
            "The outcome names no decision.",
            &causeless,
            &causeless_parts,
            &[at(6, "outcome-open"), at(7, "outcome-unbound")],
        ),
        failed(
            "outcome-two-causes",
            "The outcome names two entries.",
            &double,
            &double_parts,
            &[at(7, "outcome-unbound")],
        ),
        failed(
            "outcome-other-act",
            "The outcome is of another act than its decision.",
            &other,
            &other_parts,
            &[at(7, "outcome-unbound")],
        ),
    ]
}

fn contradictions() -> Vec<Vector> {
    let mut refused = Scene::delegated();
    let call = refused.read();
    let decision = refused.log.decide(&mut refused.run, &call, "deny");
    let outcome = refused.log.finished(&refused.run, &call, refused.log.leaf(decision));
    refused.log.append(outcome);
    let (refused, refused_parts) = refused.close();
    let (mut twice, call) = Scene::acted();
    let outcome = twice.log.finished(&twice.run, &call, twice.log.leaf(6));
    twice.log.append(outcome);
    let (twice, twice_parts) = twice.close();
    let mut altered = Scene::delegated();
    let call = altered.read();
    let decision = altered.log.decide(&mut altered.run, &call, "allow");
    let outcome = altered.log.finished(&altered.run, &call, altered.log.leaf(decision));
    altered.log.append(outcome.raw("result", r#"{"content": []}"#));
    let (altered, altered_parts) = altered.close();
    vec![
        failed(
            "outcome-of-refusal",
            "An act that was refused has an outcome.",
            &refused,
            &refused_parts,
            &[at(7, "outcome-of-refusal")],
        ),
        failed(
            "outcome-duplicate",
            "One act with two outcomes.",
            &twice,
            &twice_parts,
            &[at(8, "outcome-duplicate")],
        ),
        failed(
            "result-digest",
            "The result is not, byte for byte, that of its digest.",
            &altered,
            &altered_parts,
            &[at(7, "result-digest")],
        ),
    ]
}
