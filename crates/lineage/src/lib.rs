//! The disposable index over the log, and every query.
//!
//! [`Index`] folds sequenced entries, in order, into one SQLite file that can be removed at any time: it is made
//! again from the log. Queries find positions in it and then read the log itself, so every fact in an answer is
//! what an entry commits to, with its labels. No decision ever reads the index.
//!
//! ```text
//! store::Reader ─▶ Opener (fields) ─▶ fold ─▶ index ─▶ query: positions ─▶ store::Reader ─▶ Answer<…>
//! ```

#![forbid(unsafe_code)]

mod answer;
mod artifact;
mod error;
mod fold;
mod index;
pub mod limits;
mod query;
mod record;
mod schema;

pub use answer::{Answer, Fact, Finding, unknown};
pub use artifact::{file_path, file_uri};
pub use error::LineageError;
pub use index::Index;
pub use query::{
    ActionRow, Actions, Allowed, AllowedRow, AllowedTool, ArtifactRow, ArtifactsOf, Authority, Beside,
    BreakGlass, ChangeRow, ChildRow, ChildRun, Committed, DecisionPart, DefinedRow, Definitions,
    DelegationNode, DelegationPart, Delegations, DelegationsFilter, DidFilter, Direction, Doubt, DoubtFilter,
    DoubtRow, EntryAnswer, FieldShown, GapRow, Gaps, GapsFilter, HumanInput, Identities, IdentitiesFilter,
    IdentityRow, Latest, LinkCheck, LinkPart, Located, MandatePart, Needs, OutcomeIs, OutcomePart,
    OutcomeRow, PolicyRow, PrincipalPart, PrincipalRow, Principals, RemarkRow, Replaced, RevocationPart,
    RevocationRow, RevocationsPart, RunAnswer, RunPart, RunRow, Runs, RunsEnded, RunsFilter, ServerRow,
    Status, StreamRow, TaskRow, Tasks, TasksFilter, ToolPart, Trace, TraceFilter, TraceOf, TraceRow, Which,
    Whose, Withdrawn,
};
pub use record::{Content, Opener, Record};
