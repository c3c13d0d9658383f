"""Arguments of a tool that its calls repeat in headers: which ones, and whether header and argument agree. No I/O.

(Specification of 2026-07-28: server/tools, `x-mcp-header`; basic/transports, Streamable HTTP, Custom Headers.)
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.specification import MCP_PARAM_HEADER_PREFIX

ANNOTATION: Final = "x-mcp-header"
"""What a property's schema says of itself: behind `Mcp-Param-`, this is the header."""

# Keywords of JSON Schema (2020-12, sections 10 and 11 of its core) that hold schemas. `properties` is not among them:
# nothing else leads to an argument that is always in the same place.
_OF_A_SCHEMA: Final = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_OF_A_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_OF_A_MAP: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties"})

_TYPES: Final = ("string", "integer", "boolean")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2."""
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")
_DECIMAL: Final = re.compile(r"(-?[0-9]{1,4300})(\.0+)?")
"""A whole number; Python reads no longer ones."""

Path = tuple[str, ...]
"""The names of the properties that lead to an argument."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """One argument: the header's name, behind its prefix, and the type that the schema gives it."""

    header: str
    type: str


Annotations = Mapping[Path, Repeated]
"""Of one tool."""


def annotations(schema: object) -> Annotations:
    """What a tool's input schema says of headers; nothing where anything about it is wrong: no client may use that."""
    found: dict[Path, Repeated] = {}
    names: set[str] = set()
    for path, node in _schemas(schema):
        if ANNOTATION not in node:
            continue
        name, type_ = node[ANNOTATION], node.get("type")
        if not path or not _is_token(name) or type_ not in _TYPES or name.lower() in names:
            return {}
        names.add(name.lower())
        found[path] = Repeated(name, type_)
    return found


def disagreement(known: Annotations, arguments: object, headers: Iterable[tuple[str, str]]) -> str | None:
    """What is wrong with the first header that does not repeat its argument; two of one name are always wrong."""
    sent: dict[str, list[str]] = {}
    for name, value in headers:
        sent.setdefault(name.lower(), []).append(value)
    for path, repeated in known.items():
        values = sent.get(MCP_PARAM_HEADER_PREFIX + repeated.header.lower(), [])
        wrong = _wrong(repeated, _at(arguments, path), values)
        if wrong is not None:
            return f"the header Mcp-Param-{repeated.header} {wrong} the argument {'.'.join(path)!r}"
    return None


def decoded(value: str | None) -> str | None:
    """What a header's value stands for; None where it is base64 that no client writes, or was not sent at all."""
    found = _ENCODED.fullmatch(value) if value is not None else None
    if found is None:
        return value
    try:
        data = base64.b64decode(found[1], validate=True)
        text = data.decode()
    except ValueError:
        return None
    # Bits behind the end that mean nothing would make two spellings of one value.
    return text if base64.b64encode(data).decode() == found[1] else None


def _schemas(schema: object) -> Iterator[tuple[Path | None, dict[str, Any]]]:
    """`schema` and all in it, each with its path, or None where more than `properties` leads there."""
    waiting: list[tuple[Path | None, object]] = [((), schema)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, dict):
            yield path, node
            for keyword, value in node.items():
                if keyword == "properties" and isinstance(value, dict):
                    waiting += [(None if path is None else (*path, name), each) for name, each in value.items()]
                else:
                    waiting += [(None, each) for each in _within(keyword, value)]


def _within(keyword: str, value: Any) -> Iterable[object]:
    if keyword in _OF_A_SCHEMA:
        return (value,)
    if keyword in _OF_A_LIST and isinstance(value, list):
        return value
    if keyword in _OF_A_MAP and isinstance(value, dict):
        return value.values()
    return ()


def _is_token(name: object) -> bool:
    return isinstance(name, str) and _TOKEN.fullmatch(name) is not None


def _at(arguments: object, path: Path) -> object:
    """The argument there; None where there is none."""
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, dict) else None
    return arguments


def _wrong(repeated: Repeated, value: object, sent: list[str]) -> str | None:
    """What is wrong with the values that were sent for an argument, as the middle of a sentence; None if nothing is."""
    if len(sent) > 1:
        return "was sent more than once, and should repeat"
    written = _written(value)
    if written is None:
        return "was sent, and does not repeat" if sent else None
    if not sent:
        return "is missing, and should repeat"
    text = decoded(sent[0])
    return None if text is not None and _agree(repeated, value, written, text) else "does not repeat"


def _written(value: object) -> str | None:
    """How a client writes an argument into a header; None for one that cannot be, or is not there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value) if isinstance(value, str | int | float) else None
    except ValueError:  # an integer of thousands of digits
        return None


def _agree(repeated: Repeated, value: object, written: str, text: str) -> bool:
    """Whether `text` is the argument: whole numbers are compared as numbers, all else as it is written."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if repeated.type == "integer" and is_number and (number := _DECIMAL.fullmatch(text)):
        return int(number[1]) == value
    return text == written
