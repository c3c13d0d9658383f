"""A stdio MCP server that comes with the gateway: enough to see that each session has one of its own."""
