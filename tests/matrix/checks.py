"""What it means that a feature works, that it works but for a loss, and that a revision does not know it."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.matrix.clients import Connection, Stateless, text_of

Check = Callable[[Connection], Awaitable[None]]
CheckOf = Callable[[Connection, str], Awaitable[None]]
"""For the feature of that name."""

TEXT: Final = "test://static-text"
WATCHED: Final = "test://watched-resource"
UPDATED: Final = "notifications/resources/updated"
LINES: Final = ["Tool execution started", "Tool processing data", "Tool execution completed"]
ROUNDS: Final = 3
"""Requests that are answered while another one is not."""

_names = map("wait-{}".format, itertools.count(1))


def _changed(list_: str) -> tuple[str, str]:
    return f"notifications/{list_}/list_changed", ""


async def _complete(c: Connection, argument: str, value: str) -> list[str]:
    prompt = types.PromptReference(name="test_prompt_with_arguments")
    return (await c.peer.complete(prompt, {"name": argument, "value": value})).completion.values


async def _read(c: Connection, uri: str = TEXT) -> str:
    [content] = (await c.peer.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    return content.text


async def _get_prompt(c: Connection) -> str:
    [message] = (await c.peer.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})).messages
    assert isinstance(message.content, types.TextContent)
    return message.content.text


@asynccontextmanager
async def _waiting(c: Connection, *, wants_lines: bool = False) -> AsyncIterator[None]:
    """A call that is in flight meanwhile, and is cancelled then."""
    name = next(_names)
    call = c.call_for_lines if wants_lines else c.call
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, "test_wait", name=name))
        await c.gateway.said(rf"stderr: waiting {name}$")
        yield
        tasks.cancel_scope.cancel()
    await c.gateway.said(rf"stderr: cancelled {name}$")


# What works.


async def tools(c: Connection) -> None:
    assert "test_simple_text" in [each.name for each in (await c.peer.list_tools()).tools]
    assert await c.call("test_simple_text") == "This is a simple text response for testing."
    assert (await c.peer.call_tool("test_error_handling")).is_error


async def resources(c: Connection) -> None:
    assert {TEXT, WATCHED} < {str(each.uri) for each in (await c.peer.list_resources()).resources}
    assert [each.name for each in (await c.peer.list_resource_templates()).resource_templates] == ["template"]
    assert await _read(c) == "This is the content of the static text resource."
    assert '"id":"7"' in await _read(c, "test://template/7/data")
    with pytest.raises(MCPError) as missing:
        await _read(c, "test://missing")
    assert missing.value.code == (types.INVALID_PARAMS if isinstance(c, Stateless) else -32002)


async def prompts(c: Connection) -> None:
    assert "test_prompt_with_arguments" in [each.name for each in (await c.peer.list_prompts()).prompts]
    assert await _get_prompt(c) == "Prompt with arguments: arg1='a', arg2='b'"


async def completion(c: Connection) -> None:
    assert await _complete(c, "arg1", "par") == ["paris", "park", "party"]


async def progress(c: Connection) -> None:
    reports: list[tuple[float, float | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total))

    text_of(await c.peer.call_tool("test_tool_with_progress", progress_callback=report))
    assert reports == [(0, 100), (50, 100), (100, 100)]


async def logging(c: Connection) -> None:
    await c.call_for_lines("test_tool_with_logging")
    assert [await c.host.lines.get() for _ in LINES] == LINES


async def cancellation(c: Connection) -> None:
    async with _waiting(c):
        pass
    await c.call("test_simple_text")


async def sampling(c: Connection) -> None:
    assert await c.call("test_sampling", prompt="why?") == "LLM response: thought"


async def elicitation(c: Connection) -> None:
    answer = '{"username": "Ann", "email": "ann@example.org"}'
    assert await c.call("test_elicitation", message="who?") == f"User response: action=accept, content={answer}"


async def roots(c: Connection) -> None:
    assert await c.call("test_input_required_result_list_roots") == "Roots: file:///home"


async def list_changed(c: Connection) -> None:
    async with c.listening():
        for one in ("tool", "prompt", "resource"):
            await c.call(f"test_trigger_{one}_change")
            assert await c.host.news.get() == _changed(f"{one}s")


async def subscribe(c: Connection) -> None:
    async with c.listening(WATCHED):
        for uri in (TEXT, WATCHED):
            await c.call("test_trigger_resource_update", uri=uri)
        assert await c.host.news.get() == (UPDATED, WATCHED)
    async with c.listening():
        await c.call("test_trigger_resource_update", uri=WATCHED)
        await c.call("test_trigger_tool_change")
        assert await c.host.news.get() == _changed("tools")


WORKS: Final[Mapping[str, Check]] = {
    check.__name__: check
    for check in (
        tools,
        resources,
        prompts,
        completion,
        progress,
        logging,
        cancellation,
        sampling,
        elicitation,
        roots,
        list_changed,
        subscribe,
    )
}
"""By the feature."""


# What is lost.


async def _turn(c: Connection, feature: str) -> None:
    """What has to wait is answered only once the other call is over, while others go on."""
    requests = {"tools": partial(c.call, "test_simple_text"), "resources": partial(_read, c)}
    answered = anyio.Event()

    async def ask() -> None:
        await requests.get(feature, partial(_get_prompt, c))()
        answered.set()

    async with anyio.create_task_group() as tasks:
        async with _waiting(c):
            tasks.start_soon(ask)
            for _ in range(ROUNDS):
                await _complete(c, "arg1", "")
            assert not answered.is_set()
        await answered.wait()


async def _line(c: Connection, _feature: str) -> None:
    """A client that cannot be asked may have two calls at once; the line of the first pair does not come."""
    async with c.again(askable=False) as plain:
        async with _waiting(plain):
            await plain.call_for_lines("test_logging_tool")
        await logging(plain)


async def _lines(c: Connection, _feature: str) -> None:
    """Both calls of the first pair want lines, and one of the second."""
    async with _waiting(c, wants_lines=True):
        await c.call_for_lines("test_logging_tool")
    async with _waiting(c):
        await logging(c)


async def _aside(c: Connection, feature: str) -> None:
    told = {"roots": '{"roots":[]}', "elicitation": '{"action":"cancel"}'}
    c.host.asked.clear()
    [answer] = await _complete(c, feature, "")
    assert told.get(feature, "the client did not answer") in answer
    assert c.host.asked == []


async def _level(c: Connection, _feature: str) -> None:
    async with c.again() as other:
        await other.call("test_logging_tool")
        await logging(other)


async def _object(c: Connection, _feature: str) -> None:
    listed = {each.name: each for each in (await c.peer.list_tools()).tools}
    assert listed["test_structured_list"].output_schema is None
    result = await c.peer.call_tool("test_structured_list")
    assert (text_of(result), result.structured_content) == ("[1, 2, 3]", None)


BUT: Final[Mapping[str, CheckOf]] = {
    "turn": _turn,
    "line": _line,
    "lines": _lines,
    "aside": _aside,
    "level": _level,
    "object": _object,
}
"""By the loss: it shows exactly that."""


# What a revision does not know.


REFUSALS: Final = (
    (True, "the client was asked, and refused: Method not found"),
    (types.INTERNAL_ERROR, "this needs a client with elicitation"),
)
"""What comes of a server that asks all the same, which is the tool's own error, and of one that looks first."""


async def _no_elicitation(c: Connection) -> None:
    """The server asks, or would, and is told that this client cannot be asked; so the call fails, and says so."""
    c.host.asked.clear()
    try:
        result = await c.peer.call_tool("test_elicitation", {"message": "who?"})
    except MCPError as failure:
        refusal = failure.code, failure.message
    else:
        [block] = result.content
        assert isinstance(block, types.TextContent)
        refusal = int(result.is_error), block.text
    assert refusal in REFUSALS
    assert c.host.asked == []


UNKNOWN: Final[Mapping[str, Check]] = {"elicitation": _no_elicitation}
"""By the feature."""
