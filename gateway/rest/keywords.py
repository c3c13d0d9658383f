"""The keywords of JSON Schema, and what each has against a value. No I/O.

They are written by hand because both sides are hostile: a schema of a few bytes can ask for years of work, and what is
said of a value must not repeat it. (The library `jsonschema` bounds nothing, and quotes the value in every message.) So
every step is paid for out of one budget, and a pattern is one of `patterns`. What a keyword has to say is a `Violation`,
whose `expected` is the schema that the value does not fit.

Not looked at are `format` and what says something of content, as the specification leaves it; `unevaluatedItems` and
`unevaluatedProperties`; and what the other modules of this package let be. Where it depends on such a thing whether a
value fits, nothing is said of the value: that nothing is known against it is no reason why it might not be.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec

from gateway.rest.patterns import LONGEST_TEXT, Patterns
from gateway.rest.schemas import Schema

MOST: Final = 50
"""Violations that are kept; the others are counted."""

BUDGET: Final = 20_000
"""Steps that one check may take, of a microsecond or two each."""

ELEMENTS_PER_STEP: Final = 300
"""Elements of a pattern that are held against a character each within a step, at the worst."""

STEPS_OF_DECIMALS: Final = 5
"""What a division costs, where the numbers are very large and very small."""

MOST_UNIQUE: Final = 1000
"""Items of an array that are held against one another."""

LONGEST_NAME: Final = 128
"""Characters of a member's name that a pointer repeats."""

LONGEST_EXPECTED: Final = 512
"""Bytes of what was expected, as JSON."""

Where = tuple["Where", str | int] | None
"""The way to a value: to what it is in, and its name or number there."""


class TooMuchWork(Exception):
    """The budget is spent."""


class _Misfit(Exception):
    """A value that is only asked whether it fits does not."""


@dataclass(frozen=True, slots=True)
class Violation:
    """`pointer` (RFC 6901) is to what is wrong; `expected` is a schema, None for one that is too long to be told."""

    pointer: str
    message: str
    expected: object


class Check:
    """One value, held against `schema`; `strict` ends it with the first violation, which then is a _Misfit."""

    def __init__(self, schema: Schema, patterns: Patterns) -> None:
        self.violations: list[Violation] = []
        self.count = 0
        self._root = schema.root
        self._siblings_count = schema.siblings_count
        self._patterns = patterns
        self._left = BUDGET
        self._asking = 0
        self._unknown = 0

    @property
    def bounds_of_contains(self) -> tuple[str, ...]:
        """The keywords that say how many items there are to be of a kind."""
        return ("minContains", "maxContains") if self._siblings_count else ()

    def look(self, schema: Any, value: Any, where: Where = None) -> None:
        """Hold `value` against `schema`. Raises TooMuchWork, and RecursionError where it goes too deep."""
        self.pay(1)
        if schema is False:
            self.violated(where, "may not be there", expected=False)
        if not isinstance(schema, dict):
            return
        if not self._siblings_count and "$ref" in schema:
            _ref(self, schema["$ref"], value, where, schema)
            return
        for keyword, operand in schema.items():
            rule = _RULES.get(keyword) if self._siblings_count or keyword not in _LATER else None
            if rule is not None:
                self.pay(1)
                rule(self, operand, value, where, schema)

    def fits(self, schema: Any, value: Any) -> bool | None:
        """Whether `value` has nothing against it; None where that is not to be known."""
        before = self._unknown
        self._asking += 1
        try:
            self.look(schema, value)
        except _Misfit:
            self._unknown = before
            return False
        finally:
            self._asking -= 1
        return None if self._unknown > before else True

    def let_be(self) -> None:
        """Something is not looked at that might be against the value."""
        self._unknown += 1

    def pay(self, steps: int) -> None:
        """Raises TooMuchWork where there is not that much left."""
        self._left -= steps
        if self._left < 0:
            raise TooMuchWork

    def violated(self, where: Where, message: str, expected: object) -> None:
        """The value there is not `expected`."""
        if self._asking:
            raise _Misfit
        self.count += 1
        if self.count <= MOST:
            self.violations.append(Violation(pointer(where), message, _short(expected)))

    def matches(self, pattern: str, text: str) -> bool | None:
        """Whether the pattern is found in the text; None where that is not to be known."""
        known = self._patterns[pattern]
        if known is None or len(text) > LONGEST_TEXT or (known.of_ascii and not text.isascii()):
            self.let_be()
            return None
        self.pay(1 + known.cost * len(text) // ELEMENTS_PER_STEP)
        return known.is_found_in(text)

    def resolved(self, reference: str) -> Any:
        """What a reference into the schema leads to; anything fits where that is nothing."""
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            self.pay(1)
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and len(name) < 6 and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, dict | bool):
            self.let_be()
        return found


