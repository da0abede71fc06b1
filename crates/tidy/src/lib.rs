//! Holds the workspace to its own rules: which crate may use which, how long files and functions grow.
//!
//! There is nothing here but tests; what they check is the dependency table of the design and the shape that keeps
//! the code readable.

#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod shape;

#[cfg(test)]
fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
