"""`mcp-gateway doctor`: a program of its own that looks at a running gateway from outside, as an operator would.

It speaks HTTP to the gateway, reads the same configuration file as the supervisor, and looks at processes in /proc.
Neither of the two programs knows of it.
"""
