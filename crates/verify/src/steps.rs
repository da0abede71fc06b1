//! The steps of format §10 after the container, one file each. Every step adds its findings; a later step uses
//! what an earlier one returns.

pub(crate) mod causes;
pub(crate) mod chains;
pub(crate) mod checkpoint;
pub(crate) mod children;
pub(crate) mod counters;
pub(crate) mod decisions;
pub(crate) mod delegations;
pub(crate) mod entries;
pub(crate) mod fields;
pub(crate) mod keys;
pub(crate) mod mandates;
pub(crate) mod manifests;
pub(crate) mod orders;
pub(crate) mod outcomes;
pub(crate) mod policies;
pub(crate) mod subject;
