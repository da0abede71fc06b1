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
mod error;
mod fold;
mod index;
pub mod limits;
mod query;
mod record;
mod schema;

pub use answer::{Answer, Fact, Finding, unknown};
pub use error::LineageError;
pub use index::Index;
pub use query::{
    ActionRow, Actions, Allowed, AllowedRow, AllowedTool, Authority, BreakGlass, ChildRow, ChildRun,
    Committed, DecisionPart, DelegationNode, DelegationPart, Delegations, DelegationsFilter, DidFilter,
    Doubt, DoubtFilter, DoubtRow, EntryAnswer, FieldShown, Identities, IdentitiesFilter, IdentityRow,
    LinkCheck, LinkPart, Located, MandatePart, Needs, OutcomePart, OutcomeRow, PolicyRow, PrincipalPart,
    PrincipalRow, Principals, RemarkRow, RevocationPart, RevocationRow, RevocationsPart, RunAnswer, RunPart,
    RunRow, Runs, RunsFilter, Status, StreamRow, ToolPart, Which, Whose,
};
pub use record::{Content, Opener, Record};
