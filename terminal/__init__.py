"""`mcp-gateway` as a tool on the terminal: each command is a module, imported when it is used."""
