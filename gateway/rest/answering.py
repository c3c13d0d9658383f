"""What a client's answer to a child's question may be, as it comes over REST. No I/O.

An answer to a form is held against the form's schema, which is of a few plain kinds (specification 2025-11-25: client,
Elicitation). A schema is a child's, and so perhaps hostile: of all else that may stand in one nothing is looked at.
"""

from collections.abc import Mapping
from itertools import chain, islice
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from msgspec import Raw

from common.reasons import Reason
from gateway.errors import GatewayError, bad_request
from gateway.jsonrpc import Request, Response
from gateway.rawjson import Members, is_object, members, put_together, text

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"

MAX_VIOLATIONS: Final = 20
MAX_FIELDS: Final = 200
"""Of a form; one with more is not checked."""
LONGEST_FORM: Final = 128 * 1024
"""Bytes of its schema; a longer one is not checked."""
LONGEST_QUOTED: Final = 200
"""Characters of what is said of one violation, and bytes of what was expected."""

_REJECTED: Final = b'{"code":-1,"message":"User rejected sampling request"}'
_ACTIONS: Final = ("accept", "decline", "cancel")
_KINDS: Final = frozenset({"string", "number", "integer", "boolean", "array"})
_PLAIN: Final = frozenset({"enum", "const", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"})
_CHOICES: Final = ("oneOf", "anyOf")

Violation = dict[str, object]
"""Where something is wrong, as a JSON pointer into the answer; what; and what was `expected` there."""

_Schema = dict[str, Any]


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
    form, required = _form(schema)
    try:
        given = msgspec.json.decode(content, type=_Schema)
    except (msgspec.MsgspecError, RecursionError):
        return [_violation("/content", "it cannot be read", {"type": "object"})]
    missing = (_violation(_pointer(name), "is missing", {}) for name in required if name not in given)
    unfit = map(_as_violation, Draft202012Validator(form).iter_errors(given))
    return list(islice(chain(missing, unfit), MAX_VIOLATIONS))


def _form(schema: bytes | Raw) -> tuple[_Schema, list[str]]:
    """As much of a form's schema as can be checked in a time that is nobody else's loss; and what must be there."""
    try:
        whole = msgspec.json.decode(bytes(schema)[: LONGEST_FORM + 1], type=_Schema)
    except (msgspec.MsgspecError, RecursionError):
        return {}, []
    fields = whole.get("properties")
    required = whole.get("required")
    known = fields if isinstance(fields, dict) and len(fields) <= MAX_FIELDS else {}
    names = required if isinstance(required, list) and len(required) <= MAX_FIELDS else []
    properties = {name: _field(each) for name, each in known.items()}
    return {"properties": properties}, [name for name in names if isinstance(name, str)]


def _field(schema: object) -> _Schema:
    """One field of a form: a text, a number, a yes or no, or a choice."""
    if not isinstance(schema, dict) or schema.get("type") not in _KINDS:
        return {}
    kept = {name: value for name, value in schema.items() if name in _PLAIN and _fits(name, value)}
    kept["type"] = schema["type"]
    for word in _CHOICES:
        if choices := _choices(schema.get(word)):
            kept["enum"] = choices
    if schema["type"] == "array" and isinstance(items := schema.get("items"), dict):
        kept["items"] = {"enum": one} if (one := _choices(items.get("anyOf"))) else _item(items)
    return kept


def _item(schema: Mapping[str, Any]) -> _Schema:
    choices = schema.get("enum")
    return {"enum": choices} if isinstance(choices, list) and choices else {}


def _choices(options: object) -> list[object]:
    if not isinstance(options, list):
        return []
    known = [each["const"] for each in options if isinstance(each, dict) and "const" in each]
    return known if len(known) == len(options) else []


def _fits(name: str, value: object) -> bool:
    """Whether `value` is one that the keyword `name` can have."""
    if name == "enum":
        return isinstance(value, list) and bool(value)
    return name == "const" or (isinstance(value, int | float) and not isinstance(value, bool))


def _as_violation(error: ValidationError) -> Violation:
    """Without the value, which may be a secret."""
    expected = {str(error.validator): error.validator_value}
    is_short = len(msgspec.json.encode(expected)) <= LONGEST_QUOTED
    message = f"is not what '{error.validator}' allows"
    return _violation(_pointer(*error.absolute_path), message, expected if is_short else None)


def _pointer(*path: str | int) -> str:
    """Into the answer (RFC 6901)."""
    return "".join(f"/{str(each).replace('~', '~0').replace('/', '~1')}" for each in ("content", *path))


def _violation(pointer: str, message: str, expected: object) -> Violation:
    return {"pointer": pointer, "message": message[:LONGEST_QUOTED], "expected": expected}


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
