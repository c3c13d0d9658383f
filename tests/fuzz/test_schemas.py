"""Any schema, and any arguments: an answer in time, the same as the reference's, and no fault."""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.rest.arguments import read
from gateway.rest.checking import Checker
from gateway.rest.keywords import _RULES
from gateway.rest.patterns import pattern_of

NAMES: Final = st.sampled_from(["a", "b", "c/d", "~", ""])
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**400, -(10**30), 0.5, 1.0, -0.0, 1e300, "", "a", "ab", "ä"]),
)
VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
TYPES: Final = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
COUNTS: Final = st.integers(0, 3)
REFERENCES: Final = st.sampled_from(["#", "#/$defs/a", "#/properties/a", "#/nowhere", "#/anyOf/0"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas that are well-formed, of schemas that are."""
    several, named = st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(TYPES, st.lists(TYPES, min_size=1, max_size=2, unique=True)),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            **dict.fromkeys(("minimum", "exclusiveMaximum"), st.integers(-2, 2)),
            **dict.fromkeys(("minLength", "maxLength", "maxItems", "minItems", "maxProperties", "minContains"), COUNTS),
            "uniqueItems": st.booleans(),
            **dict.fromkeys(("items", "contains", "not", "if", "then", "else", "additionalProperties"), inner),
            **dict.fromkeys(("anyOf", "allOf", "oneOf", "prefixItems"), several),
            **dict.fromkeys(("properties", "$defs", "dependentSchemas"), named),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", "/"]), inner, max_size=2),
            "required": st.lists(NAMES, max_size=2, unique=True),
        },
    )


WELL_FORMED: Final = st.recursive(st.one_of(st.booleans(), schemas(st.booleans())), schemas, max_leaves=6).filter(
    lambda schema: isinstance(schema, dict)
)
ANY: Final = st.dictionaries(
    st.sampled_from([*sorted(_RULES), "then", "$schema", "$defs"]),
    st.one_of(VALUES, REFERENCES, WELL_FORMED),
    max_size=4,
)


def complains(schema: Any, arguments: Any) -> bool:
    found = Checker(json.dumps(schema).encode()).look(json.dumps(arguments).encode())
    return found is not None


@given(schema=WELL_FORMED, arguments=VALUES)
def test_what_fits_a_schema_is_what_fits_it_by_the_reference(schema: Any, arguments: Any) -> None:
    assert complains(schema, arguments) is not Draft202012Validator(schema).is_valid(arguments)


@given(schema=ANY, arguments=VALUES)
def test_no_schema_is_a_fault(schema: Any, arguments: Any) -> None:
    complains(schema, arguments)


@given(source=st.text(r"ab\dwpL{}[]()|^$*+?,-&~0159.:<>=!", max_size=20), text=st.text("ab0-", max_size=5))
def test_no_pattern_is_a_fault(source: str, text: str) -> None:
    pattern = pattern_of(source)
    assert pattern is None or pattern.is_found_in(text) in (True, False)


@given(arguments=st.dictionaries(NAMES, VALUES))
def test_arguments_are_read_as_they_are(arguments: Any) -> None:
    body = json.dumps(arguments).encode()
    assert read(body) == body
