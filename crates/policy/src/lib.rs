//! Cedar policy sets, class table, decisions.
//!
//! A [`PolicySet`] is a directory of Cedar policies with a schema and a class table, loaded only
//! when all of it is sound and named by one digest. [`PolicySet::decide`] puts one
//! [`ActionRequest`] to it and says yes or no with the policies that decided and the exact request
//! they saw; [`PolicySet::replay`] takes that request, years later, and must say the same.
//! [`PolicySet::outlook`] says of a tool, without a call, what no argument can change.
//!
//! No I/O but reading the directory, no clock, no randomness: time comes in with the request.
//! Whatever goes wrong is a no: a policy that errs, an obligation nobody knows, arguments that do
//! not fit, an engine that fails.

mod args;
mod classes;
mod decision;
mod diagnosis;
mod error;
mod files;
mod fit;
pub mod limits;
mod literals;
mod load;
mod nesting;
mod outlook;
mod parts;
mod path;
mod pinned;
mod request;
mod set;
pub mod starter;

pub use classes::{CLASSES, CLASSES_FILE, ClassOf, ClassSource};
pub use decision::{Decision, Reason, Verdict, reason};
pub use error::{Finding, PolicyError, WHOLE_SET};
pub use files::{BUILT_IN_SCHEMA, PolicyFile, SCHEMA_FILE, read_directory};
pub use outlook::{Outlook, OutlookRequest, Prospect};
pub use path::{PathError, normalise_path};
pub use pinned::{ServerFacts, Unpinned};
pub use request::{ActionRequest, RequestAgent, RequestDelegation, RequestPrincipal};
pub use set::{Effect, Engine, PolicyInfo, PolicySet};
