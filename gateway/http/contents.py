"""A child's answer over HTTP: as JSON, or one thing of it as bytes, as the client wants it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

from quart import Response, request

from gateway.errors import bad_request
from gateway.http import bodies
from gateway.large import Result
from gateway.rest import decoding, naming
from gateway.rest.contents import blocks, chosen, failed, is_json, sent_as

SENDING: Final = 600.0
"""Seconds in which a client has to take all bytes of one answer."""

_LONGEST_INDEX: Final = 6
_YES: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Wish:
    """What this request says of the answer, beside `Accept`."""

    index: int | None = None
    """Which of the contents it is to be."""
    raw: bool = False
    """Whether it is to be bytes in any case."""


def wish() -> Wish:
    """The one of this request. Raises GatewayError where it makes no sense: it is to be asked before anything is done."""
    index, raw = request.args.get("content"), request.args.get("raw", "false").lower()
    if index is not None and not (index.isascii() and index.isdigit() and len(index) <= _LONGEST_INDEX):
        raise bad_request("'content' is the number of one of the contents, counted from 0", content=index[:64])
    if raw not in _YES:
        raise bad_request("'raw' is 'true' or 'false'", raw=raw[:64])
    return Wish(int(index) if index is not None else None, _YES[raw])


def response(answer: Result, wanted: Wish) -> Response:
    """`answer`, the result of a call or of reading a resource, as it is wanted.

    Raises GatewayError where it has nothing of that kind. The words of a tool that failed are JSON, whatever is wanted.
    """
    if is_json(_quality, wanted.index, raw=wanted.raw):
        return bodies.json_response(answer)
    answer = bytes(answer)
    found = blocks(answer)
    if not found and failed(answer):
        return bodies.json_response(answer)
    block = chosen(found, _quality, wanted.index, raw=wanted.raw)
    if block is None:
        return bodies.json_response(answer)
    body = decoding.body(block)
    sent = Response(_sent(body.pieces), headers=naming.headers(block, sent_as(block, _quality)))
    sent.content_length = body.length
    sent.timeout = SENDING
    return sent


def _quality(kind: str) -> float:
    accepted = request.accept_mimetypes
    return accepted.quality(kind) if accepted else 1.0


async def _sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
