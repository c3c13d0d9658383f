"""What two children, looked at from outside, say of how far apart they are. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from doctor.findings import Finding, Verdict
from doctor.processes import Child, Known

AS_ROOT = "run the doctor as root, or as the user of the servers, on the gateway's machine"
_SHOWN = 4


@dataclass(frozen=True)
class Server:
    """What the doctor has to know of one server; times in seconds."""

    name: str
    headers: tuple[str, ...] = ()
    """The headers that carry each user's own credentials."""
    fixed_path: bool = False
    """Whether the configuration has all its sessions start in one directory."""
    ending: float = 10.0
    """How long an orderly end may take."""
    linger: float = 0.0
    """How long a child outlives the last session of its user."""
    shared_by_one: bool = False
    """Whether the sessions of one user share a child."""
    largest: int = 1 << 24
    """Bytes of the largest message."""


@dataclass(frozen=True)
class Looked:
    """What was seen of one session's child: it, or why it was not seen."""

    child: Child | None
    why_not: str = ""
    remedy: str = ""


def apart(server: Server, a: Looked, b: Looked, private: tuple[Mapping[str, str], Mapping[str, str]]) -> list[Finding]:
    """The rows about process, environment and working directory.

    `private` has what each of the two sent as credentials of their own, by header.
    """
    checks = ("process", "environment", "working directory")
    if a.child is None or b.child is None:
        blind = a if a.child is None else b
        return [Finding(check, server.name, Verdict.UNKNOWN, blind.why_not, blind.remedy) for check in checks]
    if a.child.reader == b.child.reader or a.child.members & b.child.members:
        return [Finding(check, server.name, *_shared(server)) for check in checks]
    pids = f"pid {a.child.reader.pid} for A, pid {b.child.reader.pid} for B; no process is in both trees"
    return [
        Finding("process", server.name, Verdict.OK, pids),
        _environment(server, a.child, b.child),
        _directory(server, a.child, b.child),
        *_credentials(server, a.child, b.child, private),
    ]


def _shared(server: Server) -> tuple[Verdict, str, str]:
    if server.shared_by_one:
        text = "not provable: both are one principal, whose sessions share a child by 'isolation'"
        return Verdict.UNKNOWN, text, "let the doctor be two users"
    return Verdict.FAILED, "one process serves both sessions", "whatever one user does, the other sees: do not use this"


def _environment(server: Server, a: Child, b: Child) -> Finding:
    names = a.environment.keys() | b.environment.keys()
    own = sorted(name for name in names if a.environment.get(name) != b.environment.get(name))
    if not own:
        text = "both processes have the very same environment"
        return Finding("environment", server.name, Verdict.FAILED, text, "each session should have a HOME of its own")
    # The names alone: a value may be a secret.
    shown = ", ".join(own[:_SHOWN]) + (f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else "")
    return Finding("environment", server.name, Verdict.OK, f"each has a value of its own for {shown}")


def _directory(server: Server, a: Child, b: Child) -> Finding:
    check = "working directory"
    if a.cwd != b.cwd:
        return Finding(check, server.name, Verdict.OK, f"…{a.cwd[-12:]} for A, …{b.cwd[-12:]} for B")
    if server.fixed_path:
        text = "both work in the directory that 'path' names: files there are everybody's"
        remedy = "leave 'path' out, or let it begin with ${session.work}"
        return Finding(check, server.name, Verdict.WARNING, text, remedy)
    return Finding(check, server.name, Verdict.FAILED, "both work in one directory", "files there are everybody's")


def _credentials(
    server: Server, a: Child, b: Child, private: tuple[Mapping[str, str], Mapping[str, str]]
) -> Iterator[Finding]:
    """Whether each user's own credentials are in that user's child, and in no other's reach."""
    if not server.headers:
        return
    check = "credentials"
    for child, own, others, who in ((a, private[0], private[1], "A"), (b, private[1], private[0], "B")):
        values = "\0".join(child.environment.values())
        strange = [name for name, value in others.items() if value in values]
        missing = [name for name, value in own.items() if value not in values]
        if strange:
            text = f"{who}'s process has the other user's {', '.join(strange)}"
            yield Finding(check, server.name, Verdict.FAILED, text, "do not use this with credentials")
            return
        if missing:
            text = f"{', '.join(missing)} was sent by {who}, and is not in the environment of {who}'s process"
            yield Finding(check, server.name, Verdict.WARNING, text, "is the placeholder in this server's 'env'?")
            return
    if a.uid == b.uid and a.pid_namespace == b.pid_namespace:
        text = f"each has its user's own; but both run as uid {a.uid}, and may read each other's environment"
        yield Finding(check, server.name, Verdict.WARNING, text, "uid_range, or reaping: namespace")
        return
    yield Finding(check, server.name, Verdict.OK, "each has its user's own, out of the other's sight")


def survived(server: Server, trees: list[Looked], left: dict[int, str]) -> Finding:
    """The row about what is left once all sessions are over; `left` has the names of processes by pid."""
    check = "nothing survives"
    if left:
        shown = ", ".join(f"{pid} ({name})" for pid, name in sorted(left.items())[:_SHOWN])
        if server.linger:
            text = f"not provable: by 'linger' a child stays {server.linger:g} s after its last session"
            return Finding(check, server.name, Verdict.UNKNOWN, text, "look once more after that")
        text = f"{len(left)} processes of ended sessions live on: {shown}"
        return Finding(check, server.name, Verdict.FAILED, text, "the log of the gateway says what it tried")
    blind = next((each for each in trees if each.child is None), None)
    if blind is not None:
        return Finding(check, server.name, Verdict.UNKNOWN, blind.why_not, blind.remedy)
    seen = frozenset[Known]().union(*(each.child.members for each in trees if each.child is not None))
    return Finding(
        check, server.name, Verdict.OK, f"all {len(seen)} processes of the sessions that were ended are gone"
    )
