"""What the body of `POST /api/v1/tools/call` says. No I/O."""

from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.errors import GatewayError, bad_request
from gateway.rawjson import Members, is_object, text
from gateway.rest.arguments import read as read_arguments
from gateway.unified.parameters import unknown

TOOL: Final = "tool"
ARGUMENTS: Final = "arguments"
SERVER: Final = "server"
SESSION: Final = "sessionId"
MEMBERS: Final = (TOOL, ARGUMENTS, SERVER, SESSION)

WRAPPING: Final = 16 * 1024
"""Bytes that the body may have beside the arguments."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that somebody wants made. `arguments` is the JSON of an object. No `repr` shows them, or the id."""

    tool: str
    arguments: bytes = field(default=b"{}", repr=False)
    server: str | None = None
    session: str | None = field(default=None, repr=False)


def read(body: bytes) -> Wanted:
    """What `body` asks for. Raises GatewayError, which names the member that is wrong."""
    try:
        body.decode("utf-8")
        given = msgspec.json.decode(body, type=Members)
    except msgspec.ValidationError:
        raise bad_request(f"expected a JSON object with '{TOOL}', and perhaps '{ARGUMENTS}' and '{SERVER}'") from None
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        raise GatewayError(Reason.INVALID_JSON, "expected a JSON object, but the body is not JSON in UTF-8") from None
    for name in given:
        if name not in MEMBERS:
            raise unknown(name, MEMBERS, "member")
    tool = _text(given, TOOL)
    if not tool:
        raise bad_request(f"'{TOOL}' is missing: the name of the tool to call", member=TOOL)
    return Wanted(tool, _arguments(given), _text(given, SERVER), _text(given, SESSION))


def _text(given: Members, name: str) -> str | None:
    """A member that is a text; null is as good as none. Raises GatewayError."""
    if name not in given or bytes(given[name]) == b"null":
        return None
    found = text(given[name])
    if not found:
        raise bad_request(f"'{name}' is a text that is not empty", member=name)
    return found


def _arguments(given: Members) -> bytes:
    arguments = given.get(ARGUMENTS, Raw(b"null"))
    if bytes(arguments) == b"null":
        return b"{}"
    if not is_object(arguments):
        raise bad_request(f"'{ARGUMENTS}' is an object: the arguments of the tool, by their names", member=ARGUMENTS)
    return read_arguments(bytes(arguments))
