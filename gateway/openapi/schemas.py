"""A child's JSON Schema, made fit to stand in a document. No I/O.

What a child says of its tools is anybody's guess: whatever it is, what comes out is JSON Schema 2020-12, of keywords that
are known, with values that they may have. What a keyword may not have is left out; so the schema may allow more than the
child does, and never less. A `$ref` to a part of the same schema becomes one to a component of the document; one to
anything else is left out, and nothing is ever fetched. Drafts 4 to 7 are read as what they mean.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from gateway.openapi import values
from gateway.openapi.loops import break_loops, require_what_there_is
from gateway.openapi.names import Names, slug
from gateway.openapi.values import LEFT_OUT, Check

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
"""What a `$ref` to a component begins with."""

LARGEST: Final = 256 * 1024
"""Bytes in a schema that is still shown."""

MOST: Final = 10_000
"""Schemas within one that is still shown."""

DEEPEST: Final = 40
"""Schemas within each other."""

_VALUES: Final[Mapping[str, Check]] = {
    "type": values.types,
    "title": values.text,
    "description": values.text,
    "format": values.text,
    "contentEncoding": values.text,
    "contentMediaType": values.text,
    "enum": values.choice,
    "const": values.anything,
    "default": values.anything,
    "examples": values.samples,
    "deprecated": values.truth,
    "readOnly": values.truth,
    "writeOnly": values.truth,
    "uniqueItems": values.truth,
    "minimum": values.number,
    "maximum": values.number,
    "exclusiveMinimum": values.number,
    "exclusiveMaximum": values.number,
    "multipleOf": values.above_zero,
    "minLength": values.count,
    "maxLength": values.count,
    "minItems": values.count,
    "maxItems": values.count,
    "minContains": values.count,
    "maxContains": values.count,
    "minProperties": values.count,
    "maxProperties": values.count,
    "pattern": values.pattern,
    "required": values.names,
    "dependentRequired": values.needs,
}
_ONE: Final = frozenset(
    """items contains additionalProperties propertyNames unevaluatedItems unevaluatedProperties not if then
    else""".split()
)
_TRUTHS: Final = frozenset({"additionalProperties", "unevaluatedItems", "unevaluatedProperties"})
_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor", "$id", "id")


class _TooMuch(Exception):
    """There is more of it than anybody wants to read."""


def components_of(raw: bytes, name: str, taken: Names) -> dict[str, Schema]:
    """The components that the schema `raw` of an object becomes: `name`, and what it refers to, named after it.

    `name` is taken by then; the others take theirs from `taken`.
    """
    try:
        if len(raw) > LARGEST:
            raise _TooMuch
        found = _Cleaner(msgspec.json.decode(raw), name, taken).components()
        break_loops(found)
        require_what_there_is(found)
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {name: {"type": "object", "description": "The server's own schema cannot be read."}}
    except _TooMuch:
        return {name: {"type": "object", "description": "The server's own schema is too large to be shown."}}


class _Cleaner:
    """Makes components of one schema. Each part that is referred to becomes one, however often that is."""

    def __init__(self, document: object, name: str, taken: Names) -> None:
        self._document = document
        self._name = name
        self._taken = taken
        self._by_part: dict[int, str] = {}
        self._todo: list[tuple[str, Mapping[str, Any]]] = []
        self._left = MOST
        self._anchors: dict[str, Mapping[str, Any]] | None = None

    def components(self) -> dict[str, Schema]:
        """All of them. Raises _TooMuch, and RecursionError."""
        root = self._root()
        if root is self._document:
            self._by_part[id(root)] = self._name
        found = {self._name: self._object(self._cleaned(root, 0))}
        while self._todo:
            name, part = self._todo.pop()
            found[name] = self._cleaned(part, 0)
        return found

    def _root(self) -> Mapping[str, Any]:
        """The whole schema; of one that only refers to a part of itself, that part."""
        root = self._document if isinstance(self._document, dict) else {}
        for _ in range(DEEPEST):
            target = self._target(root)
            if target is None:
                break
            root = {**target, **{key: value for key, value in root.items() if key not in _REFERENCES}}
        return root

    @staticmethod
    def _object(schema: Schema) -> Schema:
        """The schema of arguments is one of an object, whatever else it says."""
        if schema.get("type", "object") not in ("object", ["object", "null"]):
            return {"type": "object"}
        return {**schema, "type": "object"}

    def _cleaned(self, schema: object, depth: int) -> Schema:
        """`schema` alone. Anything that is none allows everything."""
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}  # many a reader knows no other
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if not isinstance(schema, Mapping) or depth > DEEPEST:
            return {}
        found: Schema = {}
        reference = self._reference(schema)
        if reference is not None:
            found["$ref"] = reference
        for keyword, value in _modern(schema).items():
            cleaned = self._value(keyword, value, depth + 1)
            if cleaned is not LEFT_OUT:
                found[keyword] = cleaned
        return found

    def _value(self, keyword: str, value: object, depth: int) -> object:
        if (check := _VALUES.get(keyword)) is not None:
            return check(value)
        if keyword in _TRUTHS and isinstance(value, bool):
            return value
        if keyword in _ONE and isinstance(value, Mapping | bool):
            return self._cleaned(value, depth)
        if keyword in _LIST and isinstance(value, list) and value:
            return [self._cleaned(each, depth) for each in value]
        if keyword in _MAP and isinstance(value, Mapping):
            keep: Callable[[str], bool] = (lambda _: True) if keyword != "patternProperties" else _is_pattern
            return {key: self._cleaned(each, depth) for key, each in value.items() if keep(key)}
        return LEFT_OUT

    def _reference(self, schema: Mapping[str, Any]) -> str | None:
        target = self._target(schema)
        if target is None:
            return None
        if id(target) not in self._by_part:
            wanted = f"{self._name}.{self._called(schema)}"
            name = self._by_part[id(target)] = self._taken.take(wanted, wanted)
            self._todo.append((name, target))
        return PREFIX + self._by_part[id(target)]

    @staticmethod
    def _called(schema: Mapping[str, Any]) -> str:
        """The end of a reference, which is mostly the name of a definition."""
        text = next(each for key in _REFERENCES if isinstance(each := schema.get(key), str))
        return slug(unquote(text, errors="replace").rpartition("/")[2])[:64] or "part"

    def _target(self, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The part that `schema` refers to, if it refers to one of the same document."""
        for key in _REFERENCES:
            if isinstance(reference := schema.get(key), str):
                base, _, fragment = reference.partition("#")
                own = self._document.get("$id", "") if isinstance(self._document, dict) else ""
                found = self._at(unquote(fragment, errors="replace")) if base in ("", own) else None
                return found if isinstance(found, Mapping) else None
        return None

    def _at(self, fragment: str) -> object:
        """What a JSON pointer (RFC 6901) or an anchor leads to."""
        if fragment and not fragment.startswith("/"):
            if self._anchors is None:
                self._anchors = {}
                _gather(self._document, self._anchors, DEEPEST * 2)
            return self._anchors.get(fragment)
        found: Any = self._document
        for step in fragment.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(found):
                found = found[int(key[:9])]
            else:
                return None
        return found


def _is_pattern(key: str) -> bool:
    return values.pattern(key) is not LEFT_OUT


def _gather(part: object, anchors: dict[str, Mapping[str, Any]], deepest: int) -> None:
    """Enter all anchors below `part`."""
    if deepest < 0:
        return
    if isinstance(part, Mapping):
        for key in _ANCHORS:
            if isinstance(name := part.get(key), str):
                anchors.setdefault(name.removeprefix("#"), part)
    for each in part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ():
        _gather(each, anchors, deepest - 1)


def _modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords as 2020-12 has them, whichever draft they are of."""
    found = dict(schema)
    if isinstance(items := found.get("items"), list):
        found["prefixItems"] = items
        found["items"] = found.pop("additionalItems", True)
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if found.get(exclusive) is True and bound in found:
            found[exclusive] = found.pop(bound)
    if isinstance(dependencies := found.get("dependencies"), Mapping):
        found.setdefault("dependentRequired", {k: v for k, v in dependencies.items() if isinstance(v, list)})
        found.setdefault("dependentSchemas", {k: v for k, v in dependencies.items() if not isinstance(v, list)})
    if "example" in found:
        found.setdefault("examples", [found["example"]])
    return found
