"""The list under `servers` of the dialect of `listed`: each entry, as an entry of our own map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.config.dialects.draft import EXPECTED_LIST, Draft, Part
from common.config.source import KeyPath

MILLISECONDS: Final = "expected a number of milliseconds above zero"
_UNKNOWN: Final = (
    "this key of a server has no counterpart here; take it away, or write the file in mcp-gateway's own form"
)
_REMOTE: Final = (
    "this gateway starts a process for each session, so it has no server that is elsewhere; take the entry away, or put "
    "a program in 'command' that speaks to it, such as npx with [\"-y\", mcp-remote, URL], and 'transport: stdio'"
)


@dataclass(frozen=True)
class Tools:
    """Which tools of a server anybody may use, as patterns."""

    server: str
    allow: tuple[str, ...] | None
    """None for all."""
    deny: tuple[str, ...]
    origin: KeyPath


def translate_servers(top: Part) -> list[Tools]:
    """Write each server of the list; what each lets its callers use."""
    top.draft.put(("servers",), {}, top.at("servers"))
    entries = top.each("servers")
    if not entries:
        top.draft.problem(top.at("servers"), "expected at least one server in the list")
    return [tools for number, entry in enumerate(entries) if (tools := _server(top.draft, number, entry)) is not None]


def _server(draft: Draft, number: int, value: object) -> Tools | None:
    entry = Part(draft, value, ("servers", number))
    id_ = entry.take("id")
    if not isinstance(value, Mapping):
        return None
    if not isinstance(id_, str) or not id_:
        draft.problem(entry.at("id"), "expected the name that stands in the server's paths")
        return None
    if id_ in draft.document["servers"]:
        draft.problem(entry.at("id"), "another server of the list has this id")
        return None
    enabled = entry.truth("enabled", default=True)
    if entry.take("transport") not in (None, "stdio"):
        (draft.problem if enabled else draft.note)(entry.at("transport"), _REMOTE if enabled else "falls away")
        return None
    return _local(draft, id_, entry, enabled=enabled)


def _local(draft: Draft, id_: str, entry: Part, *, enabled: bool) -> Tools:
    to: KeyPath = ("servers", id_)
    draft.put(to, {}, entry.path)
    draft.origins[(*to, "[key]")] = entry.at("id")
    for key in ("name", "command", "args", "env", "tags"):
        entry.move(key, (*to, key))
    if not enabled:
        draft.put((*to, "enabled"), False, entry.at("enabled"))  # noqa: FBT003
    entry.move("maxConcurrency", (*to, "max_concurrency"))
    _timeout(draft, entry, to)
    for key in ("description", "url", "headers", "subprotocol", "weight", "loadBalancing"):
        entry.note(key, "falls away: it means nothing for a server that is started here")
    entry.note("reconnect", "falls away: a session whose process ends gets a new one")
    entry.refuse(
        "replicas",
        "each session has a process of its own here; write another server for another command",
        harmless=([],),
    )
    tools = _tools(entry, id_)
    entry.finish(_UNKNOWN)
    return tools


def _timeout(draft: Draft, entry: Part, to: KeyPath) -> None:
    if entry.has("timeout") and entry.has("timeoutMs"):
        draft.problem(entry.at("timeoutMs"), "another word for 'timeout', which is here, too; keep one of the two")
    for key in ("timeout", "timeoutMs"):
        milliseconds = entry.number(key, MILLISECONDS)
        if milliseconds is not None:
            draft.put((*to, "request_timeout"), milliseconds / 1000, entry.at(key))


def _tools(entry: Part, id_: str) -> Tools:
    tools = entry.part("tools")
    allow = patterns(tools, "allow")
    deny = patterns(tools, "deny")
    tools.finish()
    if allow == ():
        entry.draft.problem(
            tools.at("allow"), "expected one tool at least; 'enabled: false' is for a server without any"
        )
    return Tools(id_, allow, deny or (), tools.path)


def patterns(part: Part, key: str) -> tuple[str, ...] | None:
    """The patterns that are listed at `key`, or None where nothing is."""
    value: Any = part.take(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        part.draft.problem(part.at(key), f"{EXPECTED_LIST} of names, in which * and ? may stand for others")
        return None
    return tuple(value)
