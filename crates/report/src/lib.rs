//! Bundles and reports made from the log.
