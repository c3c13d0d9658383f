"""The doors of the unified API, `/api/v1`: discovery, calls by the tool's name, and one's own sessions."""
