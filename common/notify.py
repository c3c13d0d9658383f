"""Word to the service manager: sd_notify(3), and the watchdog of sd_watchdog_enabled(3).

The protocol is a datagram of lines to the socket that NOTIFY_SOCKET names; without one there is nobody to tell, and all
of this does nothing.
"""

import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio
from loguru import logger

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""What the manager tells one program, and what no program that it starts in turn should take for its own."""

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"

STATUS_INTERVAL: Final = 5.0
"""Seconds between two looks at the status, where no watchdog asks for more."""


def notify(*lines: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send `lines`, such as READY or `STATUS=…`; whether they went out. Never blocks, and never raises OSError."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
        try:
            # A leading @ stands for the zero byte of an abstract name.
            sender.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError as error:
            logger.warning("the service manager cannot be told {}: {}", lines[0], error.strerror)
            return False
    return True


def status(text: str) -> str:
    """The line that `systemctl status` shows."""
    return "STATUS=" + " ".join(text.split())


def reloading() -> tuple[str, str]:
    """The lines that begin a reload; READY ends it. MONOTONIC_USEC orders the two for a manager that asks for it."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_interval(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Seconds between two signs of life, a third of what the manager allows; None where it waits for none from `pid`."""
    allowed, whom = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or int(allowed) == 0 or (whom and whom != str(pid or os.getpid())):
        return None
    return int(allowed) / 3_000_000


async def keep_telling(look: Callable[[], Awaitable[str | None]]) -> None:
    """Feed the watchdog, and tell the status when it changes, until cancelled.

    `look` returns the status, or None where all is not well: then the watchdog goes hungry. It runs in the caller's
    event loop, so that a loop that does not get on is not taken for one that does.
    """
    interval, told = watchdog_interval(), None
    if "NOTIFY_SOCKET" not in os.environ:
        return
    while True:
        seen = await look()
        if seen is not None:
            lines = [ALIVE] * (interval is not None) + [status(seen)] * (seen != told)
            if lines and notify(*lines):
                told = seen
        await anyio.sleep(STATUS_INTERVAL if interval is None else interval)
