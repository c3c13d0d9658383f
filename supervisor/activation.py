"""The control socket from systemd: sd_listen_fds(3), by hand; and who may use it."""

import os
import pwd
import socket
from collections.abc import MutableMapping
from typing import Final

_FIRST: Final = 3
"""SD_LISTEN_FDS_START."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class ActivationError(Exception):
    """What was handed over is not one listening Unix socket."""


def inherited_listener(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket that was handed to this process, close-on-exec; None where none was.

    The variables are removed, for they are about this process alone. Raises ActivationError for more than one
    descriptor, or another kind.
    """
    whom, count, _ = (environ.pop(name, "") for name in _VARIABLES)
    if whom != str(os.getpid()) or count in ("", "0"):
        return None
    if count != "1":
        raise ActivationError(f"expected one socket from the service manager, and got {count}")
    os.set_inheritable(_FIRST, False)  # noqa: FBT003
    try:
        listener = socket.socket(fileno=_FIRST)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ActivationError(f"what the service manager handed over is no socket: {error.strerror}") from None
    if listener.family != socket.AF_UNIX or listener.type != socket.SOCK_STREAM or not listens:
        listener.close()
        raise ActivationError("expected a Unix stream socket that listens (ListenStream=) from the service manager")
    return listener


def uid_of(user: str) -> int:
    """The number of `user`, a name or a number. Raises ValueError where there is none."""
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"there is no user '{user}'") from None
