//! The words of a refusal, and how much of a result is kept.

use super::*;
use crate::api::Reason;

#[test]
fn long_results_are_known_by_digest_and_size() {
    let body = "x".repeat(RESULT_TEXT_MAX + 1);
    assert_eq!(kept_text(&body, true), None);
    assert_eq!(kept_text(&body[1..], true).map(|text| text.len()), Some(RESULT_TEXT_MAX));
    assert_eq!(kept_text("x", false), None);
}

#[test]
fn a_refusal_names_reason_index_and_next_step() {
    let reason = |code: &str, step: &str| Reason {
        code: code.into(),
        step: step.into(),
        text: "`x` is outside.".into(),
    };
    let denied = Denied { index: Some(123), reason: reason("delegation", "scope"), receipt: None };
    assert_eq!(
        refusal(&denied, None),
        "deeds: this call was refused by the delegation (step scope): `x` is outside. \
         Recorded as @123; see `deeds authority @123`."
    );
    assert_eq!(
        refusal(&Denied { index: None, reason: reason("forbidden", "policy"), receipt: None }, None),
        "deeds: this call was refused by policy: `x` is outside. \
         Refusals of this source are being counted, not recorded one by one; see `deeds did`."
    );
    let replayed = refused_by(&reason("proof-replayed", "pop-replayed"));
    assert_eq!(replayed, "refused (proof-replayed)");
}
