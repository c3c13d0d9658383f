"""A gateway within another program: that program's process is the gateway's, and the supervisor is a child of it.

It stands where `supervisor.launcher` stands for `mcp-gateway serve`: above both, and known to neither.
"""
