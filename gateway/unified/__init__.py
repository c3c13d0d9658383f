"""The unified API, `/api/v1`: what its requests say and its answers hold. But for `asking` and `routing`, no I/O."""
