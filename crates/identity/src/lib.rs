//! Credentials to principals: local keys and peer credentials.
