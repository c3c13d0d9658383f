"""What crosses the gateway: every revision of the protocol, every kind of child, every feature."""
