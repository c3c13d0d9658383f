"""What one child writes on stdout that is no message: banners, prints, lines over the limit.

The log shows the first of it, and afterwards how much more there was: a child that writes nothing else must not fill the
disk. What looks like a secret is not shown; the values of the child's environment are unknown here, so one of no known
shape would be. So nothing is shown of a child that was started with something of its user's own.
"""

import time
from collections.abc import Callable
from typing import Final

from loguru import logger

from common.bucket import Bucket
from common.redact import Redactor

LOGGED_AT_ONCE: Final = 20
"""Lines of one child that are logged in one go."""

LOGGED_PER_SECOND: Final = 0.2
"""Lines of one child that are logged each second after that."""

LOGGED_BYTES: Final = 200
"""Bytes of a line that the log gets to see."""

SHOWN: Final = 2 * LOGGED_BYTES
"""Bytes of a line that are looked at for that."""

_redacted = Redactor({})


class Noise:
    """The noise of the child that `who` describes; `quotes` is whether any is shown, and `clock` gives seconds."""

    def __init__(
        self, who: Callable[[], str], clock: Callable[[], float] = time.monotonic, *, quotes: bool = True
    ) -> None:
        self._who = who
        self._quotes = quotes
        self._clock = clock
        self._bucket = Bucket(LOGGED_AT_ONCE, LOGGED_PER_SECOND, clock())
        self._untold = 0
        self.level = "WARNING"
        """How loud the log is about it."""

    def __repr__(self) -> str:
        return f"<Noise: {self._untold} lines were not logged>"

    def malformed(self, why: Exception, line: bytes, size: int | None = None) -> None:
        """It wrote `line`, which is no message; of a long one, of `size` bytes, that is the beginning."""
        if not self._quotes:
            self._log("wrote what is no message ({}), of {} bytes", why, len(line) if size is None else size)
            return
        # Redacted before it is cut: half a secret has no shape any more. Twice what is shown is looked at, and not all.
        shown = _redacted(line[:SHOWN].decode(errors="replace"))[:LOGGED_BYTES]
        self._log("wrote what is no message ({}): {!r}", why, shown)

    def oversized(self, size: int, limit: int) -> None:
        """It wrote a line of `size` bytes, which was dropped."""
        self._log("wrote a line of {} bytes; max_message_bytes is {}; dropped", size, limit)

    def close(self) -> None:
        """Nothing more will come of it. May be called again."""
        if self._untold:
            line = "{} wrote {} more lines that were no messages or too long"
            logger.log(self.level, line, self._who(), self._untold)
            self._untold = 0

    def _log(self, text: str, *facts: object) -> None:
        if not self._bucket.take(self._clock()):
            self._untold += 1
            return
        self.close()
        logger.log(self.level, "{} " + text, self._who(), *facts)
