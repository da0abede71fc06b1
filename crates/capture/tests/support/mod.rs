//! What the tests of the proxy stand on: a server that speaks `docs/api.md` over a real Unix socket and keeps the
//! order of events, and a wrap of the scripted MCP server whose client is the test.

pub(crate) mod api;
pub(crate) mod wrapped;
