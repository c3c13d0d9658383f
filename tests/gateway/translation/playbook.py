"""A legacy child behind its translator, as its two neighbours see it: what each says, and what the other hears of it."""

import json
from itertools import count
from typing import Any

import msgspec

from gateway.jsonrpc import decode, encode
from gateway.translation.legacy_child import LegacyChild
from gateway.translation.steps import Hear, Hold, Say, Step, StepAside, Wake

EVERYTHING: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
NOBODY: dict[str, Any] = {}
INFO = {"name": "child", "version": "7"}
WELCOME: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {},
        "logging": {},
        "tasks": {"list": {}},
    },
    "serverInfo": INFO,
    "instructions": "Be kind.",
}
META = {"io.modelcontextprotocol/serverInfo": INFO}
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
LEVEL = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

Steps = list[dict[str, Any]]


def plain(steps: list[Step]) -> Steps:
    """The steps, as one can read them."""
    return [_plain(step) for step in steps]


def _plain(step: Step) -> dict[str, Any]:
    match step:
        case Say(message=message):
            return {"child": _body(encode(message))}
        case Hear(message=message, about=None):
            return {"client": _body(encode(message))}
        case Hear(message=message, about=about):
            return {"client": _body(encode(message)), "about": about}
        case Wake(key=key, seconds=seconds):
            return {"wake": key, "in": seconds}
        case Hold(on=on):
            return {"hold": on}
        case StepAside():
            return {"steps": "aside"}


def _body(line: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(line)
    assert body.pop("jsonrpc") == "2.0"
    return body


def line(**members: object) -> bytes:
    """A JSON-RPC message with these members."""
    return msgspec.json.encode({"jsonrpc": "2.0", **members})


class Bridge:
    """A translator, with the handshake done unless `welcome` is None; its handles are `handle-1` and so on."""

    def __init__(
        self, *, declares: dict[str, Any] = EVERYTHING, welcome: dict[str, Any] | None = WELCOME, epoch: int = 0
    ) -> None:
        handles = count(1)
        self.translator = LegacyChild(
            declares,
            {"name": "gateway", "version": "1"},
            welcome=b"" if welcome is None else msgspec.json.encode(welcome),
            epoch=epoch,
            new_handle=lambda: f"handle-{next(handles)}",
        )
        self._declares = declares

    def says(
        self, id_: int, method: str, /, *, level: str = "", has: dict[str, Any] | None = None, **params: Any
    ) -> Steps:
        """A modern client asks, with what the revision wants in `_meta`."""
        meta = params.pop("meta", {})
        envelope = {VERSION: "2026-07-28", CLIENT_INFO: {"name": "c", "version": "1"}, CAPABILITIES: self._declares}
        if has is not None:
            envelope[CAPABILITIES] = has
        if level:
            envelope[LEVEL] = level
        asked = line(id=id_, method=method, params={**params, "_meta": {**envelope, **meta}})
        return plain(self.translator.to_child(decode(asked)))

    def calls(self, id_: int, tool: str = "t", /, **more: Any) -> Steps:
        """A modern client calls a tool."""
        return self.says(id_, "tools/call", **{"name": tool, "arguments": {"a": 1}, **more})

    def cancels(self, id_: int) -> Steps:
        """The request `id_` is no longer wanted."""
        told = line(method="notifications/cancelled", params={"requestId": id_, "reason": "gone"})
        return plain(self.translator.to_child(decode(told)))

    def answers(self, **members: Any) -> Steps:
        """The conversation answers the child."""
        return plain(self.translator.to_child(decode(line(**members))))

    def child(self, **members: Any) -> Steps:
        """The child says something."""
        return plain(self.translator.from_child(decode(line(**members))))

    def child_asks(self, id_: int | str, method: str = "elicitation/create", /, **params: Any) -> Steps:
        """The child asks its client."""
        return self.child(id=id_, method=method, params=params or {"message": f"{id_}?"})

    def wakes(self, key: str) -> Steps:
        """The time has come."""
        return plain(self.translator.wake(key))

    def parks(self, id_: int, question: int | str = 90) -> str:
        """The client calls a tool, the child asks, and the moment for more questions passes; the requestState."""
        self.calls(id_)
        self.child_asks(question)
        result = self.wakes(f"ask {id_}")[0]["client"]["result"]
        assert result["resultType"] == "input_required"
        state: str = result["requestState"]
        return state

    @property
    def counted(self) -> dict[str, int]:
        """What was dropped or refused."""
        return dict(self.translator.counters)


def call_at_child(id_: int, tool: str = "t") -> dict[str, Any]:
    """A tool's call, as the child gets it."""
    return {"id": id_, "method": "tools/call", "params": {"name": tool, "arguments": {"a": 1}}}


def text(value: str) -> dict[str, Any]:
    """A tool's result."""
    return {"content": [{"type": "text", "text": value}]}


def complete(id_: int, value: str) -> dict[str, Any]:
    """A tool's result, as a modern client gets it."""
    return {"client": {"id": id_, "result": {"resultType": "complete", "_meta": META, **text(value)}}}


def accepted(**content: Any) -> dict[str, Any]:
    """The answer of a client to a form."""
    return {"action": "accept", "content": content}
