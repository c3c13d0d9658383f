"""What is to come of each feature of the protocol, by the client's revision and the child's: one table.

The tests hold the gateway to it, and `scripts/matrix` prints it into docs/gateway.md.
"""

import itertools
import textwrap
from dataclasses import dataclass
from typing import Final

CLIENTS: Final = {
    "sse": "HTTP+SSE (2024-11-05)",
    "2025-03-26": "2025-03-26",
    "2025-06-18": "2025-06-18",
    "2025-11-25": "2025-11-25",
    "2026-07-28": "2026-07-28",
}
"""The clients, and what the page calls them."""

CHILDREN: Final = ("legacy", "modern", "dual")
"""A server that knows the handshake alone, one that knows 2026-07-28 alone, and one that knows both."""

FEATURES: Final = (
    "tools",
    "resources",
    "prompts",
    "completion",
    "progress",
    "logging",
    "cancellation",
    "sampling",
    "elicitation",
    "roots",
    "list_changed",
    "subscribe",
)

YES: Final = "yes"
"""It works."""

NOT: Final = "not"
"""The client's revision does not know it."""

LOSSES: Final = {
    "turn": (
        "A server with a handshake does not say on whose behalf it asks. So of the calls of a client that can be asked "
        "something, one runs at a time; the others wait for their turn, also while they only read or get a prompt."
    ),
    "line": (
        "Over stdio nothing says which request a log line is about. A server with a handshake is heard while one "
        "request runs; what it logs while several do is dropped."
    ),
    "lines": (
        "Over stdio nothing says which request a log line is about. What a server logs while several requests run that "
        "name a level is dropped."
    ),
    "aside": (
        "The client is asked while the server works on a `tools/call`, a `prompts/get` or a `resources/read`. At any "
        "other time there is nothing that a question could be the answer to: the server is then told that there are no "
        "roots, that the user has cancelled, or that the client did not answer."
    ),
    "level": (
        "A server of 2026-07-28 logs for whoever names a level. No line comes before the client's `logging/setLevel`."
    ),
    "object": (
        "Structured content that is no object, which 2026-07-28 allows, is left out, and so is an `outputSchema` that "
        "describes it; the same comes as text."
    ),
}
"""What works, but for what this says: by its name in the table."""

_TABLE: Final = """
client     child   tools  resources prompts completion progress logging cancellation sampling elicitation roots list_changed subscribe
sse        legacy  yes    yes       yes     yes        yes      yes     yes          yes      not         yes   yes          yes
sse        modern  yes    yes       yes     yes        yes      level   yes          yes      not         yes   yes          yes
sse        dual    yes    yes       yes     yes        yes      yes     yes          yes      not         yes   yes          yes
2025-03-26 legacy  yes    yes       yes     yes        yes      yes     yes          yes      not         yes   yes          yes
2025-03-26 modern  yes    yes       yes     yes        yes      level   yes          yes      not         yes   yes          yes
2025-03-26 dual    yes    yes       yes     yes        yes      yes     yes          yes      not         yes   yes          yes
2025-06-18 legacy  yes    yes       yes     yes        yes      yes     yes          yes      yes         yes   yes          yes
2025-06-18 modern  object yes       yes     yes        yes      level   yes          yes      yes         yes   yes          yes
2025-06-18 dual    yes    yes       yes     yes        yes      yes     yes          yes      yes         yes   yes          yes
2025-11-25 legacy  yes    yes       yes     yes        yes      yes     yes          yes      yes         yes   yes          yes
2025-11-25 modern  object yes       yes     yes        yes      level   yes          yes      yes         yes   yes          yes
2025-11-25 dual    yes    yes       yes     yes        yes      yes     yes          yes      yes         yes   yes          yes
2026-07-28 legacy  turn   turn      turn    yes        yes      line    yes          aside    aside       aside yes          yes
2026-07-28 modern  yes    yes       yes     yes        yes      lines   yes          yes      yes         yes   yes          yes
2026-07-28 dual    yes    yes       yes     yes        yes      lines   yes          yes      yes         yes   yes          yes
"""  # noqa: E501 - a table is read along its columns


WIDTH: Final = 120
"""Columns of the page."""


@dataclass(frozen=True)
class Row:
    """What comes of each feature between one kind of client and one of child: YES, NOT, or the name of a loss."""

    client: str
    child: str
    outcomes: dict[str, str]


def rows() -> list[Row]:
    """The table. Raises ValueError where a row is too long or too short."""
    head, *lines = (line.split() for line in _TABLE.strip().splitlines())
    return [Row(client, child, dict(zip(head[2:], rest, strict=True))) for client, child, *rest in lines]


def markdown() -> str:
    """The table as the page has it, with a sentence for each loss under it."""
    numbers: dict[str, int] = {}
    said = {YES: "yes", NOT: "\N{EN DASH}"}
    lines = [["client", "child", *FEATURES], ["---"] * (2 + len(FEATURES))]
    for row in rows():
        outcomes = [row.outcomes[feature] for feature in FEATURES]
        cells = [said.get(each) or f"yes ({numbers.setdefault(each, len(numbers) + 1)})" for each in outcomes]
        lines.append([CLIENTS[row.client], row.child, *cells])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    notes = (
        textwrap.wrap(f"{number}. {LOSSES[name]}", WIDTH, subsequent_indent="   ") for name, number in numbers.items()
    )
    return "\n".join([table, *itertools.chain.from_iterable(notes), ""])
