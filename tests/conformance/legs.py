"""What the suite is run against: each leg is a server, a way to it, and a revision of the protocol."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from tests.conformance.counts import Counts
from tests.support.gateway import SERVERS

VERSIONS: Final = ("2025-06-18", "2025-11-25", "2026-07-28")
MODERN: Final = "2026-07-28"

EXPECTED: Final = Path(__file__).parent / "expected-failures.yml"


def _script(name: str) -> dict[str, Any]:
    # The suite's clients leave without a word, and each session's child is a Python with the whole SDK in its memory.
    return {"command": sys.executable, "args": [str(SERVERS / name)], "idle_timeout": "15s"}


SPECS: Final[Mapping[str, dict[str, Any]]] = {
    # Whoever listens for changes must have the child that changes.
    "dual": {**_script("everything.py"), "anonymous": "shared"},
    "legacy": {**_script("everything_legacy.py"), "anonymous": "shared"},
    "modern": _script("everything_modern.py"),
}
"""The gateway's servers: one that speaks both eras, and one for each that speaks it alone."""

DIRECT: Final = "direct"
"""In a server's place: the one of both eras, served over HTTP by the SDK itself. What it scores is the bar."""


_CALLED: Final = {"dual": "of both eras", "legacy": "of the old era", "modern": "of the new era"}


@dataclass(frozen=True)
class Leg:
    """One run of the suite, and the counts that it must come to."""

    server: str
    version: str
    counts: Counts

    @property
    def name(self) -> str:
        """As in `expected-failures.yml`, and on the command line."""
        return f"{self.server}@{self.version}"

    @property
    def row(self) -> tuple[str, str, str]:
        """The first columns of the table."""
        if self.server == DIRECT:
            return "of both eras", "directly", self.version
        return _CALLED[self.server], "gateway", self.version


# The gateway's answers are JSON where they come soon and alone, so the check of three streams at once has no streams to
# look at: it remarks that, and is not counted. And a stdio child cannot have its own client's stream closed, which is
# what the check of resuming after that waits for: the answer has come on the first stream by then.
LEGS: Final = (
    Leg(DIRECT, "2025-06-18", Counts(56, 0, 0)),
    Leg(DIRECT, "2025-11-25", Counts(84, 0, 0)),
    Leg(DIRECT, MODERN, Counts(152, 0, 0)),
    Leg("dual", "2025-06-18", Counts(56, 0, 0)),
    Leg("dual", "2025-11-25", Counts(82, 0, 0)),
    Leg("dual", MODERN, Counts(152, 0, 0)),
    Leg("legacy", "2025-06-18", Counts(56, 0, 0)),
    Leg("legacy", "2025-11-25", Counts(82, 0, 0)),
    Leg("legacy", MODERN, Counts(149, 1, 1)),
    Leg("modern", "2025-11-25", Counts(80, 0, 0)),
)


def expected() -> dict[str, dict[str, str]]:
    """By the leg's name: each scenario, or `scenario:check`, that is to fail, and why it cannot do otherwise."""
    with EXPECTED.open() as file:
        content: dict[str, dict[str, str]] = YAML(typ="safe").load(file) or {}
    return content
