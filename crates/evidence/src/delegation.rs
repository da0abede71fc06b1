//! The claims of delegations and of the signed objects around them (format §6), parsed once into types.
//!
//! Parsing checks shape and the rules that concern one object alone. Whether an object is signed by the right key,
//! fits the objects around it and holds at a time is for `verify`; what a child must keep of its parent is
//! [`Child::misfits`], which `verify` and [`delegate`] share.

mod approvals;
mod child;
mod claims;
mod link;
mod mandate;
mod narrow;
mod order;
mod pop;
mod request;
mod root;
mod source;

use serde_json::{Map, Value};

pub use approvals::Approvals;
pub use child::{Child, Misfit};
pub use claims::ClaimError;
pub use link::Link;
pub use mandate::Mandate;
pub use narrow::{NarrowError, Narrowing, delegate};
pub use order::{HaltAct, HaltOrder, On, Revocation, Target, What};
pub use pop::Pop;
pub use request::RootRequest;
pub use root::Root;
pub use source::{Named, Source};

/// The purpose of a root that a person takes on its own authority, past what is usual (format §6).
pub const BREAK_GLASS: &str = "break-glass";

/// The token digest's input for arguments: base64url SHA-256 of their JCS. Absent arguments are `{}`.
pub fn args_digest(args: &Map<String, Value>) -> String {
    let canonical = crate::json::jcs(&Value::Object(args.clone()));
    crate::base64url::encode(&crate::digest::Digest::of(&canonical).0)
}

#[cfg(test)]
mod tests;
