//! Steps 1, 2 and 15: the container, the checkpoint, the earlier checkpoint.

use evidence::cbor::Encoder;
use serde_json::{Value, json};
use testkit::{LogBuilder, PartField, Parts, signing_key};
use tlog::checkpoint::Checkpoint;
use tlog::note;

use super::{Scene, Vector, failed, vector, whole};

pub(super) fn vectors() -> Vec<Vector> {
    [unreadable(), digest(), malformed_checkpoints(), checkpoints(), captured_keys(), earlier()]
        .into_iter()
        .flatten()
        .collect()
}

fn unreadable() -> Vec<Vector> {
    let log = LogBuilder::new(super::SEED);
    let parts = log.bundle();
    let one =
        |name, about, bytes| vector(name, about, &log, bytes, "unreadable", &[whole("bundle-malformed")]);
    let sealed = |build: &dyn Fn(&mut Encoder)| {
        let mut out = Encoder::new();
        build(&mut out);
        Parts::seal(out.finish())
    };
    let mut twice = parts.clone();
    twice.items.extend(parts.items.last().cloned());
    let mut backwards = parts.clone();
    backwards.items.reverse();
    let mut padded = parts.content();
    padded.push(0);
    let mut long = parts.clone();
    long.item(1).fields = Some(vec![PartField::Opened([7; 16], vec![b' '; 1_048_577])]);
    // member 0 as a two-byte number
    let mut longer = parts.content();
    longer.splice(2..3, [0x18, 0]);
    vec![
        one("bundle-empty", "No bytes at all.", Vec::new()),
        one("bundle-32-bytes", "A digest of nothing and no content.", Parts::seal(Vec::new())),
        one(
            "bundle-not-a-map",
            "A text string.",
            sealed(&|out| {
                out.text("deeds");
            }),
        ),
        one(
            "bundle-version-1",
            "A container of another version.",
            Parts { version: 1, ..parts.clone() }.encode(),
        ),
        one(
            "bundle-without-entries",
            "Members 0 to 3 alone.",
            sealed(&|out| {
                out.map(4).uint(0).uint(0).uint(1).text(&parts.origin).uint(2).bytes(&parts.log_id);
                out.uint(3).bytes(&parts.checkpoint);
            }),
        ),
        one(
            "bundle-unknown-member",
            "A member 7.",
            sealed(&|out| {
                out.map(6).uint(0).uint(0).uint(1).text(&parts.origin).uint(2).bytes(&parts.log_id);
                out.uint(3).bytes(&parts.checkpoint).uint(4).array(0).uint(7).uint(0);
            }),
        ),
        one(
            "bundle-subject-kind",
            "A subject that is neither an action nor a run.",
            parts.clone().about("task", [7; 16]).encode(),
        ),
        one("bundle-index-twice", "Two items with one index.", twice.encode()),
        one("bundle-index-descending", "Items in the wrong order.", backwards.encode()),
        one("bundle-bytes-after", "A byte after the map.", Parts::seal(padded)),
        one("bundle-longer-number", "A number that is not in its shortest form.", Parts::seal(longer)),
        one("bundle-long-value", "An opened value of 1,048,577 bytes.", long.encode()),
    ]
}

fn digest() -> Vec<Vector> {
    let (scene, call) = Scene::ended();
    let mut altered = scene.log.bundle().about("action", call.act_id).encode();
    let mut cut = LogBuilder::new(super::SEED).bundle().encode();
    cut.truncate(cut.len() - 100);
    if let Some(last) = altered.last_mut() {
        *last ^= 1;
    }
    vec![
        vector(
            "bundle-digest",
            "The digest at the end is another.",
            &scene.log,
            altered,
            "failed",
            &[whole("bundle-digest")],
        ),
        vector(
            "bundle-cut",
            "The end of the file is missing.",
            &scene.log,
            cut,
            "unreadable",
            &[whole("bundle-digest"), whole("bundle-malformed")],
        ),
    ]
}

fn signed(text: &str, log: &LogBuilder) -> Vec<u8> {
    note::sign(text, &log.origin, &log.log_key).unwrap_or_default().into_bytes()
}

fn malformed_checkpoints() -> Vec<Vector> {
    let (scene, _) = Scene::ended();
    let log = &scene.log;
    let with = |checkpoint: Vec<u8>| Parts { checkpoint, ..log.bundle() };
    let one = |name, about, checkpoint: &[u8]| {
        failed(name, about, log, &with(checkpoint.to_vec()), &[whole("checkpoint-malformed")])
    };
    let extended = signed(&format!("{}one line more\n", head(log, &log.origin)), log);
    let elsewhere = head(log, "elsewhere.test/log");
    let root = head(log, &log.origin).lines().last().unwrap_or_default().to_owned();
    let huge = signed(&format!("{}\n{}\n{root}\n", log.origin, 1_u64 << 63), log);
    let nameless = note::sign(&elsewhere, &log.origin, &signing_key("nobody")).unwrap_or_default();
    let earlier = Some((log.checkpoint(3).into_bytes(), log.consistency(3)));
    vec![
        one("checkpoint-extension", "A checkpoint with an extension line.", &extended),
        one(
            "checkpoint-origin",
            "The log's key signed a checkpoint of another log.",
            &signed(&elsewhere, log),
        ),
        one("checkpoint-size", "A checkpoint of 2^63 entries.", &huge),
        one(
            "checkpoint-no-note",
            "Bytes that are no signed note: there is no signature to check.",
            b"no note",
        ),
        failed(
            "checkpoint-malformed-unsigned",
            "A checkpoint of another log, signed under this one's name with another key.",
            log,
            &with(nameless.into_bytes()),
            &[whole("checkpoint-malformed"), whole("checkpoint-signature")],
        ),
        failed(
            "checkpoint-malformed-earlier",
            "A malformed checkpoint extends no earlier one.",
            log,
            &Parts { earlier, ..with(extended) },
            &[whole("checkpoint-malformed"), whole("earlier")],
        ),
    ]
}

