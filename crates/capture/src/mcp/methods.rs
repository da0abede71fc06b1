//! Which methods pass, which are decided, and that all others are refused (DESIGN §9, MCP §1 and §5).

/// What is done with a request of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Passed on byte for byte.
    Pass,
    /// Decided first.
    Call,
    /// Refused and recorded.
    Refuse,
}

/// The request whose result holds tool definitions.
pub(crate) const TOOLS_LIST: &str = "tools/list";
/// The request that names the client.
pub(crate) const INITIALIZE: &str = "initialize";
/// The notification that takes a request back.
pub(crate) const CANCELLED: &str = "notifications/cancelled";

/// Routes a request of the client.
pub(crate) fn client_request(method: &str) -> Route {
    match method {
        INITIALIZE
        | "ping"
        | "server/discover"
        | "logging/setLevel"
        | TOOLS_LIST
        | "resources/list"
        | "resources/templates/list"
        | "prompts/list" => Route::Pass,
        "tools/call" => Route::Call,
        _ => Route::Refuse,
    }
}

/// Whether a notification of the client passes.
pub(crate) fn client_notification(method: &str) -> bool {
    matches!(
        method,
        CANCELLED
            | "notifications/initialized"
            | "notifications/progress"
            | "notifications/roots/list_changed"
    )
}

/// Whether a notification of the wrapped server passes.
pub(crate) fn server_notification(method: &str) -> bool {
    matches!(
        method,
        CANCELLED
            | "notifications/progress"
            | "notifications/message"
            | "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed"
            | "notifications/resources/updated"
    )
}

/// Whether a request of the wrapped server passes. Sampling, elicitation and roots do not, until they are decided.
pub(crate) fn server_request(method: &str) -> bool {
    method == "ping"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        for method in
            ["resources/read", "prompts/get", "completion/complete", "tasks/get", "Tools/Call", "tools/call "]
        {
            assert_eq!(client_request(method), Route::Refuse, "{method}");
        }
        assert_eq!(client_request("tools/call"), Route::Call);
        assert!(!client_notification("notifications/x"));
        assert!(!server_notification("notifications/initialized"));
        for method in ["sampling/createMessage", "elicitation/create", "roots/list", "tools/call"] {
            assert!(!server_request(method), "{method}");
        }
    }
}
