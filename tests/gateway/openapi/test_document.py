"""The documents as a whole: names, defaults, security, statuses, and what 3.0 and LibreChat have no words for."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
import yaml
from ruamel.yaml import YAML

from common.config.auth import Auth
from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.documents import MOST, Documents, Wanted
from gateway.openapi.actions import short
from gateway.openapi.defaults import FEWEST_STEPS, Judge, drop_unfit
from gateway.openapi.flat import Flattening
from gateway.openapi.names import unique_slugs
from gateway.openapi.older import as_3_0
from gateway.openapi.security import schemes_of
from gateway.openapi.statuses import ALWAYS, CALL
from gateway.openapi.yamltext import dump
from tests.support.openapi import LIBRECHATS_ID, check, frame, made, made_for_actions, server, tool
from tests.support.processes import PATIENCE


def ids(*names: str) -> list[str]:
    """The ids of the tools of one server."""
    found = made(server("s", *(tool(name) for name in names)))
    return [each["post"]["operationId"] for path, each in found["paths"].items() if path.startswith("/api/s/")]


def test_an_id_is_what_the_server_and_its_tool_are_called() -> None:
    assert ids("add", "path/like tool", "_x_") == ["s__add", "s__path_like_tool", "s__x"]


def test_names_that_a_generator_takes_for_the_same_are_told_apart_whatever_their_order() -> None:
    [one, other, alone] = ids("getUser", "get_user", "list")
    assert one.startswith("s__getUser_")
    assert other.startswith("s__get_user_")
    assert alone == "s__list"
    assert ids("list", "get_user", "getUser") == [alone, other, one]


def test_a_name_that_ends_as_another_with_its_digest_takes_nobodys_place() -> None:
    [first, _] = unique_slugs(["a b", "a_b"]).values()
    found = unique_slugs(["a b", "a_b", first])
    assert len({each.lower() for each in found.values()}) == 3


def test_two_servers_whose_names_flow_together_have_ids_of_their_own() -> None:
    found = made(server("a__b", tool("c")), server("a", tool("b__c")), server("a-b", tool("c")))
    check(found)


@pytest.mark.parametrize(
    "id_", ["s__" + "x" * 60, "s__x_action_y", "s_action__x", "a--b---c__x", "x_mcp_mcp_y", "s__ok"]
)
def test_librechat_takes_every_id(id_: str) -> None:
    assert LIBRECHATS_ID.fullmatch(short(id_))
    assert (short(id_) == id_) is bool(LIBRECHATS_ID.fullmatch(id_))


def test_the_security_schemes_are_those_that_are_configured() -> None:
    auth = Auth.model_validate(
        {
            "basic": {"credentials": [{"username": "u", "password": "p"}]},
            "bearer": {"tokens": ["x"]},
            "api_keys": {"keys": [{"name": "k", "key": "y"}]},
            "jwt": [{"issuer": "https://i.test", "audience": "a", "secret": "s" * 32}],
            "oauth": {"resource": "https://gw.test", "authorization_servers": ["https://i.test"]},
        }
    )
    schemes = schemes_of(auth)
    assert schemes.keys() == {"basic", "bearer", "apiKey", "login"}
    for version in ("3.1", "3.0"):
        found = made(server("s", tool("t")), security=schemes, version=version)
        check(found)
        assert found["security"] == [{"basic": []}, {"bearer": []}, {"apiKey": []}, {"login": []}]
        assert found["paths"]["/health"]["get"]["security"][0] == {}
        assert "401" in found["paths"]["/api/s/t"]["post"]["responses"]
    without = made(server("s", tool("t")))
    assert "security" not in without
    assert "401" not in without["paths"]["/api/s/t"]["post"]["responses"]


def test_a_call_tells_of_every_status_that_an_error_may_have() -> None:
    statuses = {GatewayError(reason, "").status for reason in Reason}
    assert statuses - CALL <= {405}  # which is for other methods than the document has
    assert ALWAYS < CALL


def test_a_result_has_the_tools_own_output_and_all_schemas_are_apart() -> None:
    output = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"type": "integer"}}}
    found = made(server("a", tool("t", output=output)), server("b", tool("t", output={"type": "object"})))
    check(found)
    schemas = found["components"]["schemas"]
    assert schemas["a__t.result"]["properties"]["structuredContent"] == {"$ref": "#/components/schemas/a__t.output"}
    assert schemas["a__t.output.N"] == {"type": "integer"}
    assert schemas["b__t.output"] == {"type": "object"}


def test_no_component_has_a_title_that_another_may_have_too() -> None:
    schema = {"type": "object", "title": "Arguments", "properties": {"a": {"title": "A"}}}
    found = made(server("s", tool("t", schema), tool("u", schema)))["components"]["schemas"]
    assert found["s__t.input"] == {"type": "object", "properties": {"a": {"title": "A"}}}


@pytest.mark.parametrize(
    ("schema", "older"),
    [
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"type": "null"}, {"nullable": True, "enum": [None]}),
        ({"const": 1}, {"enum": [1]}),
        ({"type": "integer", "exclusiveMinimum": 1}, {"type": "integer", "minimum": 1, "exclusiveMinimum": True}),
        ({"minimum": 5, "exclusiveMinimum": 1}, {"minimum": 5}),
        ({"examples": [1, 2]}, {"example": 1}),
        ({"type": "array", "prefixItems": [{}]}, {"type": "array", "items": {}}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"if": {}, "then": {}, "title": "x"}, {"title": "x"}),
        ({"patternProperties": {"x": {}}, "additionalProperties": False}, {"additionalProperties": True}),
        ({"$ref": "#/x", "minimum": 1}, {"$ref": "#/x"}),
        ({"$ref": "#/x", "description": "d"}, {"anyOf": [{"$ref": "#/x"}], "description": "d"}),
        ({"readOnly": True, "writeOnly": True}, {"readOnly": True}),
        (False, {"not": {}}),
    ],
)
def test_3_0_says_it_in_its_own_words(schema: Any, older: Any) -> None:
    assert as_3_0(schema) == older


@pytest.mark.parametrize(
    ("schema", "flat"),
    [
        ({"type": ["null", "string"]}, {"type": "string"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer"}),
        ({"oneOf": [{"const": "a"}, {"enum": ["b", "a"]}]}, {"type": "string", "enum": ["a", "b"]}),
        ({"enum": [1, 2], "description": "D."}, {"type": "integer", "description": "D. One of: 1, 2"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"type": "string", "minLength": 1, "maxLength": 5}, {"type": "string", "minLength": 1, "maxLength": 5}),
        ({}, {"type": "string"}),
        (
            {"allOf": [{"$ref": "#/components/schemas/A"}], "required": ["b"], "properties": {"b": {"type": "number"}}},
            {
                "type": "object",
                "properties": {"a": {"type": "boolean"}, "b": {"type": "number"}},
                "required": ["b", "a"],
            },
        ),
        ({"$ref": "#/components/schemas/Loop"}, {"type": "object", "properties": {"x": {"type": "object"}}}),
    ],
)
def test_librechats_schemas_are_plain(schema: Any, flat: Any) -> None:
    components: Any = {
        "A": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
        "Loop": {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/Loop"}}},
    }
    found = Flattening(components).flat(schema)
    if "Loop" in str(schema):
        found["properties"]["x"].pop("properties", None)
    assert found == flat


@pytest.mark.parametrize(
    ("value", "schema", "does"),
    [
        ("x", {"type": "string"}, True),
        (1, {"type": "string"}, False),
        (True, {"type": "integer"}, False),
        (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
        (None, {"type": "string"}, False),
        ("c", {"enum": ["a", "b"]}, False),
        (5, {"minimum": 5, "exclusiveMinimum": True}, False),
        (5, {"exclusiveMinimum": 5}, False),
        (6, {"exclusiveMinimum": 5}, True),
        ([1, "x"], {"items": {"type": "integer"}}, False),
        ({"a": 1}, {"properties": {"a": {"type": "integer"}}, "required": ["a"]}, True),
        ({}, {"required": ["a"]}, False),
        ("aaa", {"pattern": "(a+)+$"}, False),  # which is not to be found out
        (1, {"oneOf": [{"type": "integer"}, {"type": "number"}]}, False),
    ],
)
def test_a_default_stays_only_where_it_certainly_fits(value: object, schema: Any, does: bool) -> None:
    assert Judge(FEWEST_STEPS).fits(value, schema) is does
    found = made(server("s", tool("t", {"type": "object", "properties": {"x": {**schema, "default": value}}})))
    check(found)
    assert ("default" in found["components"]["schemas"]["s__t.input"]["properties"]["x"]) is does


def test_a_default_that_takes_too_long_to_be_found_fitting_is_left_out() -> None:
    late = {"enum": [*range(1000), "x"]}
    schema: Any = {
        "properties": {"x": {"items": late, "default": ["x"]}, "y": {"items": late, "default": ["x"] * 1000}}
    }
    drop_unfit(schema)
    assert "default" in schema["properties"]["x"]
    assert "default" not in schema["properties"]["y"]
    never = {"oneOf": [True, *({"enum": ["x", *range(100)]} for _ in range(100))], "default": "y"}
    judge = Judge(10)
    assert judge.fits("y", never)  # for it never came to the others
    assert judge.is_weary
    drop_unfit(never)


def test_a_tool_that_has_an_argument_of_the_parameters_name_keeps_both() -> None:
    def parameter(*arguments: str) -> Any:
        schema = {"type": "object", "properties": {each: {"type": "string"} for each in arguments}}
        found = made_for_actions(server("s", tool("t", schema)))
        operation = found["paths"].get("/api/actions/s/t")
        return operation and operation["post"]["parameters"][0]["name"]

    assert parameter("a") == "sessionId"
    assert parameter("sessionId") == "gatewaySessionId"
    assert parameter("sessionId", "gatewaySessionId") == "mcpGatewaySessionId"
    assert parameter("sessionId", "gatewaySessionId", "mcpGatewaySessionId") is None


@pytest.mark.parametrize("reader", [yaml.safe_load, YAML(typ="safe").load], ids=["1.1", "1.2"])
def test_the_yaml_says_what_the_json_says(reader: Callable[[str], object]) -> None:
    value: Any = {
        "yes": "no",
        "1": ["1", 1, 1.5, True, None, "", [], {}, [[1], []], {"a": {}}],
        "text": "two\nlines: # [x] \t\x85\u2028\ufeff\x7f 'q' \"d\" \\ é ☃ \U0001f600",
        "- x": "- x",
        " ": "a: b",
        "a#": ["x #y", "0x1f", "1e3", "2020-01-01", "~", "null", "=", "<<", "*a", "&a", "!t", "%d", "@", "`"],
        "letters": ["y", "Y", "n", "N", "no", "on", "Off", "TRUE", "Null", ".inf", ".nan", "-.INF"],
        "numbers": ["0", "017", "0o17", "0b1", "1_000", "1:30", "+1", "1.", ".5", "-1e-3", "1.0e5", "12e03", "1.5.6"],
        "real ones": [1e30, -1e-30, 0.1, 10**18, False],
        "long": "word " * 1000,
        "$ref": "#/a",
        "x" * 1022: {"é" * 1100: [{"y" * 2000: {"a": 1}}, {"y" * 2000: []}], "z": 1},
    }
    assert repr(reader(dump(value).decode())) == repr(value)


def test_the_yaml_of_a_thing_that_stands_twice_has_it_twice() -> None:
    shared = {"a": ["b"]}
    assert dump([shared, shared]) == b"- a:\n  - b\n- a:\n  - b\n"


async def test_those_who_hang_up_have_one_document_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, made = threading.Semaphore(0), threading.Event(), []

    def make(wanted: Wanted) -> bytes:
        made.append(wanted)
        begun.release()
        go_on.wait(PATIENCE)
        return b"{}"

    monkeypatch.setattr(Wanted, "made", make)
    documents = Documents()
    wanted = [Wanted((), frame(url=f"http://{number}.test"), "json", "3.1") for number in range(3)]
    async with anyio.create_task_group() as tasks:
        for each in wanted:
            tasks.start_soon(documents.get, each)
        await anyio.to_thread.run_sync(begun.acquire)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(documents.get, wanted[1])
            await anyio.wait_all_tasks_blocked()
            at_work = list(made)
            go_on.set()
    assert at_work == wanted[:1]
    assert (await documents.get(wanted[0])).body == b"{}"
    assert made == wanted[:1]  # which is kept, although nobody waited for it any more


async def test_a_document_is_made_once_while_what_it_tells_is_the_same() -> None:
    documents = Documents()
    servers = (server("s", tool("t")),)
    wanted = Wanted(servers, frame(*servers), "json", "3.1")
    first = await documents.get(wanted)
    assert await documents.get(Wanted(servers, frame(*servers), "json", "3.1")) is first
    others = (server("s", tool("t", {"type": "object", "required": ["x"]})),)
    changed = await documents.get(Wanted(others, frame(*others), "json", "3.1"))
    assert changed.tag != first.tag
    for number in range(MOST):
        await documents.get(Wanted(servers, frame(*servers, url=f"http://{number}.test"), "yaml", "3.0"))
    assert await documents.get(wanted) is not first  # the oldest went, for there is room for so many
    assert (await documents.get(wanted)).body == first.body
