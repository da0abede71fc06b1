//! Steps 3 to 7: entries, inclusion, chains, fields, causes.

use evidence::Kind;
use serde_json::json;
use testkit::{Draft, LogBuilder, PartField};

use super::{Scene, Vector, at, failed, whole};

pub(super) fn vectors() -> Vec<Vector> {
    [inclusion(), entries(), chains(), fields(), vec![cause_order()]].into_iter().flatten().collect()
}

/// A log with three gaps at 2, 3 and 4.
fn gaps() -> LogBuilder {
    let mut log = LogBuilder::new(super::SEED);
    for count in 0..3 {
        log.append(Draft::new(Kind::Gap).with("reason", &json!("busy")).with("count", &json!(count)));
    }
    log
}

fn inclusion() -> Vec<Vector> {
    let log = gaps();
    let mut altered = log.bundle();
    if let Some(hash) = altered.item(3).path.last_mut() {
        hash[0] ^= 1;
    }
    let mut longer = log.bundle();
    longer.item(4).path.push([0; 32]);
    let mut beyond = log.clone();
    beyond.append(Draft::new(Kind::Gap).with("reason", &json!("busy")));
    let mut outside = log.bundle();
    outside.items.extend(beyond.bundle().items.last().cloned());
    let mut renamed = LogBuilder::new(super::SEED).bundle();
    renamed.log_id[0] ^= 1;
    vec![
        failed(
            "inclusion-path",
            "A hash of an inclusion path is altered.",
            &log,
            &altered,
            &[at(3, "inclusion")],
        ),
        failed(
            "inclusion-longer",
            "An inclusion path goes on beyond the root.",
            &log,
            &longer,
            &[at(4, "inclusion")],
        ),
        failed(
            "inclusion-beyond",
            "An entry that the log took in after the checkpoint.",
            &log,
            &outside,
            &[at(5, "inclusion")],
        ),
        failed(
            "log-id",
            "The bundle names its log by another hash than that of entry 0.",
            &log,
            &renamed,
            &[whole("log-id")],
        ),
    ]
}

fn entries() -> Vec<Vector> {
    let malformed = |bytes: &dyn Fn(&mut LogBuilder) -> Vec<u8>| {
        let mut log = gaps();
        let bytes = bytes(&mut log);
        log.push_bytes(&bytes);
        log
    };
    let garbage = malformed(&|_| b"not an entry".to_vec());
    let trailing = malformed(&|log| [log.prepare(Draft::new(Kind::Gap)).bytes, vec![0]].concat());
    let long = malformed(&|log| {
        let mut bytes = log.prepare(Draft::new(Kind::Gap)).bytes;
        bytes.resize(1_025, 0);
        bytes
    });
    vec![
        failed(
            "entry-garbage",
            "A leaf that is no entry.",
            &garbage,
            &garbage.bundle(),
            &[at(5, "entry-malformed")],
        ),
        failed(
            "entry-trailing",
            "An entry with a byte too many.",
            &trailing,
            &trailing.bundle(),
            &[at(5, "entry-malformed")],
        ),
        failed(
            "entry-too-long",
            "An entry of 1,025 bytes.",
            &long,
            &long.bundle(),
            &[at(5, "entry-malformed")],
        ),
    ]
}

fn chains() -> Vec<Vector> {
    let log = gaps();
    let mut broken = LogBuilder::new(super::SEED);
    let first = broken.prepare(Draft::new(Kind::Gap));
    broken.push(first.changed(|entry| entry.prev = [9; 32]));
    broken.append(Draft::new(Kind::Gap));
    let mut jumped = LogBuilder::new(super::SEED);
    let first = jumped.prepare(Draft::new(Kind::Gap));
    jumped.push(first.changed(|entry| entry.seq += 1));
    jumped.append(Draft::new(Kind::Gap));
    let mut rootless = Scene::new();
    let start = Draft::new(Kind::RunStarted).run(rootless.run.id);
    let start = rootless.log.prepare(start).changed(|entry| entry.prev = [0; 32]);
    rootless.log.push(start);
    vec![
        failed(
            "chain-hole",
            "An entry of the log-level chain is left out.",
            &log,
            &log.bundle().without(3),
            &[at(4, "chain-hole")],
        ),
        failed(
            "chain-jump",
            "The log wrote a sequence number too many.",
            &jumped,
            &jumped.bundle(),
            &[at(2, "chain-hole")],
        ),
        failed(
            "chain-prev",
            "An entry follows another one than its predecessor.",
            &broken,
            &broken.bundle(),
            &[at(2, "chain-prev")],
        ),
        failed(
            "chain-first",
            "The first entry of a run does not follow the log's id.",
            &rootless.log,
            &rootless.log.bundle(),
            &[at(4, "chain-prev"), at(4, "open-run")],
        ),
    ]
}

fn fields() -> Vec<Vector> {
    let log = gaps();
    let opened = |index: u64, change: &dyn Fn(&mut Vec<PartField>)| {
        let mut parts = log.bundle();
        if let Some(fields) = &mut parts.item(index).fields {
            change(fields);
        }
        parts
    };
    let fewer = opened(3, &|fields| drop(fields.pop()));
    let altered = opened(3, &|fields| {
        if let Some(PartField::Opened(_, value)) = fields.first_mut() {
            *value = b"\"idle\"".to_vec();
        }
    });
    let swapped = opened(3, &|fields| fields.reverse());
    let mut duplicate = LogBuilder::new(super::SEED);
    duplicate.append(Draft::new(Kind::Gap).raw("detail", r#"{"a":1,"a":2}"#));
    let mut surrogate = LogBuilder::new(super::SEED);
    surrogate.append(Draft::new(Kind::Gap).raw("detail", r#""\ud800""#));
    let mut deep = LogBuilder::new(super::SEED);
    deep.append(Draft::new(Kind::Gap).raw("detail", &format!("{}{}", "[".repeat(65), "]".repeat(65))));
    let not_json = [at(2, "field-json"), at(2, "withheld")];
    vec![
        failed(
            "fields-malformed",
            "A field is left out instead of withheld.",
            &log,
            &fewer,
            &[at(3, "fields-malformed"), at(3, "withheld")],
        ),
        failed(
            "fields-root",
            "The value of a field is altered.",
            &log,
            &altered,
            &[at(3, "fields-root"), at(3, "withheld")],
        ),
        failed(
            "fields-swapped",
            "Two fields stand in each other's place.",
            &log,
            &swapped,
            &[at(3, "fields-root"), at(3, "withheld")],
        ),
        failed(
            "field-duplicate-name",
            "A value that two parsers read differently.",
            &duplicate,
            &duplicate.bundle(),
            &not_json,
        ),
        failed(
            "field-lone-surrogate",
            "A value that is not Unicode.",
            &surrogate,
            &surrogate.bundle(),
            &not_json,
        ),
        failed("field-deep", "A value nested 65 deep.", &deep, &deep.bundle(), &not_json),
    ]
}

fn cause_order() -> Vector {
    let mut scene = Scene::started();
    let observed =
        |scene: &Scene| Draft::new(Kind::Observed).run(scene.run.id).with("subtype", &json!("frame"));
    let later = scene.log.prepare(observed(&scene).stream(1));
    let earlier = observed(&scene).cause(later.leaf);
    scene.log.append(earlier);
    scene.log.push(later);
    let (log, parts) = scene.close();
    failed(
        "cause-order",
        "An entry is caused by one that comes after it.",
        &log,
        &parts,
        &[at(5, "cause-order")],
    )
}
