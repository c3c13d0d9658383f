"""The options of bubblewrap for `sandbox: bubblewrap`. Pure.

The system is there, read-only; what may be written is the session's own directory and what the configuration names.
What other sessions and the gateway itself keep on disk looks empty, and so do /tmp and /run, where the sockets of
other services are: a socket can be connected to however read-only its directory is. With `network: false` there is no
network but an empty loopback. Everything inside is in a PID namespace of its own, which ends with bubblewrap, and
holds no capability.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from common.config.model import Sandbox

_RESOLVER: Final = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")
"""What /etc/resolv.conf may point to."""

_HIDDEN: Final = ("/tmp", "/run", "/var/tmp")  # noqa: S108 - they look empty


def hides(sandbox: Sandbox, path: Path) -> str | None:
    """The directory that looks empty inside although `path` is below it, if there is one."""
    if any(path.is_relative_to(writable) for writable in sandbox.writable):
        return None
    return next((hidden for hidden in (*_HIDDEN, *sandbox.hidden) if path.is_relative_to(hidden)), None)


def is_hidden_anyway(path: Path) -> bool:
    """Whether `path` is below what looks empty in every sandbox, where a directory to cover is made if there is none."""
    return any(path.is_relative_to(hidden) for hidden in _HIDDEN)


def options(sandbox: Sandbox, room: Path | None, private: Iterable[Path], shared: Path | None = None) -> list[str]:
    """What to tell `bwrap`. `room` is the session's directory; `private` are directories that nobody inside may see,
    and `shared` is one that everybody may read, wherever it is.
    """
    told = ["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
    told += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for hidden in (*_HIDDEN, *sandbox.hidden):
        told += ["--tmpfs", hidden]
    if sandbox.network:
        for resolver in _RESOLVER:
            told += ["--ro-bind-try", resolver, resolver]
    else:
        told += ["--unshare-net"]
    for writable in sandbox.writable:
        told += ["--bind", writable, writable]
    for each in private:  # after what may be written, which may be above it; only the session's own may be below
        told += ["--tmpfs", str(each)]
    if shared is not None:
        told += ["--ro-bind-try", str(shared), str(shared)]
    if room is not None:
        told += ["--bind", str(room), str(room)]
    return told
