//! Steps 8, 9, 12 and 14: manifests, keys, policies, the subject.

use evidence::Kind;
use serde_json::json;
use testkit::{Draft, LogBuilder};

use super::{Scene, Vector, at, failed, whole};

pub(super) fn vectors() -> Vec<Vector> {
    [manifests(), late_streams(), side_streams(), keys(), policies(), subjects()]
        .into_iter()
        .flatten()
        .collect()
}

/// Something that was seen in the run of a scene.
fn observed(scene: &Scene) -> Draft {
    Draft::new(Kind::Observed).run(scene.run.id).with("subtype", &json!("frame"))
}

fn manifests() -> Vec<Vector> {
    let (mut two, _) = Scene::acted();
    two.log.append(observed(&two).stream(1));
    two.log.end(&two.run);
    let left_out = two.log.bundle().without(8);
    let (mut miscounted, _) = Scene::acted();
    let last = evidence::digest::hex(&miscounted.log.leaf(7));
    let manifest = miscounted.log.manifest(&miscounted.run);
    miscounted.log.append(manifest.with("streams", &json!([{"stream": 0, "count": 3, "last": last}])));
    let (mut unlisted, _) = Scene::acted();
    let manifest = unlisted.log.manifest(&unlisted.run);
    unlisted.log.append(observed(&unlisted).stream(1));
    unlisted.log.append(manifest);
    let (mut after, _) = Scene::ended();
    after.log.append(observed(&after));
    vec![
        failed(
            "manifest-stream-left-out",
            "The bundle leaves out a whole stream of the run.",
            &two.log,
            &left_out,
            &[at(9, "manifest-mismatch")],
        ),
        failed(
            "manifest-count",
            "The run's end counts one entry too few.",
            &miscounted.log,
            &miscounted.log.bundle(),
            &[at(8, "manifest-mismatch")],
        ),
        failed(
            "manifest-unlisted",
            "The run's end does not name a stream that was there.",
            &unlisted.log,
            &unlisted.log.bundle(),
            &[at(9, "manifest-mismatch")],
        ),
        failed(
            "after-manifest",
            "The run goes on after its end.",
            &after.log,
            &after.log.bundle(),
            &[at(9, "after-manifest")],
        ),
    ]
}

fn late_streams() -> Vec<Vector> {
    let (mut late, _) = Scene::ended();
    late.log.append(observed(&late).stream(1));
    let leaf = evidence::digest::hex(&late.log.leaf(9));
    let closing = |count: u64| {
        let streams = json!([{"stream": 1, "count": count, "last": leaf}]);
        late.log.manifest(&late.run).stream(1).with("streams", &streams)
    };
    let with = |drafts: Vec<Draft>| {
        let mut log = late.log.clone();
        for draft in drafts {
            log.append(draft);
        }
        log
    };
    let miscounted_late = with(vec![closing(2)]);
    let all_streams = with(vec![late.log.manifest(&late.run).stream(1)]);
    let after_late = with(vec![closing(1), observed(&late).stream(1)]);
    vec![
        failed(
            "late-manifest-count",
            "The end of a late stream counts an entry too many.",
            &miscounted_late,
            &miscounted_late.bundle(),
            &[at(10, "manifest-mismatch")],
        ),
        failed(
            "late-manifest-all",
            "The end of a late stream lists the run's other stream too.",
            &all_streams,
            &all_streams.bundle(),
            &[at(10, "manifest-mismatch")],
        ),
        failed(
            "after-late-manifest",
            "A late stream goes on after its end.",
            &after_late,
            &after_late.bundle(),
            &[at(11, "after-manifest")],
        ),
    ]
}

