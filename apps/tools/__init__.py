"""Tools: what operators set of them, tenants' own and MCP servers, and the journal of their calls."""
