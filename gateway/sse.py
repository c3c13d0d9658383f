"""Server-sent events, as the HTML standard writes them on the wire. No I/O."""

from collections.abc import Iterator
from typing import Final

from gateway.large import Data

COMMENT: Final = b": \n\n"
"""An event that no client sees and every proxy passes: it keeps a quiet stream alive."""


RETRY: Final = 1000
"""Milliseconds after which a client whose stream broke is to ask for the rest: what the SDKs do on their own."""


def message(data: bytes, id_: bytes = b"") -> bytes:
    """One JSON-RPC message, which has no line breaks, as an event."""
    event = b"event: message\ndata: %b\n\n" % data
    return b"id: %b\n%b" % (id_, event) if id_ else event


def pieces(data: Data, id_: bytes = b"") -> Iterator[bytes]:
    """The same in pieces, where it is long."""
    if isinstance(data, bytes):
        yield message(data, id_)
        return
    before = b"id: %b\nevent: message\ndata: " % id_ if id_ else b"event: message\ndata: "
    for piece in data.pieces:
        yield before + piece if before else piece
        before = b""
    yield b"\n\n"


def named(name: bytes, data: bytes) -> bytes:
    """An event of a type of its own, whose `data` is JSON without line breaks."""
    return b"event: %b\ndata: %b\n\n" % (name, data)


def priming(id_: bytes) -> bytes:
    """An event without data, which tells a client where a stream begins (revision 2025-11-25 and later)."""
    return b"id: %b\nretry: %d\ndata: \n\n" % (id_, RETRY)


def place(id_: bytes) -> bytes:
    """The same for a client of an older revision that has come back: of a type that clients pass over, with data.

    Without it such a client, when this stream ends in turn, comes back without an id, and takes the standing stream from
    itself, which then does the same, once a second for ever (the TypeScript SDK). Clients of older revisions fail on an
    event without data; what stands here is a notification that nobody knows, for a client that looks at no type.
    """
    return b'id: %b\nevent: place\ndata: {"jsonrpc":"2.0","method":"notifications/place"}\n\n' % id_


def endpoint(url: str) -> bytes:
    """The first event of HTTP+SSE (2024-11-05): where to post."""
    return b"event: endpoint\ndata: %b\n\n" % url.encode()
