"""Server-sent events, as the HTML standard writes them on the wire. No I/O."""

from typing import Final

COMMENT: Final = b": \n\n"
"""An event that no client sees and every proxy passes: it keeps a quiet stream alive."""


def message(data: bytes) -> bytes:
    """One JSON-RPC message, which has no line breaks, as an event."""
    return b"event: message\ndata: %b\n\n" % data


def endpoint(url: str) -> bytes:
    """The first event of HTTP+SSE (2024-11-05): where to post."""
    return b"event: endpoint\ndata: %b\n\n" % url.encode()
