"""Names: a model sees `<tool>_mcp_<server>`, and takes 64 characters of few kinds. No I/O."""

import re
from collections.abc import Iterator
from typing import Final

from doctor.findings import Verdict
from doctor.librechat.context import GatewayFacts, Said
from doctor.librechat.document import Document, Entry

LONGEST: Final = 64
_BETWEEN: Final = "_mcp_"
_SERVER: Final = re.compile(r"[a-zA-Z0-9_.-]+")
_TOOL: Final = re.compile(r"[a-zA-Z0-9_-]+")
_RESERVED: Final = frozenset({"sys__all__sys", "sys__server__sys", "oauth"})
_RESERVED_PREFIXES: Final = ("mcp_", "lc_transfer_to_", "x_mcp_")
_INSIDE: Final = (_BETWEEN, "_action_")
_ROOM: Final = 24
"""Characters that a tool's name should have left; the longest of well-known servers have more, few do."""

_SHOWN: Final = 3


def normalised(name: str) -> str:
    """What LibreChat makes of a server's name in a tool's; empty where it takes a hash instead."""
    return name if _SERVER.fullmatch(name) else re.sub(r"[^a-zA-Z0-9_.-]", "_", name).strip("_")


def server_name(entry: Entry, _: GatewayFacts | None) -> Iterator[Said]:
    """The entry's own name."""
    known = normalised(entry.name)
    if not known:
        text = "nothing of this name may stand in the name of a tool, so LibreChat takes a hash"
        yield Said((), Verdict.WARNING, "name", text, "letters, digits, '_' and '-' alone")
    elif known != entry.name:
        text = f"in the names of tools it is '{known}'"
        yield Said((), Verdict.WARNING, "name", text, "letters, digits, '_' and '-' alone")
    elif "." in known:
        text = "most models refuse a dot in the name of a tool, and this is part of each"
        yield Said((), Verdict.WARNING, "name", text, "letters, digits, '_' and '-' alone")
    if any(each in known for each in _INSIDE):
        text = "LibreChat cuts names of tools at '_mcp_' and '_action_'"
        yield Said((), Verdict.FAILED, "name", text, "another name")


def tool_names(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """The names of its tools, where they are known; else what is left for them."""
    server = normalised(entry.name)
    room = LONGEST - len(_BETWEEN) - len(server)
    found = gateway.server_of(entry) if gateway is not None else None
    tools = found[1].tools if found is not None and found[1] is not None else None
    if tools is None:
        if room < _ROOM:
            text = f"this name leaves {max(room, 0)} characters for the name of a tool"
            yield Said((), Verdict.WARNING, "tool names", text, "a shorter name")
        return
    long = [each for each in tools if len(each) > room]
    if long:
        text = f"longer than {LONGEST} characters with '{_BETWEEN}{server}': {_some(long)}"
        excess = max(map(len, long)) - room
        remedy = (
            f"a name that is {excess} shorter" if excess < len(server) else "another name for the tool, in its server"
        )
        yield Said((), Verdict.FAILED, "tool names", text, remedy)
    reserved = [each for each in tools if _is_reserved(each)]
    if reserved:
        text = f"LibreChat keeps such names for itself: {_some(reserved)}"
        yield Said((), Verdict.FAILED, "tool names", text, "another name for the tool, in its server")
    odd = [each for each in tools if not _TOOL.fullmatch(each)]
    if odd:
        text = f"most models refuse such names: {_some(odd)}"
        yield Said((), Verdict.FAILED, "tool names", text, "letters, digits, '_' and '-' alone, in its server")


def _is_reserved(tool: str) -> bool:
    return tool in _RESERVED or tool.startswith(_RESERVED_PREFIXES) or any(each in tool for each in _INSIDE)


def _some(names: list[str]) -> str:
    """The first few of `names`, as they may be shown."""
    shown = ", ".join(repr(each[:LONGEST]) for each in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def twins(document: Document) -> Iterator[tuple[Entry, Said]]:
    """Entries whose names are one to LibreChat: it leaves out the tools of the later."""
    first: dict[str, str] = {}
    for entry in document.entries:
        name = normalised(entry.name)
        if name and name in first:
            text = f"to LibreChat this is the name of '{first[name]}' again, and the tools here are left out"
            yield entry, Said((), Verdict.FAILED, "name", text, "another name")
        first.setdefault(name, entry.name)
