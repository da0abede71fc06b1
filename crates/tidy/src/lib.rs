//! One test: the dependency table, file and function size.
