//! Where actions are seen: the MCP proxy and the client of the server's API.
