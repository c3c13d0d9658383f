"""Stacks that py-spy has seen, and which part of a program was at work in each.

A stack belongs to the innermost of its frames that any part claims: what a function of Python, of the C library or of
an extension does for a part is that part's. System calls are a part of their own, and so are msgspec and the garbage
collector, whoever called them.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple


class Stack(NamedTuple):
    """One stack, its frames from the outermost to the innermost, each `function (file:line)`."""

    frames: tuple[str, ...]
    seen: int


OTHER: Final = "else"

_ASLEEP: Final = re.compile(r"^(PyThread_acquire_lock_timed|acquire_timed|Queue.get) \(")
"""A thread that waits for another is idle, which py-spy cannot always tell."""

_CALLS: Final = (
    "(read|write|readv|writev|send|sendto|sendmsg|recv|recvfrom|recvmsg|accept4?|close|shutdown|getpid|fcntl)"
)
PARTS: Final[Mapping[str, re.Pattern[str]]] = {
    part: re.compile(pattern)
    for part, pattern in {
        "garbage collector": r"^(gc_collect\w*|_PyGC_Collect\w*|PyGC_Collect) \(",
        "waiting for events": r"^epoll_\w+ \(.*libc",
        "reads and writes": rf"^(__(libc_)?)?{_CALLS}(64|_nocancel)* \(.*(libc|libpthread)",
        "JSON": r"/(msgspec|json|orjson)/|/gateway/(jsonrpc|rawjson|ropes|outline)\.py",
        "logging": r"/(loguru|logging)/|/gateway/(audit|auditfile)\.py|/http/audited\.py",
        "child's pipe": r"/gateway/(channel|childside|framing|frames|noise|hotstate|bell)\.py",
        "checks": (
            r"/gateway/(identity/|access|admittance|quotas|rates|ratelimits|unused|sizes|drain|eras)"
            r"|/gateway/http/(checks|guards|admitted|cors|lengths|front|credentials)\.py"
            r"|/gateway/rest/(checking|keywords|patterns|schemas|arguments|decoding)\.py|/(limits|jsonschema|jwt)/"
        ),
        "HTTP": (
            r"/gateway/(lane|hot|http)/|/gateway/(server|sse|errors|app)\.py"
            r"|/(hypercorn|h11|h2|wsproto|quart|flask|werkzeug|uvicorn|asgiref|http|urllib|email|multidict)/"
        ),
        "relay": r"/gateway/",
        "supervisor": r"/supervisor/",
        "event loop": r"/(asyncio|anyio|selectors|concurrent|contextvars)\b|/uvloop/|/libuv|\buv__?\w+ \(",
    }.items()
}
"""What a frame of each part looks like; the first that fits has it."""


def parse(text: str) -> list[Stack]:
    """The stacks of py-spy's format `raw`, a line `frame;frame;… seen` for each, but for those of threads that sleep."""
    stacks = []
    for line in text.splitlines():
        stack, _, seen = line.rpartition(" ")
        frames = tuple(stack.split(";"))
        if not any(map(_ASLEEP.search, frames[-6:])):
            stacks.append(Stack(frames, int(seen)))
    return stacks


def part_of(stack: Stack) -> str:
    """The part that was at work."""
    for frame in reversed(stack.frames):
        for part, pattern in PARTS.items():
            if pattern.search(frame):
                return part
    return OTHER


def by_part(stacks: list[Stack]) -> dict[str, float]:
    """For each part its share of all that was seen, from 0 to 1, in the order of PARTS."""
    seen: Counter[str] = Counter()
    for stack in stacks:
        seen[part_of(stack)] += stack.seen
    total = seen.total() or 1
    return {part: seen[part] / total for part in (*PARTS, OTHER)}


def table(title: str, columns: Mapping[str, tuple[Mapping[str, float], float]]) -> str:
    """A table in Markdown: for each column the parts' shares, and the milliseconds of a call that they are of."""
    rows = [f"| {title} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for part in (*PARTS, OTHER):
        shares = [(parts[part], per_call) for parts, per_call in columns.values()]
        if any(share >= 0.005 for share, _ in shares):
            cells = (f"{100 * share:.0f} % ({share * per_call:.3f} ms)" for share, per_call in shares)
            rows.append(f"| {part} | {' | '.join(cells)} |")
    totals = (f"{per_call:.3f} ms" for _, per_call in columns.values())
    return "\n".join([*rows, f"| a call | {' | '.join(totals)} |"])
