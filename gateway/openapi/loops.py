"""References that lead back to themselves, broken where whoever follows them would never come to an end. No I/O.

A schema that holds itself as a property or an item is a tree, and welcome. One that is, by `$ref`, `allOf` and the like,
itself in the same place, says nothing; and what stands under `allOf` is looked through to the last item by some readers,
who would not find out of a list of lists of itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_Components = Mapping[str, dict[str, Any]]

_SAME_PLACE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_LOOKED_THROUGH: Final = ("allOf", "anyOf", "oneOf", "not", "items")


def break_loops(components: _Components) -> None:
    """Take out of `components`, which refer to each other alone, each `$ref` that closes a loop."""
    _break(components, _SAME_PLACE)
    endless = _in_a_loop(components)
    for component in components.values() if endless else ():
        for schema in _everything(component):
            for member in schema.get("allOf", ()):
                for each in _within(member, _LOOKED_THROUGH):
                    if _target(each) in endless:
                        del each["$ref"]


def require_what_there_is(components: _Components) -> None:
    """Beside `allOf`, a component requires what it or a part of it tells of, and no more: some readers refuse others."""
    for component in components.values():
        if "allOf" in component and "required" in component:
            known = set(component.get("properties", ()))
            _gather_properties(component["allOf"], components, known, set())
            component["required"] = [each for each in component["required"] if each in known]
            if not component["required"]:
                del component["required"]


def _gather_properties(members: Iterable[Any], components: _Components, known: set[str], seen: set[str]) -> None:
    """Add the properties of `members` to `known`. What is in `seen` was looked through, by however many ways it is
    reached: each part may refer twice to the next one, and the ways double with each.
    """
    for member in members:
        if not isinstance(member, dict):
            continue
        target = _target(member)
        if target is None:
            known.update(member.get("properties", ()))
            parts = (member.get(keyword) for keyword in _LOOKED_THROUGH)
            below = [x for each in parts for x in (each if isinstance(each, list) else [each])]
            _gather_properties(below, components, known, seen)
        elif target not in seen:
            seen.add(target)
            _gather_properties([components[target]], components, known, seen)


def _break(components: _Components, keywords: tuple[str, ...]) -> None:
    done: set[str] = set()

    def visit(name: str, above: frozenset[str]) -> None:
        for each in _within(components[name], keywords):
            target = _target(each)
            if target is None:
                continue
            if target in above or target not in components:
                del each["$ref"]
            elif target not in done:
                visit(target, above | {target})
        done.add(name)

    for name in components:
        visit(name, frozenset({name}))


def _in_a_loop(components: _Components) -> set[str]:
    """The components from which a reader who looks through comes to a loop."""
    edges = {
        name: {target for each in _within(component, _LOOKED_THROUGH) if (target := _target(each)) is not None}
        for name, component in components.items()
    }
    endless = set(edges)
    while leaving := {name for name in endless if not edges[name] & endless}:
        endless -= leaving
    return endless


def _target(schema: Mapping[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else None


def _within(schema: object, keywords: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """`schema`, and what is below it by way of `keywords`."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword in keywords:
        for each in _parts(keyword, schema.get(keyword)):
            yield from _within(each, keywords)


def _everything(schema: object) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword, value in schema.items():
        for each in _parts(keyword, value):
            yield from _everything(each)


_VALUES: Final = frozenset({"const", "default", "enum", "examples", "required", "type", "dependentRequired"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})


def _parts(keyword: str, value: object) -> list[Any]:
    """The schemas that stand beside `keyword`."""
    if keyword in _VALUES:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value.values()) if keyword in _MAPS else [value]
    return []