/// The text of the log's checkpoint, under an origin.
fn head(log: &LogBuilder, origin: &str) -> String {
    Checkpoint { origin: origin.to_owned(), size: log.size(), root: log.root(log.size()) }.to_text()
}

fn checkpoints() -> Vec<Vector> {
    let (scene, _) = Scene::ended();
    let log = &scene.log;
    let with = |checkpoint: Vec<u8>| Parts { checkpoint, ..log.bundle() };
    let other_key = note::sign(&head(log, &log.origin), &log.origin, &signing_key("nobody"));
    let real = log.checkpoint(log.size());
    let smaller = log.checkpoint(log.size() - 1);
    let (text, _) = real.split_once("\n\n").unwrap_or_default();
    let (_, signature) = smaller.split_once("\n\n").unwrap_or_default();
    let transplanted = format!("{text}\n\n{signature}");
    let signature = [whole("checkpoint-signature")];
    vec![
        failed(
            "checkpoint-other-key",
            "Signed under the log's name with another key.",
            log,
            &with(other_key.unwrap_or_default().into_bytes()),
            &signature,
        ),
        failed(
            "checkpoint-signature",
            "The signature of another checkpoint of the same log.",
            log,
            &with(transplanted.into_bytes()),
            &signature,
        ),
        failed(
            "checkpoint-pinned-other",
            "The key that is pinned for this log is not the one that signed.",
            log,
            &log.bundle(),
            &signature,
        )
        .trusting(vec![super::good::other_key(log)], Vec::new()),
    ]
}

fn captured_keys() -> Vec<Vector> {
    let (scene, _) = Scene::ended();
    let log = &scene.log;
    let recorded = |key: &Value| {
        let mut log = LogBuilder::empty(super::SEED);
        log.append(log.trust_anchors());
        log.append(log.trust_anchors().with("log_key", key));
        log
    };
    let renamed = recorded(&json!(LogBuilder::empty("elsewhere").vkey().to_string()));
    let key = log.vkey();
    let id = note::key_id(&log.origin, 2, &[7; 32]).map(|byte| format!("{byte:02x}")).concat();
    // a signature type that this version does not check
    let other_type =
        recorded(&json!(format!("{}+{id}+AgcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH", key.name())));
    let unknown = recorded(&json!({"unknown": "it was not there"}));
    let hidden = log.bundle_showing(|_, name| name != "log_key");
    let unusable = [whole("log-key-captured"), whole("checkpoint-signature")];
    let one = |name, about, log: &LogBuilder, parts: &Parts, findings: &[super::Expected]| {
        failed(name, about, log, parts, findings).trusting(Vec::new(), Vec::new())
    };
    vec![
        one(
            "log-key-missing",
            "No key is pinned, and the log's own is withheld.",
            log,
            &hidden,
            &[whole("log-key-missing"), super::at(1, "withheld")],
        ),
        failed(
            "log-key-other",
            "A key is pinned, and it is that of another log.",
            log,
            &log.bundle(),
            &[whole("log-key-missing")],
        )
        .trusting(vec![LogBuilder::empty("elsewhere").vkey().to_string()], Vec::new()),
        one(
            "log-key-unknown",
            "No key is pinned, and the log states that it does not know its own.",
            &unknown,
            &unknown.bundle(),
            &[whole("log-key-missing")],
        ),
        one(
            "log-key-unusable",
            "The key that the log recorded is under another name.",
            &renamed,
            &renamed.bundle(),
            &unusable,
        ),
        one(
            "log-key-other-type",
            "The key that the log recorded is not an Ed25519 key.",
            &other_type,
            &other_type.bundle(),
            &unusable,
        ),
    ]
}

fn earlier() -> Vec<Vector> {
    let (scene, _) = Scene::ended();
    let log = &scene.log;
    let with = |note: String, proof| Parts { earlier: Some((note.into_bytes(), proof)), ..log.bundle() };
    let mut forked = log.clone();
    forked.entries.truncate(2);
    forked.activate("forbid(principal, action, resource);");
    let mut unsigned = log.clone();
    unsigned.log_key = signing_key("nobody");
    let error = [whole("earlier")];
    vec![
        failed(
            "earlier-forked",
            "The earlier checkpoint is of another history, signed by the log.",
            log,
            &with(forked.checkpoint(3), log.consistency(3)),
            &error,
        ),
        failed(
            "earlier-unsigned",
            "The earlier checkpoint is not signed by the log.",
            log,
            &with(unsigned.checkpoint(3), log.consistency(3)),
            &error,
        ),
        failed(
            "earlier-proof",
            "The consistency proof is that of another size.",
            log,
            &with(log.checkpoint(3), log.consistency(5)),
            &error,
        ),
    ]
}
