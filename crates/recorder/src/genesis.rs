//! The first two entries of a log: what it keeps for how long, and whom it trusts.

use evidence::Kind;
use serde_json::{Value, json};

use crate::draft::{Fields, Item, Place, Sealer};
use crate::{Names, RecorderError};

/// Entry 0. The hash of this one is the log's id, so the body is sealed with zeros in its place.
pub(crate) fn retention_policy(sealer: &Sealer, names: &Names) -> Result<Item, RecorderError> {
    let fields = Fields::new()
        .text("part", "retention-policy")
        .text("origin", &names.origin)
        .json("retention", &json!({"0": {"name": "standard", "days": null}}))
        .text("format", "0");
    sealer.item(Kind::LogGenesis, Place::LOG, fields)
}

/// Entry 1.
pub(crate) fn trust_anchors(sealer: &Sealer, names: &Names, log_vkey: &str) -> Result<Item, RecorderError> {
    let fields = Fields::new()
        .text("part", "trust-anchors")
        .text("origin", &names.origin)
        .json("log_key", &Value::from(log_vkey))
        .text("issuer", &names.issuer)
        .json("issuer_key", &names.issuer_key.to_json())
        .text("tenant", &names.tenant)
        .unknown("offline_root", "no offline root key was named when this log was made")
        .text("format", "0");
    sealer.item(Kind::LogGenesis, Place::LOG, fields)
}