def pointer(where: Where) -> str:
    """The way there as a JSON pointer."""
    steps: list[str] = []
    while where is not None:
        where, step = where
        steps.append(str(step)[:LONGEST_NAME].replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in reversed(steps))


def _short(expected: object) -> object:
    return expected if len(msgspec.json.encode(expected)) <= LONGEST_EXPECTED else None


# What belongs to a value of any type.


def _ref(check: Check, operand: str, value: Any, where: Where, _: Any) -> None:
    check.look(check.resolved(operand), value, where)


def _is(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return name == "number" or isinstance(value, int) or value.is_integer()
    return isinstance(value, _TYPES[name])


_TYPES: Final = {"array": list, "boolean": bool, "null": type(None), "object": dict, "string": str}


def _type(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    names = [operand] if isinstance(operand, str) else operand
    if not any(_is(value, name) for name in names):
        check.violated(where, f"is not of type {' or '.join(names)}", {"type": operand})


def _enum(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    check.pay(len(operand))
    if not any(_same(check, value, each) for each in operand):
        check.violated(where, "is none of the values that are allowed", {"enum": operand})


def _const(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if not _same(check, value, operand):
        check.violated(where, "is not the one value that is allowed", {"const": operand})


def _same(check: Check, one: Any, other: Any) -> bool:
    """Whether they are equal as JSON Schema has it: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        check.pay(len(other))
        return one.keys() == other.keys() and all(_same(check, one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        check.pay(len(other))
        return len(one) == len(other) and all(map(_same, [check] * len(one), one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _all_of(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    for each in operand:
        check.look(each, value, where)


def _any_of(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if all(check.fits(each, value) is False for each in operand):
        check.violated(where, f"fits none of {len(operand)} alternatives", {"anyOf": operand})


def _one_of(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    found = [check.fits(each, value) for each in operand]
    fitting = found.count(True)
    if fitting > 1 or not (fitting or None in found):
        of = f"{fitting or 'none'} of {len(operand)} alternatives"
        check.violated(where, f"fits {of}, and is to fit one", {"oneOf": operand})


def _not(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if check.fits(operand, value) is True:
        check.violated(where, "is what it may not be", {"not": operand})


def _if(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    fits = check.fits(operand, value)
    if fits is not None:
        check.look(schema.get("then" if fits else "else", True), value, where)


# Numbers.


def _bound(keyword: str, word: str, is_within: Callable[[Any, Any], bool]) -> "Rule":
    def rule(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
        strict = schema.get(f"exclusive{keyword[0].upper()}{keyword[1:]}") is True  # draft 4
        if isinstance(operand, bool) or not _is(value, "number"):
            return
        if not is_within(value, operand) or (strict and value == operand):
            check.violated(where, f"is {word} {operand}", {keyword: operand})

    return rule


def _multiple_of(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    """In decimals, for 0.3 is a multiple of 0.1; what is too long for that is let be."""
    if _is(value, "number"):
        check.pay(STEPS_OF_DECIMALS)
        try:
            is_multiple = not Decimal(str(value)) % Decimal(str(operand))
        except DecimalException:
            check.let_be()
            return
        if not is_multiple:
            check.violated(where, f"is no multiple of {operand}", {"multipleOf": operand})


# Texts, arrays and objects.


def _size(keyword: str, kind: type, word: str, unit: str) -> "Rule":
    def rule(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
        if isinstance(value, kind):
            is_wrong = len(value) < operand if word == "fewer" else len(value) > operand  # type: ignore[arg-type]
            if is_wrong:
                check.violated(where, f"has {word} than {operand} {unit}", {keyword: operand})

    return rule


def _pattern(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if isinstance(value, str) and check.matches(operand, value) is False:
        check.violated(where, "does not match the pattern", {"pattern": operand})


def _prefix_items(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if isinstance(value, list):
        for number, (schema, each) in enumerate(zip(operand, value, strict=False)):
            check.look(schema, each, (where, number))


def _items(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    if isinstance(operand, list):  # before 2020-12
        _prefix_items(check, operand, value, where, schema)
    elif isinstance(value, list):
        _look_at_rest(check, operand, value, where, len(schema.get("prefixItems", ())))


def _additional_items(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    tuple_ = schema.get("items")
    if isinstance(value, list) and isinstance(tuple_, list):
        _look_at_rest(check, operand, value, where, len(tuple_))


def _look_at_rest(check: Check, operand: Any, value: list[Any], where: Where, first: int) -> None:
    for number in range(first, len(value)):
        check.look(operand, value[number], (where, number))


def _contains(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    if not isinstance(value, list):
        return
    found = [check.fits(operand, each) for each in value]
    fitting = found.count(True)
    bounds = {name: schema[name] for name in check.bounds_of_contains if name in schema}
    if fitting + found.count(None) < bounds.get("minContains", 1) or fitting > bounds.get("maxContains", fitting):
        message = f"has {fitting or 'no'} items of the kind of which there is to be another number"
        check.violated(where, message, {"contains": operand, **bounds})


def _unique_items(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if not operand or not isinstance(value, list):
        return
    if len(value) > MOST_UNIQUE:
        check.let_be()
    elif len({_frozen(check, each) for each in value}) < len(value):
        check.violated(where, "has an item twice", {"uniqueItems": True})


def _frozen(check: Check, value: Any) -> object:
    """The same for what `_same` calls so, and nothing else.

    Numbers as texts: there are many with one hash, and it takes long to tell such from one another in a set.
    """
    check.pay(1)
    if isinstance(value, dict):
        return frozenset((name, _frozen(check, each)) for name, each in value.items())
    if isinstance(value, list):
        return tuple(_frozen(check, each) for each in value)
    if not _is(value, "number"):
        return (isinstance(value, str), str(value))
    return str(int(value) if _is(value, "integer") else value)


def _properties(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if isinstance(value, dict):
        check.pay(len(operand) // 8)
        for name, schema in operand.items():
            if name in value:
                check.look(schema, value[name], (where, name))


def _required(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    if isinstance(value, dict):
        _look_for(check, operand, value, where, schema)


def _look_for(check: Check, names: Iterable[str], value: Mapping[str, Any], where: Where, schema: Any) -> None:
    for name in names:
        check.pay(1)
        if name not in value:
            expected = schema.get("properties", {}).get(name, True)
            check.violated((where, name), "is missing", expected)


def _additional_properties(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    if not isinstance(value, dict) or operand is True:
        return
    for name in _additional(check, value, schema):
        if operand is False:
            check.violated((where, name), "is none of the properties that there are", expected=False)
        else:
            check.look(operand, value[name], (where, name))


def _additional(check: Check, value: Mapping[str, Any], schema: Any) -> Iterator[str]:
    """The names that no other keyword knows; not those of which it cannot be said."""
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in value:
        check.pay(1)
        if name not in known and all(check.matches(each, name) is False for each in patterns):
            yield name


def _pattern_properties(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if isinstance(value, dict):
        for pattern, schema in operand.items():
            for name, each in value.items():
                if check.matches(pattern, name):
                    check.look(schema, each, (where, name))


def _property_names(check: Check, operand: Any, value: Any, where: Where, _: Any) -> None:
    if isinstance(value, dict):
        for name in value:
            if check.fits(operand, name) is False:
                check.violated((where, name), "has a name that it may not have", {"propertyNames": operand})


def _dependencies(check: Check, operand: Any, value: Any, where: Where, schema: Any) -> None:
    if isinstance(value, dict):
        for name, wanted in operand.items():
            check.pay(1)
            if name in value and isinstance(wanted, list):
                _look_for(check, wanted, value, where, schema)
            elif name in value:
                check.look(wanted, value, where)


def _let_be(check: Check, _operand: Any, _value: Any, _where: Where, _schema: Any) -> None:
    check.let_be()


Rule = Callable[[Check, Any, Any, Where, Any], None]
"""`rule(check, operand, value, where, schema)`: what the keyword of `schema` with this operand has against the value."""

_LATER: Final = frozenset({"prefixItems", "dependentRequired", "dependentSchemas"})
"""Keywords that the dialects do not have in which nothing counts that stands beside a `$ref`."""

_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("format", "unevaluatedItems", "unevaluatedProperties"), _let_be),
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "minimum": _bound("minimum", "less than", lambda value, bound: bool(value >= bound)),
    "maximum": _bound("maximum", "more than", lambda value, bound: bool(value <= bound)),
    "exclusiveMinimum": _bound("exclusiveMinimum", "not more than", lambda value, bound: bool(value > bound)),
    "exclusiveMaximum": _bound("exclusiveMaximum", "not less than", lambda value, bound: bool(value < bound)),
    "multipleOf": _multiple_of,
    "minLength": _size("minLength", str, "fewer", "characters"),
    "maxLength": _size("maxLength", str, "more", "characters"),
    "minItems": _size("minItems", list, "fewer", "items"),
    "maxItems": _size("maxItems", list, "more", "items"),
    "minProperties": _size("minProperties", dict, "fewer", "members"),
    "maxProperties": _size("maxProperties", dict, "more", "members"),
    "pattern": _pattern,
    "prefixItems": _prefix_items,
    "items": _items,
    "additionalItems": _additional_items,
    "contains": _contains,
    "uniqueItems": _unique_items,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional_properties,
    "patternProperties": _pattern_properties,
    "propertyNames": _property_names,
    "dependentRequired": _dependencies,
    "dependentSchemas": _dependencies,
    "dependencies": _dependencies,
}