/// Streams that end before the run does.
fn side_streams() -> Vec<Vector> {
    let (mut side, _) = Scene::acted();
    side.log.append(observed(&side).stream(1));
    let leaf = evidence::digest::hex(&side.log.leaf(8));
    let closed = |count: u64| {
        let mut side = side.clone();
        let streams = json!([{"stream": 1, "count": count, "last": leaf}]);
        side.log.append(side.log.manifest(&side.run).stream(1).with("streams", &streams));
        side
    };
    let (miscounted, miscounted_parts) = closed(2).close();
    let mut goes_on = closed(1);
    goes_on.log.append(observed(&goes_on).stream(1));
    let open = goes_on.log.clone();
    let (goes_on, goes_on_parts) = goes_on.close();
    vec![
        failed(
            "stream-manifest-count",
            "A stream ends before the run does, and its end counts an entry too many.",
            &miscounted,
            &miscounted_parts,
            &[at(9, "manifest-mismatch")],
        ),
        failed(
            "after-stream-manifest",
            "A stream goes on after its end, and the run's end counts all of it.",
            &goes_on,
            &goes_on_parts,
            &[at(10, "after-manifest")],
        ),
        failed(
            "after-stream-manifest-open",
            "A stream goes on after its end while the run is open.",
            &open,
            &open.bundle(),
            &[at(7, "open-run"), at(10, "after-manifest")],
        ),
    ]
}

fn keys() -> Vec<Vector> {
    let mut log = LogBuilder::new(super::SEED);
    let (alice, bob) = (log.person("alice"), log.person("bob"));
    let other = json!(bob.principal.key);
    log.append(log.key_change("principal-registered", &alice).with("thumbprint", &other));
    vec![failed(
        "key-thumbprint",
        "The thumbprint recorded for a key is another key's.",
        &log,
        &log.bundle(),
        &[at(2, "key-thumbprint")],
    )]
}

fn policies() -> Vec<Vector> {
    let log = LogBuilder::new(super::SEED);
    let activation = log.policy_activation(super::POLICY);
    let with_files = |files| {
        let mut log = log.clone();
        log.append(activation.clone().with("files", &files));
        log
    };
    let text = "permit(principal, action, resource);";
    let sha256 = evidence::Digest::of(super::POLICY.as_bytes()).hex();
    let altered = with_files(json!([{"path": "policy.cedar", "sha256": sha256, "text": text}]));
    let renamed = with_files(json!([{"path": "other.cedar", "sha256": sha256, "text": super::POLICY}]));
    let listed = |paths: [&str; 2]| {
        let file = |path| json!({"path": path, "sha256": sha256, "text": super::POLICY});
        let files = json!(paths.map(file));
        let digest = testkit::policy_digest(&files);
        let mut log = log.clone();
        log.append(activation.clone().with("files", &files).with("policy_digest", &json!(digest)));
        log
    };
    let unsorted = listed(["b.cedar", "a.cedar"]);
    let twice = listed(["a.cedar", "a.cedar"]);
    vec![
        failed(
            "policy-text",
            "The text of a policy file is not that of its digest.",
            &altered,
            &altered.bundle(),
            &[at(2, "policy-digest")],
        ),
        failed(
            "policy-renamed",
            "The policy digest is over another file name.",
            &renamed,
            &renamed.bundle(),
            &[at(2, "policy-digest")],
        ),
        failed(
            "policy-unsorted",
            "Policy files that are not in the order of their paths.",
            &unsorted,
            &unsorted.bundle(),
            &[at(2, "policy-digest")],
        ),
        failed(
            "policy-path-twice",
            "A policy with two files of one path.",
            &twice,
            &twice.bundle(),
            &[at(2, "policy-digest")],
        ),
    ]
}

fn subjects() -> Vec<Vector> {
    let (scene, _) = Scene::ended();
    let log = &scene.log;
    let error = [whole("subject")];
    vec![
        failed(
            "subject-action",
            "The bundle says it is about an act that it does not hold.",
            log,
            &log.bundle().about("action", [7; 16]),
            &error,
        ),
        failed(
            "subject-run",
            "The bundle says it is about a run that it does not hold.",
            log,
            &log.bundle().about("run", [7; 16]),
            &error,
        ),
    ]
}
