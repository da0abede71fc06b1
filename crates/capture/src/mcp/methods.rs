//! Which methods pass, which are decided, and that all others are refused (DESIGN §9, MCP §1 and §5).

use crate::api::Defined;

/// What is done with a request of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Passed on byte for byte.
    Pass,
    /// An act: decided first, unless it is about a task of the same caller.
    Act,
    /// Refused and recorded.
    Refuse,
}

/// The act of calling a tool.
pub(crate) const TOOLS_CALL: &str = "tools/call";
/// The act of reading a resource.
pub(crate) const RESOURCES_READ: &str = "resources/read";
/// The act of getting a prompt.
pub(crate) const PROMPTS_GET: &str = "prompts/get";
/// How a task stands.
pub(crate) const TASKS_GET: &str = "tasks/get";
/// What came of a task (2025-11-25).
pub(crate) const TASKS_RESULT: &str = "tasks/result";
/// Which tasks there are.
pub(crate) const TASKS_LIST: &str = "tasks/list";
/// Answers to what a task asked for.
pub(crate) const TASKS_UPDATE: &str = "tasks/update";
/// The request that names the client.
pub(crate) const INITIALIZE: &str = "initialize";
/// The request that is answered when a subscription ends.
pub(crate) const LISTEN: &str = "subscriptions/listen";
/// The notification that tells how far a request has come.
pub(crate) const PROGRESS: &str = "notifications/progress";
/// The notification that takes a request back.
pub(crate) const CANCELLED: &str = "notifications/cancelled";

/// The notification that tells how a task stands (2025-11-25).
pub(crate) const TASK_STATUS: &str = "notifications/tasks/status";

/// Routes a request of the client.
pub(crate) fn client_request(method: &str) -> Route {
    match method {
        INITIALIZE
        | "ping"
        | "server/discover"
        | "logging/setLevel"
        | "tools/list"
        | "resources/list"
        | "resources/templates/list"
        | "resources/subscribe"
        | "resources/unsubscribe"
        | "prompts/list"
        | LISTEN
        | TASKS_LIST => Route::Pass,
        TOOLS_CALL | RESOURCES_READ | PROMPTS_GET | "completion/complete" => Route::Act,
        method if about_task(method) => Route::Act,
        _ => Route::Refuse,
    }
}

/// What the answer to a request lists.
pub(crate) fn listed(method: &str) -> Option<Defined> {
    match method {
        "tools/list" => Some(Defined::Tool),
        "resources/list" => Some(Defined::Resource),
        "resources/templates/list" => Some(Defined::ResourceTemplate),
        "prompts/list" => Some(Defined::Prompt),
        _ => None,
    }
}

/// Whether a request is about one task that it names.
pub(crate) fn about_task(method: &str) -> bool {
    matches!(method, TASKS_GET | TASKS_RESULT | TASKS_UPDATE | "tasks/cancel")
}

/// Whether a notification of the client passes.
pub(crate) fn client_notification(method: &str) -> bool {
    matches!(
        method,
        CANCELLED | "notifications/initialized" | PROGRESS | "notifications/roots/list_changed" | TASK_STATUS
    )
}

/// What is done with a notification of the wrapped server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerTells {
    /// Passed on.
    Known,
    /// Counted for its act, and passed on.
    Progress,
    /// Takes something back.
    Cancelled,
    /// How a task stands.
    Task,
    /// Not passed on, and recorded.
    Unknown,
}

/// What is done with a request of the wrapped server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerRoute {
    /// Passed on.
    Pass,
    /// An act: decided first.
    Act,
    /// About a task that the client has made of such an act (2025-11-25).
    About,
    /// Refused and recorded.
    Refuse,
}

/// Routes a notification of the wrapped server.
pub(crate) fn server_notification(method: &str) -> ServerTells {
    match method {
        CANCELLED => ServerTells::Cancelled,
        PROGRESS => ServerTells::Progress,
        "notifications/tasks" | TASK_STATUS => ServerTells::Task,
        "notifications/message"
        | "notifications/tools/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/list_changed"
        | "notifications/resources/updated"
        | "notifications/elicitation/complete"
        | "notifications/subscriptions/acknowledged" => ServerTells::Known,
        _ => ServerTells::Unknown,
    }
}

/// Routes a request of the wrapped server.
pub(crate) fn server_request(method: &str) -> ServerRoute {
    match method {
        "ping" => ServerRoute::Pass,
        method if is_asked_by_server(method) => ServerRoute::Act,
        TASKS_GET | TASKS_RESULT | "tasks/cancel" => ServerRoute::About,
        _ => ServerRoute::Refuse,
    }
}

/// Whether it is an act that a server asks of its client, in a request of its own or in `inputRequests`.
pub(crate) fn is_asked_by_server(method: &str) -> bool {
    matches!(method, "sampling/createMessage" | "elicitation/create" | "roots/list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        for method in [
            "Tools/Call",
            "tools/call ",
            "resources/write",
            "tasks/create",
            "roots/list",
            "sampling/createMessage",
        ] {
            assert_eq!(client_request(method), Route::Refuse, "{method}");
        }
        for method in [
            "tools/call",
            "resources/read",
            "prompts/get",
            "completion/complete",
            "tasks/get",
            "tasks/result",
            "tasks/cancel",
            "tasks/update",
        ] {
            assert_eq!(client_request(method), Route::Act, "{method}");
        }
        for method in [
            "initialize",
            "ping",
            "server/discover",
            "logging/setLevel",
            "tools/list",
            "resources/list",
            "resources/templates/list",
            "resources/subscribe",
            "resources/unsubscribe",
            "prompts/list",
            "subscriptions/listen",
            "tasks/list",
        ] {
            assert_eq!(client_request(method), Route::Pass, "{method}");
        }
        assert!(client_notification("notifications/tasks/status"));
        assert!(!client_notification("notifications/x"));
    }

    #[test]
    fn a_server_may_ask_for_little_and_tell_what_is_known() {
        for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
            assert_eq!(server_request(method), ServerRoute::Act, "{method}");
        }
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            assert_eq!(server_request(method), ServerRoute::About, "{method}");
        }
        for method in ["tools/call", "tasks/list", "tasks/update", "Ping", "elicitation/create ", ""] {
            assert_eq!(server_request(method), ServerRoute::Refuse, "{method}");
        }
        assert_eq!(server_request("ping"), ServerRoute::Pass);
        for method in [
            "message",
            "tools/list_changed",
            "prompts/list_changed",
            "resources/list_changed",
            "resources/updated",
            "elicitation/complete",
            "subscriptions/acknowledged",
        ] {
            assert_eq!(
                server_notification(&format!("notifications/{method}")),
                ServerTells::Known,
                "{method}"
            );
        }
        for (method, tells) in [
            ("cancelled", ServerTells::Cancelled),
            ("progress", ServerTells::Progress),
            ("tasks", ServerTells::Task),
            ("tasks/status", ServerTells::Task),
            ("initialized", ServerTells::Unknown),
            ("roots/list_changed", ServerTells::Unknown),
        ] {
            assert_eq!(server_notification(&format!("notifications/{method}")), tells, "{method}");
        }
    }
}
