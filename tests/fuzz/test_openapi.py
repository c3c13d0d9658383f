"""Any schema that a child may come up with: the documents stay valid, and no other tool is hurt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openapi.own import OWN
from tests.support.fuzz import ODD_TEXT, SCALARS, VALUES
from tests.support.openapi import check, check_for_librechat, made, made_for_actions, server, tool

pytestmark = pytest.mark.slow

KEYWORDS = st.sampled_from(
    """$ref $dynamicRef $recursiveRef $id $anchor $dynamicAnchor $schema $defs definitions id type properties required
    items prefixItems additionalItems additionalProperties patternProperties propertyNames allOf anyOf oneOf not if
    then else enum const default examples example minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
    minLength maxLength pattern format minItems maxItems uniqueItems contains minContains maxContains minProperties
    maxProperties dependentRequired dependentSchemas dependencies unevaluatedItems unevaluatedProperties title
    description readOnly writeOnly deprecated nullable discriminator xml externalDocs contentEncoding
    contentMediaType""".split()
)
REFERENCES = st.sampled_from(
    """# #/ #/$defs/a #/$defs/b #/definitions/a #/properties/a #/allOf/0 #/items #a #/$defs/a~1b #/%24defs/a //x
    https://elsewhere.test/schema file:///etc/passwd #/components/schemas/Error""".split()
)
TYPES = st.sampled_from(["string", "integer", "number", "object", "array", "boolean", "null", "any"])
NAMES = st.sampled_from(["a", "b", "$ref", "type", "properties", "", "a/b"]) | ODD_TEXT


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas of which `inner` are the parts: mostly as they should be, and sometimes not at all."""
    of_parts = st.dictionaries(NAMES, inner, max_size=3)
    right = st.fixed_dictionaries(
        {},
        optional={
            "$ref": REFERENCES,
            "$dynamicRef": REFERENCES,
            "$anchor": st.sampled_from("ab"),
            "type": TYPES | st.lists(TYPES, max_size=3),
            "properties": of_parts,
            "required": st.lists(NAMES, max_size=3),
            "items": inner | st.lists(inner, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
            "enum": st.lists(SCALARS | VALUES, max_size=3),
            "const": VALUES,
            "default": SCALARS | VALUES,
            "$defs": of_parts,
            "definitions": of_parts,
            "additionalProperties": inner,
            "format": st.sampled_from(["date", "uri", "regex", "int32", "byte", "odd"]),
            "pattern": st.sampled_from(["^a+$", "(", "\\p{L}", "[[a]"]),
            "minimum": SCALARS,
            "exclusiveMinimum": SCALARS,
            "maximum": SCALARS,
            "multipleOf": SCALARS,
            "minLength": SCALARS,
            "nullable": SCALARS,
        },
    )
    return right | st.dictionaries(KEYWORDS, inner | SCALARS | REFERENCES | st.lists(inner, max_size=2), max_size=5)


SCHEMAS = st.recursive(SCALARS | st.builds(lambda type_: {"type": type_}, TYPES), _grown, max_leaves=12)

FINE: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}
GOOD = server("good", tool("fine", FINE))


@given(SCHEMAS, SCHEMAS)
def test_whatever_a_schema_says_the_documents_are_valid_and_other_tools_whole(schema: Any, output: Any) -> None:
    odd = server("odd", tool("odd", schema, output))
    for version in ("3.1", "3.0"):
        found = made(odd, GOOD, version=version)
        check(found)
        assert found["components"]["schemas"]["good__fine.input"] == FINE
    for_librechat = made_for_actions(odd, GOOD)
    check(for_librechat)
    check_for_librechat(for_librechat)


@given(st.lists(NAMES | st.sampled_from(["getUser", "get_user", "get-user", "..", "{id}", "x_action_y"]), max_size=6))
def test_whatever_tools_are_called_each_has_a_path_and_an_id_of_its_own(names: list[str]) -> None:
    tools = [tool(name) for name in names]
    servers = server("a_b", *tools), server("A-b", *tools)
    found = made(*servers)
    check(found)
    ids = [operation["operationId"] for methods in found["paths"].values() for operation in methods.values()]
    assert len({each.lower().replace("-", "").replace("_", "") for each in ids}) == len(ids)
    own = {row.path for row in OWN}
    assert not any("{" in path for path in found["paths"] if path not in own)
    check_for_librechat(made_for_actions(*servers))
