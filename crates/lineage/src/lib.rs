//! The disposable index over the log, and every query.
