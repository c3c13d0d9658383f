"""What a `librechat.yaml` says of its MCP servers, and what LibreChat makes of it.

The rules are those of LibreChat's own connection code and of `librechat-data-provider` 0.8.524.
"""
