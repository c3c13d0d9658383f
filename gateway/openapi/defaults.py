"""Defaults that fit the schema that they stand in. No I/O.

A document with one that does not is refused by whoever checks it. What cannot be told without running what a child wrote,
such as its patterns, counts as not fitting; and a default that is left out costs nobody more than a hint.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

STEPS: Final = 2
"""Looks at a schema that may be taken, for each value in the one that is looked through."""

FEWEST_STEPS: Final = 1_000

_UNDECIDED: Final = frozenset(
    """$ref pattern format not if allOf contains dependentRequired dependentSchemas propertyNames patternProperties
    prefixItems multipleOf unevaluatedItems unevaluatedProperties minContains""".split()
)
_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


class Judge:
    """Says whether values fit schemas, until it has taken so many steps: a child may write what takes hours."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @property
    def is_weary(self) -> bool:
        """Whether there are no steps left, so that what it says is worth nothing any more."""
        return self._left < 0

    def fits(self, value: object, schema: object) -> bool:
        """Whether `value` is certainly allowed by `schema`, which is one of OpenAPI 3.1 or 3.0."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict) or _UNDECIDED & schema.keys():
            return False
        self._left -= 1 + len(schema.get("enum", ())) + len(schema.get("required", ()))
        if self.is_weary:
            return False
        if value is None and schema.get("nullable") is True and "enum" not in schema and "anyOf" not in schema:
            return True
        return (
            _is_of_type(value, schema)
            and _is_chosen(value, schema)
            and _is_in_bounds(value, schema)
            and self._has_fitting_parts(value, schema)
            and any(self.fits(value, each) for each in schema.get("anyOf", [True]))
            and sum(self.fits(value, each) for each in schema.get("oneOf", [True])) == 1
            and not (len(schema.get("oneOf", ())) > 1 and any(_is_unclear(each) for each in schema["oneOf"]))
        )

    def _has_fitting_parts(self, value: object, schema: Mapping[str, Any]) -> bool:
        if isinstance(value, list):
            return not schema.get("uniqueItems") and all(self.fits(each, schema.get("items", True)) for each in value)
        if isinstance(value, dict):
            if not set(schema.get("required", ())) <= value.keys():
                return False
            known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
            return all(self.fits(each, known.get(name, others)) for name, each in value.items())
        return True


def _is_unclear(schema: object) -> bool:
    """Whether a value that does not certainly fit may fit all the same."""
    if not isinstance(schema, dict):
        return False
    return bool(schema.keys() - {"type", "title", "description", "enum", "const", "nullable"})


def _is_of_type(value: object, schema: Mapping[str, Any]) -> bool:
    wanted = schema.get("type")
    if wanted is None:
        return True
    return any(_KINDS[each](value) for each in (wanted if isinstance(wanted, list) else [wanted]))


def _is_chosen(value: object, schema: Mapping[str, Any]) -> bool:
    choices = schema.get("enum", [value])
    if "const" in schema:
        choices = [each for each in choices if _same(each, schema["const"])]
    return any(_same(value, each) for each in choices)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _is_in_bounds(value: object, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return _is_between(value, schema)
    for kind, low, high in ((str, "minLength", "maxLength"), (list, "minItems", "maxItems")):
        if isinstance(value, kind):
            return bool(schema.get(low, 0) <= len(value) <= schema.get(high, len(value)))
    if isinstance(value, dict):
        return bool(schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)))
    return True


def _is_between(value: float, schema: Mapping[str, Any]) -> bool:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if value < schema.get("minimum", value) or value > schema.get("maximum", value):
        return False
    if low is True or high is True:  # OpenAPI 3.0
        return value not in (schema.get("minimum") if low else None, schema.get("maximum") if high else None)
    is_above = low is None or low is False or value > low
    return is_above and (high is None or high is False or value < high)


def drop_unfit(schema: object) -> None:
    """Take each default that does not certainly fit out of `schema`, and out of whatever is below it.

    Takes as long as `schema` is large: of one whose defaults cannot be told in that time, the others go, too.
    """
    _drop_unfit(schema, Judge(FEWEST_STEPS + STEPS * _size(schema)))


def _size(part: object) -> int:
    """How many values there are in it."""
    if isinstance(part, dict):
        return 1 + sum(_size(each) for each in part.values())
    return 1 + sum(_size(each) for each in part) if isinstance(part, list) else 1


def _drop_unfit(schema: object, judge: Judge) -> None:
    if isinstance(schema, list):
        for each in schema:
            _drop_unfit(each, judge)
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties", "dependentSchemas"):
            _drop_unfit(list(value.values()), judge)
        elif keyword not in ("const", "default", "enum", "example", "examples"):
            _drop_unfit(value, judge)
    if "default" in schema and not _is_fitting_default(schema, judge):
        del schema["default"]


def _is_fitting_default(schema: Mapping[str, Any], judge: Judge) -> bool:
    default = schema["default"]
    if default is None and schema.get("nullable") is True:
        return True
    return judge.fits(default, {key: value for key, value in schema.items() if key != "default"}) and not judge.is_weary
