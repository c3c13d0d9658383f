"""How both programs log: to standard error, a line each, with the program's name; the journal does the rest."""

import logging
import sys
from typing import Protocol, TextIO, cast

from loguru import logger

LEVELS = {"error": "ERROR", "warn": "WARNING", "info": "INFO", "debug": "DEBUG", "verbose": "TRACE"}
"""The words of `debug.level`, and loguru's for the same."""

_FORMAT = (
    "<green>{time:YYYY-MM-DDTHH:mm:ss.SSSZZ}</green> <level>{level: <7}</level> <cyan>{extra[program]}</cyan> {message}"
)


class _ToLoguru(logging.Handler):
    """Sends what libraries say through `logging` the same way as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in {"WARNING", "ERROR", "CRITICAL"} else "DEBUG"
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, record.getMessage())


class Lines(Protocol):
    """What lines may be written to."""

    def write(self, text: str, /) -> object:
        """Take a line, its end included."""

    def flush(self) -> object:
        """Keep nothing back."""

    def isatty(self) -> bool:
        """Whether somebody sees colours there."""


def setup(program: str, level: str, to: Lines | None = None) -> None:
    """Log the lines of `level` (a key of LEVELS) and above, as `program`, to standard error unless told otherwise.

    Variables of a traceback's frames are never printed (`diagnose=False`): they may hold secrets.
    """
    logger.remove()
    logger.configure(extra={"program": program})
    logger.add(
        cast("TextIO", sys.stderr if to is None else to),
        level=LEVELS[level],
        format=_FORMAT,
        backtrace=False,
        diagnose=False,
    )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)


def masked(session_id: str) -> str:
    """What a log line may show of a session id: enough to tell two apart, not enough to use one."""
    node, _, secret = session_id.rpartition(".")
    return f"{node}.{secret[:6]}…"
