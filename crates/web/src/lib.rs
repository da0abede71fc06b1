//! The axum router: JSON API and the log's static files.
