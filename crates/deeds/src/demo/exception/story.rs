//! What story 3 says: who is who, the invoice, the calls, and the lines that later mechanisms will play.

use serde_json::{Value, json};

use crate::demo::player::agent::Call;
use crate::demo::{NotYet, Script};

/// What is there before anything happens.
pub(super) const SCRIPT: Script = Script {
    opening: "\
An invoice does not match its order, and somebody has to let it through or not. Sofia, in accounts payable, \
starts the workflow ap-exceptions; the work is done by exception-bot, a service account that used to share an \
API key with half the department and now has a key of its own. Money leaves only when two other people have said \
yes. Everything below is real: separate processes, signed objects, a synced log; only the tools are samples.",
    files: &[
        ("policy/exception.cedar", include_str!("files/exception.cedar")),
        ("policy/classes.toml", include_str!("files/classes.toml")),
        ("erp.json", include_str!("files/erp.json")),
    ],
};

/// The person who starts it.
const PERSON: &str = "sofia";
/// The workflow.
pub(super) const WORKFLOW: &str = "ap-exceptions";
/// The service account.
pub(super) const BOT: &str = "exception-bot";
/// Who is registered, and as what.
pub(super) const REGISTERED: [(&str, &str); 3] = [(PERSON, "human"), ("karim", "human"), ("ines", "human")];
/// Who they are.
pub(super) const WHO: &str = "\
Three keys are registered: Sofia's, who starts it, and those of Karim and Ines, who will approve payments.";
/// The policy that keeps payments back.
pub(super) const APPROVAL_POLICY: &str = "release-needs-four-eyes";
/// Why the key is revoked.
pub(super) const WHY: &str = "the key of svc-fin-07 was found in an old script";

pub(super) const GIVEN_SAYS: &str = "\
Sofia signs a delegation to a key of the workflow: look at invoices and vendors, let exceptions through up to \
10000.00 EUR for two vendors, release payments up to that amount; eight hours, one link below it.";
/// The tools of the delegation, as they are typed.
pub(super) const GIVEN: [&str; 22] = [
    "--tool",
    "stdio:erp#get_invoice",
    "--arg",
    "invoice=*",
    "--tool",
    "stdio:erp#get_vendor",
    "--arg",
    "vendor=*",
    "--tool",
    "stdio:erp#approve_exception",
    "--arg",
    "invoice=*",
    "--arg",
    "vendor=one_of:V-100,V-200",
    "--arg",
    "amount=decimal_range:0.01..10000.00",
    "--tool",
    "stdio:bank#release",
    "--arg",
    "payment=*",
    "--arg",
    "amount=decimal_range:0.01..10000.00",
];
/// What the workflow hands over: all of it.
pub(super) const HANDED_OVER: [&str; 6] = ["--agent", BOT, "--kind", "service", "-o", "bot.delegation"];

pub(super) const WORK_SAYS: &str = "\
The workflow passes its delegation on to a key that exception-bot alone has. The bot looks at the invoice and \
its vendor, and lets 9800.00 EUR through.";
pub(super) const REFUSED_SAYS: &str = "\
Another invoice is over 12000.00 EUR, a third is from a vendor that nobody put on the list. And the payment \
itself waits for two people.";
pub(super) const AUTHORITY_SAYS: &str =
    "The person, the workflow, the service account and its key, link by link:";
pub(super) const REVOKED_SAYS: &str = "\
Next morning the key turns up in an old script, where it may have been read since yesterday. Sofia revokes it as \
of a day ago. What it was allowed to do since then stays in the log as it was, and is in doubt from now on.";

/// What later mechanisms will play.
pub(super) const NOT_YET: [NotYet; 6] = [
    NotYet {
        line: "Karim and Ines approve the same digest, and the payment is released once",
        comes_with: "approvals",
    },
    NotYet {
        line: "the amount edited after the first approval makes the approval void",
        comes_with: "approvals",
    },
    NotYet { line: "Sofia, who started it, cannot be one of the four eyes", comes_with: "approvals" },
    NotYet { line: "the same approval used twice at once: exactly one wins", comes_with: "approvals" },
    NotYet { line: "a budget of 50000.00 EUR a day is exhausted, and named", comes_with: "budgets" },
    NotYet { line: "whether it would still be allowed under today's policy", comes_with: "replay" },
];

fn call(part: &str, server: &str, tool: &str, args: Value) -> Call {
    let [part, server, tool] = [part, server, tool].map(str::to_owned);
    Call { part, server, tool, args, run_as: None }
}

/// What the service account does.
pub(super) fn calls() -> Vec<Call> {
    let exception = |part, invoice, vendor, amount| {
        call(
            part,
            "erp",
            "approve_exception",
            json!({"invoice": invoice, "vendor": vendor, "amount": amount}),
        )
    };
    vec![
        call("look", "erp", "get_invoice", json!({"invoice": "I-2026-118"})),
        call("look", "erp", "get_vendor", json!({"vendor": "V-100"})),
        exception("exception", "I-2026-118", "V-100", "9800.00"),
        exception("amount", "I-2026-119", "V-200", "12000.00"),
        exception("vendor", "I-2026-120", "V-666", "80.00"),
        call("release", "bank", "release", json!({"payment": "P-2026-118", "amount": "9800.00"})),
    ]
}

/// Whether the chain is the one of the story.
pub(super) fn leads(answer: &Value) -> bool {
    let links = answer.get("chain").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let holder = |link: &Value| link.pointer("/holder/value/id").and_then(Value::as_str).map(str::to_owned);
    let [root, leaf] = links else { return false };
    root.pointer("/delegator/value/sub").and_then(Value::as_str) == Some(PERSON)
        && holder(root).as_deref() == Some(WORKFLOW)
        && holder(leaf).as_deref() == Some(BOT)
}
