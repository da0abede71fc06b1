//! What the sample MCP servers offer.

use anyhow::Context as _;

use super::effect::Effect;

/// One tool: its name, what it says of itself, its arguments (all texts), what it does.
pub(super) type Tool = (&'static str, &'static str, &'static [&'static str], Effect);

/// A sample server.
pub(super) struct Sample {
    /// What it is called in the stories.
    alias: &'static str,
    /// What it calls itself.
    pub(super) name: &'static str,
    pub(super) tools: &'static [Tool],
}

/// The server of this name.
pub(super) fn named(alias: &str) -> anyhow::Result<&'static Sample> {
    let sample = SAMPLES.iter().find(|sample| sample.alias == alias);
    sample.with_context(|| format!("there is no sample server `{alias}`"))
}

const SAMPLES: &[Sample] = &[
    Sample {
        alias: "edr",
        name: "sample-edr",
        tools: &[
            ("isolate_host", "Cuts a host off the network", &["host"], Effect::Noted),
            ("release_host", "Lets an isolated host back on the network", &["host"], Effect::Noted),
        ],
    },
    Sample {
        alias: "idp",
        name: "sample-idp",
        tools: &[("disable_user", "Disables a user everywhere", &["user"], Effect::Noted)],
    },
    Sample {
        alias: "ticket",
        name: "sample-tickets",
        tools: &[("create", "Creates a ticket", &["title", "run"], Effect::Noted)],
    },
    Sample {
        alias: "crm",
        name: "sample-crm",
        tools: &[
            ("get_ticket", "Shows a support ticket", &["ticket"], Effect::Known("ticket")),
            ("get_customer", "Shows a customer's data", &["ticket"], Effect::Known("ticket")),
        ],
    },
    Sample {
        alias: "kb",
        name: "sample-knowledge-base",
        tools: &[("search", "Searches the knowledge base", &["query"], Effect::Known("query"))],
    },
    Sample {
        alias: "mail",
        name: "sample-mail",
        tools: &[
            ("draft", "Keeps a mail as a draft", &["to", "text"], Effect::Noted),
            ("send", "Sends a mail", &["to", "text"], Effect::Noted),
        ],
    },
    Sample {
        alias: "vault",
        name: "sample-vault",
        tools: &[
            ("rotate_token", "Makes a new token and tells its fingerprint", &["name"], Effect::Rotated),
            ("read_secret", "Shows a secret", &["name"], Effect::Known("name")),
        ],
    },
    Sample {
        alias: "k8s",
        name: "sample-cluster",
        tools: &[("apply", "Applies a manifest", &["path"], Effect::Read)],
    },
    Sample {
        alias: "erp",
        name: "sample-erp",
        tools: &[
            ("get_invoice", "Shows an invoice", &["invoice"], Effect::Known("invoice")),
            ("get_vendor", "Shows a vendor", &["vendor"], Effect::Known("vendor")),
            (
                "approve_exception",
                "Lets an invoice through that does not match its order",
                &["invoice", "vendor", "amount"],
                Effect::Noted,
            ),
        ],
    },
    Sample {
        alias: "bank",
        name: "sample-bank",
        tools: &[("release", "Releases a payment", &["payment", "amount"], Effect::Noted)],
    },
    Sample {
        alias: "warehouse",
        name: "sample-warehouse",
        tools: &[("query", "Asks the warehouse", &["query"], Effect::Known("query"))],
    },
    Sample {
        alias: "files",
        name: "sample-files",
        tools: &[
            ("read", "Reads a file", &["path"], Effect::Read),
            ("write", "Writes a file", &["path", "text"], Effect::Written),
        ],
    },
    Sample {
        alias: "publish",
        name: "sample-publisher",
        tools: &[("report", "Distributes a report", &["path", "to"], Effect::Read)],
    },
];
