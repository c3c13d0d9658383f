"""The supervisor: it owns every process, and knows no HTTP.

The gateway may import `supervisor.protocol` and `supervisor.client`, nothing else of it.
"""
