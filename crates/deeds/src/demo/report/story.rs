//! What story 5 says: who is who, the datasets, the steps, and the lines that later mechanisms will play.

use serde_json::{Value, json};

use crate::demo::player::agent::Call;
use crate::demo::{NotYet, Script};

/// What is there before anything happens.
pub(super) const SCRIPT: Script = Script {
    opening: "\
Every month a schedule, monthly-risk, has a risk report written. Amara owns it: she signed a mandate, and is not \
there when it runs. An AI agent, report-agent, has one sub-agent read two datasets and another write the report; \
a script cleans the data in between. Later one of the datasets turns out to be wrong. Everything below is real: \
separate processes, signed objects, a synced log, files on disk; only the tools are samples.",
    files: &[
        ("policy/report.cedar", include_str!("files/report.cedar")),
        ("policy/classes.toml", include_str!("files/classes.toml")),
        ("warehouse.json", include_str!("files/warehouse.json")),
        ("datasets/sales-2026-10.csv", include_str!("files/sales-2026-10.csv")),
        ("datasets/incidents-2026-10.csv", include_str!("files/incidents-2026-10.csv")),
        ("clean.sh", include_str!("files/clean.sh")),
        ("correct.sh", include_str!("files/correct.sh")),
        ("clean/README", "What clean.sh makes of datasets/.\n"),
        ("reports/README", "Reports, as they were published.\n"),
    ],
};

/// The person who owns it.
pub(super) const PERSON: &str = "amara";
/// The schedule.
pub(super) const SCHEDULE: &str = "monthly-risk";
/// The agent.
pub(super) const AGENT: &str = "report-agent";
/// The sub-agent that reads.
pub(super) const LOADER: &str = "loader";
/// The sub-agent that writes.
pub(super) const WRITER: &str = "writer";
/// Who is registered, and as what.
pub(super) const REGISTERED: [(&str, &str); 2] = [(PERSON, "human"), (SCHEDULE, "service")];
/// Who they are.
pub(super) const WHO: &str = "\
Two keys are registered: Amara's, and that of the schedule, which may act under her mandate.";
/// The dataset that turns out to be wrong.
pub(super) const WRONG: &str = "datasets/incidents-2026-10.csv";
/// The report.
pub(super) const REPORT: &str = "reports/risk-2026-10.txt";
/// What the script makes.
pub(super) const CLEANED: &str = "clean/risk-2026-10.csv";
/// The tool URI of the script that cleans.
pub(super) const CLEAN: &str = "run:clean#command/run";
/// Why the dataset is withdrawn.
pub(super) const WHY: &str = "the incidents of 12 October were counted twice";

pub(super) const MANDATE_SAYS: &str = "\
Amara says what may be done while she is not there: read the two datasets and what comes of them, clean them, \
write under reports/, ask the warehouse, publish to the board. The schedule may get delegations of an hour under \
it, and hand them on over two links.";
/// The tools of the mandate, as they are typed.
pub(super) const GIVEN: [&str; 26] = [
    "--tool",
    "stdio:files#read",
    "--arg",
    "path=*",
    "--tool",
    "stdio:files#write",
    "--arg",
    "path=prefix:reports/",
    "--arg",
    "text=*",
    "--tool",
    "stdio:warehouse#query",
    "--arg",
    "query=*",
    "--tool",
    CLEAN,
    "--tool",
    "stdio:publish#report",
    "--arg",
    "path=prefix:reports/",
    "--arg",
    "to=board@acme.example",
    "--purpose",
    "monthly risk report",
    "--ttl",
    "30d",
];
/// What the loader is given.
pub(super) const LOADER_GIVEN: [&str; 4] = [
    "--tool",
    "stdio:files#read",
    "--arg",
    "path=one_of:datasets/sales-2026-10.csv,datasets/incidents-2026-10.csv",
];
/// What the writer is given.
pub(super) const WRITER_GIVEN: [&str; 10] = [
    "--tool",
    "stdio:files#read",
    "--arg",
    "path=prefix:clean/",
    "--tool",
    "stdio:files#write",
    "--arg",
    "path=prefix:reports/",
    "--arg",
    "text=*",
];

pub(super) const WORK_SAYS: &str = "\
loader may read two files and nothing else; writer may read what was cleaned and write under reports/. `deeds \
run` takes the digests of what the script read and wrote, and `deeds wrap --files` those of the files that the \
tools were asked for.";
pub(super) const REFUSED_SAYS: &str = "\
The writer also tried to ask the warehouse itself. Its parent may; it may not.";
pub(super) const LINEAGE_SAYS: &str = "\
From the report that was distributed back to its sources, hop by hop: the act that wrote it, what the same run \
had read, the act that made that, and the datasets with the digests that they had then.";
pub(super) const WITHDRAWN_SAYS: &str = "\
In November the incidents turn out to be wrong. Amara withdraws the bytes that the report was made of, and has \
the file corrected. What was published stays as it was; from now on every answer about it says that a source was \
withdrawn, and that the file has other bytes today.";

/// At the end.
pub(super) const NOT_YET: [NotYet; 6] = [
    NotYet { line: "publishing waits for Amara's own confirmation", comes_with: "approvals" },
    NotYet {
        line: "the model and the prompt template are recorded with the report",
        comes_with: "capture from agents",
    },
    NotYet {
        line: "which published reports must be recalled, in one question",
        comes_with: "lineage over several hops",
    },
    NotYet {
        line: "a dataset replaced between read and publish holds the publication back",
        comes_with: "approvals",
    },
    NotYet {
        line: "another team is shown the report's evidence without the customers' names",
        comes_with: "privacy",
    },
    NotYet { line: "a customer is erased, and last year's proofs still verify", comes_with: "privacy" },
];

fn call(part: &str, server: &str, tool: &str, args: Value) -> Call {
    let [part, server, tool] = [part, server, tool].map(str::to_owned);
    Call { part, server, tool, args, run_as: None }
}

/// What the loader does.
pub(super) fn loader_calls() -> Vec<Call> {
    let read = |path| call("read", "files", "read", json!({"path": path}));
    vec![read("datasets/sales-2026-10.csv"), read(WRONG)]
}

/// What the writer does.
pub(super) fn writer_calls() -> Vec<Call> {
    let text = "Risk report for October 2026: 5 incidents on 240000.00 EUR of sales; the risk is moderate.\n";
    vec![
        call("cleaned", "files", "read", json!({"path": CLEANED})),
        call("report", "files", "write", json!({"path": REPORT, "text": text})),
        call("warehouse", "warehouse", "query", json!({"query": "incidents by customer"})),
    ]
}

/// What the agent does itself.
pub(super) fn publish() -> Call {
    call("publish", "publish", "report", json!({"path": REPORT, "to": "board@acme.example"}))
}
