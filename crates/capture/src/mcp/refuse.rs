//! Refusing an act: a tool call with a result, so that the model reads the reason; any other with an error.

use super::call::About;
use super::frame::{Frame, Id, Message};
use super::meta::is_modern_request;
use super::methods;
use super::presented::Unfit;
use super::proxy::Proxy;
use super::record::{Seen, Side};
use super::reply;
use crate::api::{Denied, Reason};
use crate::run::ask::NoAnswer;
use crate::run::gap::Missed;

impl Proxy {
    /// Answers an act that is not done; silent where it was cancelled.
    pub(super) async fn refuse_act(&self, id: &Id, operation: &str, modern: bool, code: i64, text: &str) {
        let reply_due = self.open().refused(id);
        if !reply_due {
            return;
        }
        self.send_client(refusal_of(id, operation, modern, code, text)).await;
    }

    /// Refuses an act as it was decided.
    pub(super) async fn refuse_denied(&self, id: &Id, about: &About, denied: &Denied, hint: Option<&str>) {
        let text = refusal(denied, hint);
        self.refuse_act(id, &about.operation, about.modern, reply::REFUSED, &text).await;
    }

    pub(super) async fn refuse_unreadable(&self, id: &Id, frame: &Frame, why: &str) {
        let text = format!("deeds refused this call: {why}");
        self.refuse_recorded(id, frame, why, &text, reply::REFUSED).await;
    }

    pub(super) async fn refuse_unfit(&self, id: &Id, frame: &Frame, unfit: &Unfit) {
        let why = format!("the delegation of the call is not accepted (step {}): {}", unfit.step, unfit.why);
        let text = format!("deeds refused this call: {why}");
        self.refuse_recorded(id, frame, &why, &text, reply::REFUSED).await;
    }

    /// Refuses an act that reached no decision, and says where that is recorded.
    async fn refuse_recorded(&self, id: &Id, frame: &Frame, why: &str, text: &str, code: i64) {
        let method = method_of(frame);
        let recorded = self.record(&Seen::of(Side::Client, why, frame).method(method)).await;
        let text = format!("{text}. {recorded}");
        self.refuse_act(id, method, is_modern_request(frame), code, &text).await;
    }

    /// Refuses an act with which the client answers something that could not be recorded.
    pub(super) async fn refuse_untaken(&self, id: &Id, why: &str, frame: &Frame) {
        self.run.miss(Missed::Refused, Some(&frame.digest()));
        let text = format!(
            "deeds refused this call, because what it answers could not be recorded: {why}. It will be counted in a \
             gap; see `deeds did`."
        );
        self.refuse_act(id, method_of(frame), is_modern_request(frame), reply::UNAVAILABLE, &text).await;
    }

    /// Refuses an act for which no decision could be had.
    pub(super) async fn refuse_undecided(&self, id: &Id, none: &NoAnswer, frame: &Frame) {
        let text = format!("deeds refused this call, because no decision could be recorded: {none}");
        if none.is_ours() {
            return self.refuse_recorded(id, frame, &none.to_string(), &text, reply::UNAVAILABLE).await;
        }
        let recorded = if none.is_in_doubt() {
            "If the server did decide, the decision will be recorded as not forwarded; see `deeds did`."
        } else {
            self.run.miss(Missed::Refused, Some(&frame.digest()));
            "It will be counted in a gap; see `deeds did`."
        };
        let text = format!("{text}. {recorded}");
        self.refuse_act(id, method_of(frame), is_modern_request(frame), reply::UNAVAILABLE, &text).await;
    }
}

fn method_of(frame: &Frame) -> &str {
    match frame.message() {
        Message::Request { method, .. } => method,
        _ => "",
    }
}

/// The answer to an act that is refused.
pub(super) fn refusal_of(id: &Id, operation: &str, modern: bool, code: i64, text: &str) -> Vec<u8> {
    if operation == methods::TOOLS_CALL {
        reply::refused_call(id, text, modern)
    } else {
        reply::error(Some(id), code, text)
    }
}

/// The words for a decision that says no.
pub(super) fn refusal(denied: &Denied, hint: Option<&str>) -> String {
    let text = denied.reason.text.trim_end_matches('.');
    let hint = hint.map(|hint| format!("{hint}. ")).unwrap_or_default();
    format!(
        "deeds: this call was {}: {text}. {hint}{}",
        refused_by(&denied.reason),
        reply::decided_at(denied.index)
    )
}

/// Who says no, in words that need no knowledge of the code.
pub(super) fn refused_by(reason: &Reason) -> String {
    match (reason.code.as_str(), reason.step.as_str()) {
        (_, "policy") => "refused by policy".into(),
        ("delegation", step) => format!("refused by the delegation (step {step})"),
        (code, _) => format!("refused ({code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn only_tool_calls_are_refused_with_a_result() {
        let refused = |operation: &str| {
            let bytes = refusal_of(&Id::Number(1), operation, false, reply::REFUSED, "no");
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        };
        assert_eq!(refused("tools/call")["result"]["isError"], true);
        assert_eq!(refused("resources/read")["error"]["code"], reply::REFUSED);
    }
}
