"""The marks by which a process is known to belong to a run of the supervisor, and to a tree of it. Pure.

The **tag** is a number in the soft RLIMIT_RTTIME, which a process inherits through fork, exec, setsid and an emptied
environment, and which limits nothing for a process that is not a real-time one (getrlimit(2)). The **token** says the
same in the environment. Neither is lost by accident. A process can take off the token; the tag only where it could not be
sealed (see supervisor.seal).
"""

from typing import Final

TOKEN: Final = "MCP_GATEWAY_TREE"  # noqa: S105 - no secret
"""The environment variable of the token."""


def make_tag(installation: int, number: int) -> int:
    """The tag of the tree `number` (below 2**32) of this run of the supervisor: 31 random bits, then the number."""
    return installation << 32 | number


def same_installation(tag: int, other: int) -> bool:
    """Whether both tags were made by the same run of a supervisor."""
    return tag > 0 and tag >> 32 == other >> 32


def token(tag: int) -> str:
    """The token that says what `tag` does."""
    return f"{tag >> 32:x}.{tag & 0xFFFFFFFF:x}"


def bears_token(environ: bytes, installation: int) -> bool:
    """Whether `environ`, as /proc/PID/environ has it, holds a token of that run."""
    start = f"{TOKEN}={installation:x}.".encode()
    return any(variable.startswith(start) for variable in environ.split(b"\0"))
