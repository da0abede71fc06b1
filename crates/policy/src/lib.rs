//! Cedar policy sets, class table, decisions.
