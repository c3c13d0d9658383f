"""What tests of OpenAPI documents share: tools made up on the spot, and the validator's verdict."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from gateway.catalog.offers import Listing, Offer, Tool, Welcome
from gateway.openapi.actions import actions
from gateway.openapi.document import Version, document
from gateway.openapi.gpt import LONGEST_OF_OPERATION, LONGEST_OF_PARAMETER, gpt
from gateway.openapi.servers import Described, Frame

LIBRECHATS_ID = re.compile(r"(?!.*(?:---|_action_|_mcp_))[A-Za-z0-9_-]{1,46}")
"""Ids of operations that LibreChat makes a working tool of."""


def tool(name: str, schema: object = None, output: object = None, **about: Any) -> Tool:
    """A tool; a schema may be its JSON, or anything that JSON can hold."""
    given = {"type": "object"} if schema is None else schema
    raw = given if isinstance(given, bytes) else msgspec.json.encode(given)
    out = b"" if output is None else msgspec.json.encode(output)
    return Tool(name, input_schema=Raw(raw), output_schema=Raw(out), **about)


def server(name: str, *tools: Tool, instructions: str | None = None, **about: Any) -> Described:
    """A server that offers these."""
    offer = Offer(Welcome(instructions=instructions), tools, (), (), (), datetime.now(UTC), 0.1)
    return Described(Listing(name, offer), **about)


def frame(*servers: Described, **about: Any) -> Frame:
    """What stands round them."""
    defaults = {"url": "http://gw.test", "release": "1", "security": {}}
    return Frame(every_server=tuple(each.name for each in servers), **{**defaults, **about})


def made(*servers: Described, version: Version = "3.1", **about: Any) -> Any:
    """The document of `servers`, as whoever asks gets it."""
    return decoded(document(servers, frame(*servers, **about), version))


def made_for_actions(*servers: Described, is_person: bool = False, **about: Any) -> Any:
    """The same for LibreChat's Actions."""
    return decoded(actions(servers, frame(*servers, **about), is_person=is_person))


def made_for_a_gpt(*servers: Described, **about: Any) -> Any:
    """The same for a custom GPT."""
    return decoded(gpt(servers, frame(*servers, **{"url": "https://gw.test", **about})))


def decoded(found: object) -> Any:
    """`found` as its JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(found))


def check(found: Mapping[str, Any]) -> None:
    """The validator finds nothing wrong with the document."""
    validator = OpenAPIV31SpecValidator if found["openapi"].startswith("3.1") else OpenAPIV30SpecValidator
    assert [f"{list(error.path)}: {error.message}" for error in validator(found).iter_errors()] == []


def check_for_librechat(found: Mapping[str, Any]) -> None:
    """The document is one that LibreChat's converter understands all of."""
    assert "components" not in found
    ids = []
    for path in found["paths"].values():
        assert path.keys() <= {"get", "post"}
        for operation in path.values():
            ids.append(operation["operationId"])
            body = operation.get("requestBody", {"content": {"application/json": {"schema": {"type": "object"}}}})
            [(kind, content)] = body["content"].items()
            assert kind == "application/json"
            assert content["schema"]["type"] == "object"
            check_is_flat(content["schema"])
            taken = set(content["schema"].get("properties", ()))
            assert not taken & {each["name"] for each in operation.get("parameters", ())}
    assert len(ids) == len(set(ids))
    assert [each for each in ids if not LIBRECHATS_ID.fullmatch(each)] == []


def check_for_a_gpt(found: Mapping[str, Any]) -> None:
    """The document is one that the form for a custom GPT's actions takes, as far as its limits are known."""
    check(found)
    assert found["openapi"] == "3.1.0"
    assert [each["url"][:8] for each in found["servers"]] == ["https://"]
    assert "securitySchemes" not in found["components"]
    for _, operation in operations(found):
        assert isinstance(operation["x-openai-isConsequential"], bool)
        assert all(len(operation.get(each, "")) <= LONGEST_OF_OPERATION for each in ("summary", "description"))
    check_parts_for_a_gpt(found["components"]["schemas"])


def check_parts_for_a_gpt(part: object) -> None:
    """No description is too long, and each object has properties."""
    if isinstance(part, Mapping):
        assert not isinstance(text := part.get("description"), str) or len(text) <= LONGEST_OF_PARAMETER
        assert part.get("type") != "object" or "properties" in part
    for each in part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ():
        check_parts_for_a_gpt(each)


def check_is_flat(schema: Mapping[str, Any]) -> None:
    """Nothing is to be looked up, nothing is a choice, and everything has one type."""
    assert isinstance(schema["type"], str)
    assert not schema.keys() & {"$ref", "allOf", "anyOf", "oneOf", "not", "nullable"}, schema
    assert "enum" not in schema or (schema["type"] == "string" and all(isinstance(x, str) for x in schema["enum"]))
    assert ("items" in schema) is (schema["type"] == "array")
    for each in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        check_is_flat(each)


def operations(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All operations, by their paths."""
    for path, methods in found["paths"].items():
        for operation in methods.values():
            yield path, operation
