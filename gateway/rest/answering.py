"""What a client's answer to a child's question may be, as it comes over REST. No I/O.

An answer to a form is held against the form's schema (specification 2025-11-25: client, Elicitation) as the arguments of
a call are against their tool's: see `gateway.rest.checking`.
"""

from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.errors import GatewayError, bad_request
from gateway.jsonrpc import Request, Response
from gateway.rawjson import Members, is_object, members, put_together, text
from gateway.rest.checking import Checker

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"

MAX_VIOLATIONS: Final = 20
_REJECTED: Final = b'{"code":-1,"message":"User rejected sampling request"}'
_ACTIONS: Final = ("accept", "decline", "cancel")

Violation = dict[str, object]
"""Where something is wrong, as a JSON pointer into the answer; what; and what was `expected` there."""


def answer(question: Request, body: bytes) -> Response:
    """The answer to `question` that `body` is, which is the JSON of an object. Raises GatewayError where it is none."""
    said = members(body)
    if "error" in said:
        return Response(question.id, b"", _error(said))
    if question.method == ELICIT:
        return Response(question.id, _elicited(question, said), b"")
    return Response(question.id, _sampled(said, body), b"")


def declined(question: Request) -> Response:
    """The answer of somebody who will not answer."""
    if question.method == ELICIT:
        return Response(question.id, b'{"action":"decline"}', b"")
    return Response(question.id, b"", _REJECTED)


def _error(said: Members) -> bytes:
    error = members(said["error"])
    try:
        code = msgspec.json.decode(error.get("code", Raw(b"")), type=int)
    except msgspec.DecodeError:
        code = None
    message = text(error.get("message", b""))
    if code is None or message is None or len(said) > 1:
        raise _unfit(("/error", 'an error has a whole number as "code" and a text as "message"', "an error alone"))
    return put_together({"code": code, "message": message})


def _elicited(question: Request, said: Members) -> bytes:
    action = text(said.get("action", b""))
    if action not in _ACTIONS:
        raise _unfit(("/action", "it says whether the question is answered", {"enum": list(_ACTIONS)}))
    if action != "accept":
        return put_together({"action": action})
    asked = members(question.params)
    if text(asked.get("mode", b"")) == "url":
        return put_together({"action": action})
    content = said.get("content", Raw(b""))
    if not is_object(content):
        raise _unfit(("/content", "it has what the form asks for", {"type": "object"}))
    found = violations(asked.get("requestedSchema", Raw(b"")), content)
    if found:
        raise _violated(found)
    return put_together({"action": action, "content": content})


def _sampled(said: Members, body: bytes) -> bytes:
    content = bytes(said.get("content", b"")).lstrip()[:1]
    wrong: list[tuple[str, str, object]] = []
    if text(said.get("role", b"")) not in ("assistant", "user"):
        wrong.append(("/role", "it says who speaks", {"enum": ["assistant", "user"]}))
    if content not in (b"{", b"["):
        wrong.append(("/content", "it is what was said", {"type": ["object", "array"]}))
    if text(said.get("model", b"")) is None:
        wrong.append(("/model", "it names the model that answered", {"type": "string"}))
    if wrong:
        raise _unfit(*wrong)
    return body


def violations(schema: bytes | Raw, content: bytes | Raw) -> list[Violation]:
    """What in `content`, an object, is not as the form's `schema` asks; the first MAX_VIOLATIONS."""
    found = Checker(bytes(schema)).look(bytes(content))
    first = found.violations[:MAX_VIOLATIONS] if found is not None else ()
    return [_violation(f"/content{each.pointer}", each.message, each.expected) for each in first]


def _violation(pointer: str, message: str, expected: object) -> Violation:
    return {"pointer": pointer, "message": message, "expected": expected}


def _unfit(*wrong: tuple[str, str, object]) -> GatewayError:
    return _violated([_violation(*each) for each in wrong])


def _violated(found: list[Violation]) -> GatewayError:
    first = f"{found[0]['pointer']}: {found[0]['message']}"
    return bad_request(f"this is no answer to the question: {first}", violations=found)


def check(body: bytes) -> bytes:
    """`body`, where it is the JSON of an object. Raises GatewayError."""
    try:
        body.decode("utf-8")
        msgspec.json.decode(body, type=dict[str, Raw])
    except msgspec.ValidationError:
        raise bad_request("expected a JSON object with the answer") from None
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        raise GatewayError(Reason.INVALID_JSON, "expected a JSON object, but the body is not JSON in UTF-8") from None
    return body
