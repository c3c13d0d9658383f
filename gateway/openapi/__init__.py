"""OpenAPI documents of what the servers offer. No I/O."""
