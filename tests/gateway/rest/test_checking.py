"""Arguments are held against the schema of their tool, in milliseconds or not at all."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema.validators import validator_for

from common.reasons import Reason
from gateway.rest.checking import Checker, checker_of
from gateway.rest.keywords import LONGEST_NAME, MOST, MOST_UNIQUE, Check, _frozen
from gateway.rest.patterns import LONGEST_TEXT, Patterns
from gateway.rest.schemas import DEEPEST, LONGEST


def wrong(schema: Any, arguments: Any) -> dict[str, Any]:
    """What is expected at each pointer of what is wrong."""
    checker = Checker(json.dumps(schema).encode())
    assert not checker.unusable
    found = checker.look(json.dumps(arguments).encode())
    return {each.pointer: each.expected for each in found.violations} if found is not None else {}


def unusable(schema: Any) -> str:
    checker = Checker(json.dumps(schema).encode())
    assert checker.look(b"{}") is None
    return checker.unusable


def test_every_violation_is_told_with_its_pointer_and_what_was_expected() -> None:
    schema = {
        "type": "object",
        "properties": {"a/b": {"type": "integer"}, "c~d": {"items": {"enum": ["x", None]}}, "name": {"type": "string"}},
        "required": ["name", "other"],
        "additionalProperties": False,
    }
    assert wrong(schema, {"a/b": "1", "c~d": ["x", "y", None], "more": 1}) == {
        "/a~1b": {"type": "integer"},
        "/c~0d/1": {"enum": ["x", None]},
        "/name": {"type": "string"},
        "/other": True,
        "/more": False,
    }


def test_no_value_is_repeated_and_what_is_told_is_bounded() -> None:
    schema = {"properties": {"s": {"type": "integer"}}, "items": {}, "additionalProperties": {"enum": ["x" * 2000]}}
    arguments = {"s": "s3cret", "n" * 5000: {"s3cret": ["s3cret"]}, **{f"m{n}": "s3cret" for n in range(200)}}
    found = checker_of(json.dumps(schema).encode()).look(json.dumps(arguments).encode())
    assert found is not None
    assert (found.count, len(found.violations)) == (202, MOST)
    error = found.error("server", "tool")
    assert (error.reason, error.status, error.about["count"]) == (Reason.INVALID_ARGUMENTS, 400, 202)
    assert b"s3cret" not in error.rest_body()
    assert found.violations[1].pointer == "/" + "n" * LONGEST_NAME
    assert found.violations[1].expected is None


DRAFT_7 = "http://json-schema.org/draft-07/schema#"

# Schemas, each with arguments that fit and arguments that do not.
CASES: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({"type": "integer"}, [1, 1.0, -3, 10**30], [1.5, "1", True, None]),
    ({"type": "number"}, [1, 1.5], [True, "1"]),
    ({"type": ["string", "null"]}, ["", None], [0, False, []]),
    ({"type": "array"}, [[]], [{}]),
    ({"const": 1}, [1, 1.0], [True, "1", [1]]),
    ({"const": {"a": [1, True]}}, [{"a": [1.0, True]}], [{"a": [1, 1]}, {"a": [1]}, {}]),
    ({"enum": [False, "a", [0]]}, [False, "a", [0]], [0, "b", [False]]),
    ({"minimum": 1, "exclusiveMaximum": 3}, [1, 2.9, "x"], [0, 3]),
    ({"exclusiveMinimum": 1, "maximum": 3}, [1.1, 3], [1, 4]),
    ({"multipleOf": 0.1}, [0.3, 1, 1.1], [0.35]),
    ({"multipleOf": 3}, [9, 9.0, 3 * 10**30], [10]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "äöü", 1], ["a", "abcd"]),
    ({"pattern": "^[a-z]+$"}, ["abc", 1], ["ABC", "abc\n"]),
    ({"minItems": 1, "maxItems": 2}, [[1], {}], [[], [1, 2, 3]]),
    (
        {"uniqueItems": True},
        [[1, True, "1", [1], [True]], [{"a": 1}, {"a": True}]],
        [[1, 1.0], [{"a": [1]}, {"a": [1.0]}]],
    ),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}], [{}, {"a": 1, "b": 1, "c": 1}]),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["a", 1], []], [[1], ["a", "b"]]),
    ({"prefixItems": [{"type": "string"}], "items": False}, [["a"]], [["a", "b"]]),
    ({"contains": {"type": "integer"}}, [["a", 1], "x"], [["a"], []]),
    ({"contains": {"type": "integer"}, "minContains": 2, "maxContains": 3}, [[1, 2]], [[1], [1, 2, 3, 4]]),
    ({"contains": {"type": "integer"}, "minContains": 0}, [[]], []),
    ({"patternProperties": {"^x-": {"type": "integer"}}}, [{"x-a": 1, "y": "a"}], [{"x-a": "1"}]),
    (
        {"properties": {"a": {}}, "patternProperties": {"^x-": {}}, "additionalProperties": {"type": "string"}},
        [{"a": 1, "x-b": 1, "c": "s"}],
        [{"c": 1}],
    ),
    ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}], [{"abc": 1}]),
    ({"dependentRequired": {"a": ["b"]}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, [{"a": 1, "b": 1}], [{"a": 1}]),
    ({"allOf": [{"type": "string"}, {"minLength": 1}]}, ["a"], ["", 1]),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [1]),
    ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, [1.5], [1, "a"]),
    ({"not": {"type": "string"}}, [1], ["a"]),
    ({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "null"}}, ["a", None], ["", 1]),
    ({"then": False, "else": False}, [1], []),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string"}}, "minLength": 2}, ["ab"], ["a", 1]),
    (
        {"properties": {"next": {"$ref": "#"}}, "additionalProperties": False},
        [{"next": {"next": {}}}],
        [{"next": {"x": 1}}],
    ),
    ({"properties": {"a": False}}, [{}], [{"a": 1}]),
    ({"$schema": DRAFT_7, "items": [{"type": "string"}], "additionalItems": False}, [["a"]], [["a", 1]]),
    (
        {"$schema": DRAFT_7, "dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        [{"a": 1, "b": 1}],
        [{"a": 1}, {"c": 1}],
    ),
    (
        {"$schema": DRAFT_7, "definitions": {"s": {"type": "string"}}, "$ref": "#/definitions/s", "minLength": 2},
        ["a"],
        [1],
    ),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}, [2], [1, 0]),
    (
        {"$schema": "https://json-schema.org/draft/2019-09/schema", "items": [{}, {"type": "null"}]},
        [[1, None, 2]],
        [[1, 2]],
    ),
]


@pytest.mark.parametrize(("schema", "fitting", "others"), CASES, ids=lambda value: str(value)[:60])
def test_what_fits_is_what_the_specification_says(schema: Any, fitting: list[Any], others: list[Any]) -> None:
    reference = validator_for(schema)(schema)
    for value in fitting:
        assert reference.is_valid(value) or "multipleOf" in schema  # which it reckons in floating point
        assert wrong({**root_of(schema), "properties": {"it": inner(schema)}}, {"it": value}) == {}
    for value in others:
        assert not reference.is_valid(value) or (schema.get("pattern") and value.endswith("\n"))
        assert wrong({**root_of(schema), "properties": {"it": inner(schema)}}, {"it": value}) != {}


def root_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": schema["$schema"]} if "$schema" in schema else {}


def inner(schema: dict[str, Any]) -> Any:
    """The schema as one within another, where references are to it."""
    text = json.dumps({name: each for name, each in schema.items() if name != "$schema"})
    return json.loads(text.replace('"#', '"#/properties/it'))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ([], "no JSON object"),
        ({"type": "objekt"}, "'type'"),
        ({"required": "name"}, "'required'"),
        ({"properties": {"a": {"required": True}}}, "'required'"),
        ({"properties": []}, "'properties'"),
        ({"properties": {"a": "string"}}, "'properties'"),
        ({"minimum": "1"}, "'minimum'"),
        ({"maxLength": -1}, "'maxLength'"),
        ({"multipleOf": 0}, "'multipleOf'"),
        ({"anyOf": {}}, "'anyOf'"),
        ({"$schema": "https://example.org/schema"}, "$schema"),
        ({"$schema": 7}, "$schema"),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, "$schema"),
        ({"properties": {"a": {"$ref": "https://example.org/a"}}}, "$ref"),
        ({"default": {"$ref": "file:///etc/passwd"}}, "$ref"),
        ({"$ref": "#anchor"}, "$ref"),
        ({"$dynamicRef": "#x"}, "$dynamicRef"),
        ({"enum": ["x" * LONGEST]}, "longer than"),
        (json.loads('{"not":' * DEEPEST + '{"not":{}}' + "}" * DEEPEST), "deep"),
    ],
)
def test_a_schema_that_is_none_or_leads_elsewhere_checks_nothing(schema: Any, why: str) -> None:
    assert why in unusable(schema)


def test_a_reference_that_leads_nowhere_refuses_nothing() -> None:
    assert wrong({"properties": {"a": {"$ref": "#/$defs/none/0"}}}, {"a": 1}) == {}


LAUGHS = {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {"type": "object"}}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"$ref": "#"}, {}),
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {}),
        ({"$ref": "#/$defs/0", "$defs": LAUGHS}, {}),
        ({"anyOf": [{"$ref": "#/$defs/0"}], "$defs": LAUGHS}, {}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [0] * 100_000}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [n * (2**61 - 1) for n in range(5000)]}),
        ({"properties": {"a": {"items": {"items": {"type": "string"}}}}}, {"a": [[1.5] * 300] * 300}),
        ({"properties": {"a": {"enum": [[n] * 9 for n in range(2000)]}}}, {"a": [1999] * 9}),
    ],
    ids=range(8),
)
def test_work_without_end_is_given_up(schema: Any, arguments: Any) -> None:
    found = Checker(json.dumps(schema).encode()).look(json.dumps(arguments).encode())
    assert found is None or found.count <= 2


def test_what_was_found_before_the_work_was_given_up_counts() -> None:
    schema = {"required": ["a"], "$ref": "#/$defs/0", "$defs": LAUGHS}
    assert wrong(schema, {}) == {"/a": True}


def test_large_arguments_are_the_childs_to_check() -> None:
    schema = {"properties": {"text": {"maxLength": 1}}}
    assert wrong(schema, {"text": "x" * 1_000_000})
    assert not wrong(schema, {"text": "x" * 1_100_000})
    assert not wrong(schema, {"text": "xx", "more": [0] * 25_000})


def test_arguments_of_any_depth_are_no_fault_of_ours() -> None:
    checker = Checker(b'{"additionalProperties":{"$ref":"#"}}')
    assert checker.look(b'{"a":' * 900 + b"1" + b"}" * 900) is None


def test_numbers_with_one_hash_take_no_longer_to_tell_apart_than_others() -> None:
    schema = Checker(b'{"uniqueItems": true}')._schema
    assert schema is not None
    check = Check(schema, Patterns())
    with_one_hash = [2.0 ** (61 * each) for each in range(16)]
    assert len({*map(hash, with_one_hash)}) == 1
    assert len({hash(_frozen(check, each)) for each in with_one_hash}) == len(with_one_hash)


@pytest.mark.parametrize(
    ("items", "fits"),
    [
        ([1, 1.0], False),
        ([0, False, None, "", "0", "None", "0.0", [], {}], True),
        ([True, "True"], True),
        ([-0.0, 0], False),
        ([2**53, 2**53 + 1], True),
        ([10**400, 10**400 + 1], True),
        ([[1, {"a": 2}], [1.0, {"a": 2.0}]], False),
    ],
)
def test_items_are_the_same_or_not(items: list[Any], fits: bool) -> None:
    assert (not wrong({"properties": {"a": {"uniqueItems": True}}}, {"a": items})) is fits


@pytest.mark.parametrize(
    "schema",
    [
        {"dependentRequired": {"a": ["b"]}},
        {"dependentSchemas": {"a": False}},
        {"properties": {"a": {"prefixItems": [False]}}},
        {"properties": {"a": {"contains": {"const": 1}, "minContains": 2}}},
    ],
)
def test_an_older_dialect_has_not_the_keywords_of_a_newer_one(schema: dict[str, Any]) -> None:
    assert wrong(schema, {"a": [1]})
    assert not wrong({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, {"a": [1]})


@pytest.mark.parametrize(
    "unknown",
    [
        {"format": "email"},
        {"pattern": "(?=x)"},
        {"pattern": "^x"},
        {"$ref": "#/$defs/none"},
        {"unevaluatedProperties": False},
        {"uniqueItems": True},
        {"multipleOf": 1e-300},
    ],
)
@pytest.mark.parametrize(
    "schema",
    [
        lambda unknown: {"not": unknown},
        lambda unknown: {"oneOf": [unknown, True]},
        lambda unknown: {"oneOf": [unknown, unknown, False]},
        lambda unknown: {"if": unknown, "then": False},
        lambda unknown: {"if": {"not": unknown}, "else": False},
        lambda unknown: {"anyOf": [False, unknown]},
        lambda unknown: {"not": {"anyOf": [unknown, False]}},
    ],
)
def test_what_is_not_looked_at_is_no_reason_to_refuse_anything(
    unknown: dict[str, Any], schema: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    longest = {"pattern": "x" * (LONGEST_TEXT + 1), "uniqueItems": [*range(MOST_UNIQUE + 1)], "multipleOf": 1e300}
    value = longest.get(next(iter(unknown)), {})
    assert not wrong({"properties": {"a": schema(unknown)}}, {"a": value})


def test_of_a_number_of_items_it_counts_what_is_known() -> None:
    some = {"contains": {"format": "x"}, "maxContains": 0}
    assert not wrong({"properties": {"a": some}}, {"a": [1]})
    assert wrong({"properties": {"a": {**some, "minContains": 2}}}, {"a": [1]})
    assert wrong({"properties": {"a": {"oneOf": [True, True, {"format": "x"}]}}}, {"a": 1})


@pytest.mark.parametrize("pattern", [r"^\w+$", r"^\d$", r"\bx\b"])
def test_a_pattern_that_languages_read_otherwise_is_let_be_where_that_matters(pattern: str) -> None:
    schema = {"properties": {"a": {"pattern": pattern}}}
    assert not wrong(schema, {"a": "é٣"})
    assert wrong(schema, {"a": "--"})
