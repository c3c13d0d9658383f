"""What is an answer to a child's question, and what is wrong with what is none."""

import json
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.jsonrpc import Request
from gateway.rest.answering import MAX_VIOLATIONS, answer, check, declined, violations
from gateway.rest.schemas import LONGEST


def asks(method: str = "elicitation/create", **params: Any) -> Request:
    return Request(b'"q"', method, json.dumps(params).encode())


def form(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def wrong(question: Request, said: Any) -> list[Any]:
    """The pointers of what is wrong with an answer."""
    with pytest.raises(GatewayError) as raised:
        answer(question, json.dumps(said).encode())
    assert raised.value.status == 400
    return [each["pointer"] for each in raised.value.about["violations"]]  # type: ignore[attr-defined]


def result(question: Request, said: Any) -> Any:
    return json.loads(answer(question, json.dumps(said).encode()).result)


def test_each_thing_that_is_missing_is_named() -> None:
    field = {"type": "string"}
    two = asks(requestedSchema=form(**{"a/b": field, "c": field, "d": field}))
    assert wrong(two, {"action": "accept", "content": {"c": 1}}) == ["/content/c", "/content/a~1b", "/content/d"]


FORM = asks(message="who?", requestedSchema=form(name={"type": "string", "minLength": 2}))


def test_an_answer_holds_what_the_protocol_has_and_nothing_else() -> None:
    accepted = {"action": "accept", "content": {"name": "ann"}}
    assert result(FORM, {**accepted, "more": 1}) == accepted
    assert result(FORM, {"action": "decline", "content": {"name": "ann"}}) == {"action": "decline"}
    assert result(asks(mode="url", url="x"), {"action": "accept", "content": {}}) == {"action": "accept"}


@pytest.mark.parametrize(
    ("said", "pointers"),
    [
        ({}, ["/action"]),
        ({"action": "yes"}, ["/action"]),
        ({"action": "accept"}, ["/content"]),
        ({"action": "accept", "content": []}, ["/content"]),
        ({"action": "accept", "content": {}}, ["/content/name"]),
        ({"action": "accept", "content": {"name": "a"}}, ["/content/name"]),
        ({"error": {"code": "1", "message": "x"}}, ["/error"]),
        ({"error": {"code": 1, "message": "x"}, "action": "accept"}, ["/error"]),
    ],
)
def test_what_is_wrong_with_an_answer_is_pointed_at(said: Any, pointers: list[str]) -> None:
    assert wrong(FORM, said) == pointers


def test_an_answer_may_be_a_refusal() -> None:
    refusal = {"code": -1, "message": "no"}
    assert json.loads(answer(FORM, json.dumps({"error": refusal}).encode()).error) == refusal


def test_the_answer_of_a_model_says_who_said_what() -> None:
    said = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m", "stopReason": "endTurn"}
    assert result(asks("sampling/createMessage"), said) == said
    assert wrong(asks("sampling/createMessage"), {"role": "system", "content": "hm"}) == ["/role", "/content", "/model"]


def test_who_declines_says_so_as_the_protocol_has_it() -> None:
    assert declined(FORM).result == b'{"action":"decline"}'
    assert json.loads(declined(asks("sampling/createMessage")).error)["code"] == -1


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"type": "integer", "minimum": 3}, 3, 2),
        ({"type": "number", "maximum": 3}, 2.5, 3.5),
        ({"type": "boolean"}, True, "yes"),
        ({"type": "string", "enum": ["a", "b"]}, "a", "c"),
        ({"type": "string", "oneOf": [{"const": "a", "title": "A"}]}, "a", "A"),
        ({"type": "array", "items": {"enum": ["a"]}, "maxItems": 1}, ["a"], ["b"]),
        ({"type": "array", "items": {"anyOf": [{"const": "a"}]}}, ["a"], ["b"]),
    ],
)
def test_each_kind_of_field_that_a_form_has_is_checked(field: Any, good: Any, bad: Any) -> None:
    schema = json.dumps(form(x=field)).encode()
    assert violations(schema, json.dumps({"x": good}).encode()) == []
    assert len(violations(schema, json.dumps({"x": bad}).encode())) == 1


@pytest.mark.parametrize(
    "schema",
    [
        b"",
        b"[]",
        b"{",
        b'{"properties": 3, "required": 4}',
        b'{"properties": {"x": {"type": "string", "pattern": "^(a+)+$", "minLength": "2", "enum": []}}}',
        b'{"properties": {"x": {"$ref": "http://127.0.0.1:9/x"}}}',
        b'{"properties": {"x": {"type": "string", "$ref": "file:///etc/passwd"}}}',
        b'{"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}',
        b'{"required": [' + b'"y",' * LONGEST + b'"y"]}',
    ],
)
def test_a_form_that_is_hostile_or_malformed_refuses_nothing(schema: bytes) -> None:
    assert violations(schema, json.dumps({"x": "a" * 40 + "!"}).encode()) == []


def test_what_is_said_of_what_is_wrong_has_bounds() -> None:
    fields = {f"f{number}": {"type": "integer", "enum": list(range(100))} for number in range(100)}
    found = violations(json.dumps(form(**fields)).encode(), json.dumps(dict.fromkeys(fields, "x" * 10_000)).encode())
    assert len(found) == MAX_VIOLATIONS
    assert len(json.dumps(found)) < MAX_VIOLATIONS * 500


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a": "\xff"}', b"{" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError):
        check(body)
