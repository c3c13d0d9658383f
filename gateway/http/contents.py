"""A child's answer over HTTP: as JSON, or one thing of it as bytes, as the client wants it."""

from typing import Final

import msgspec

from gateway.errors import bad_request
from gateway.hot.exchange import Parts, Reply
from gateway.http import bodies
from gateway.http.asked import Asked
from gateway.large import Result
from gateway.rest import decoding, naming
from gateway.rest.contents import blocks, chosen, failed, is_json, sent_as

_LONGEST_INDEX: Final = 6
_YES: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


class Wish(msgspec.Struct, frozen=True):
    """What this request says of the answer, beside `Accept`."""

    index: int | None = None
    """Which of the contents it is to be."""
    raw: bool = False
    """Whether it is to be bytes in any case."""


def wish(asked: Asked) -> Wish:
    """The one of a request. Raises GatewayError where it makes no sense: it is to be asked before anything is done."""
    index, raw = asked.query.get("content"), asked.query.get("raw", "false").lower()
    if index is not None and not (index.isascii() and index.isdigit() and len(index) <= _LONGEST_INDEX):
        raise bad_request("'content' is the number of one of the contents, counted from 0", content=index[:64])
    if raw not in _YES:
        raise bad_request("'raw' is 'true' or 'false'", raw=raw[:64])
    return Wish(int(index) if index is not None else None, _YES[raw])


def response(asked: Asked, answer: Result, wanted: Wish) -> Reply:
    """`answer`, the result of a call or of reading a resource, as it is wanted.

    Raises GatewayError where it has nothing of that kind. The words of a tool that failed are JSON, whatever is wanted.
    """
    if is_json(asked.quality, wanted.index, raw=wanted.raw):
        return bodies.json_reply(answer)
    answer = bytes(answer)
    found = blocks(answer)
    if not found and failed(answer):
        return bodies.json_reply(answer)
    block = chosen(found, asked.quality, wanted.index, raw=wanted.raw)
    if block is None:
        return bodies.json_reply(answer)
    body = decoding.body(block)
    headers = naming.headers(block, sent_as(block, asked.quality))
    return Reply(200, Parts(body.pieces), [*headers.items()], body.length)
