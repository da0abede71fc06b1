//! The index over real logs on disk: fold, rebuild, and every query against known content.

// lints excuse tests, and what is compiled for tests alone
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod chains;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod fold;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod held;
#[cfg(test)]
mod log;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod trees;
