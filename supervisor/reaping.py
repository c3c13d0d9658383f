"""How trees are kept whole: the best of three modes that the machine allows.

`cgroup`: a leaf of the supervisor's own, delegated cgroup for each session. `namespace`: a PID namespace for each,
whose end is the kernel's. `tagged`: marks that processes inherit, looked for until none is found (see
supervisor.tree). The marks are there in every mode: what one mechanism should miss, the next finds.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from supervisor import cgroups
from supervisor.cgroups import CgroupError
from supervisor.wrapper import Inside, Wrapping, without_shim, wrap

Wanted = Literal["auto", "cgroup", "namespace", "tagged"]
Mode = Literal["cgroup", "namespace", "tagged"]
Wrapper = Literal["auto", "shim", "shells"]

_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_PROGRAMS: Final = ("sh", "setpriv", "unshare", "bwrap")
SHIM: Final = Path(__file__).with_name("mcp-shim")
"""Where it is, if it was built: see setup.py."""

_SHELL: Final = "/bin/sh"
"""What is started to see whether a program runs."""

_SHELLS_COST: Final = {Inside.NOTHING: 2, Inside.NAMESPACE: 6, Inside.USER_NAMESPACE: 6}
"""Milliseconds, as docs/supervisor.md has them."""

_PROBE_TIMEOUT: Final = 10.0
"""Seconds; a namespace is made in two milliseconds."""


class ReapingError(Exception):
    """The mode that the configuration asks for is not to be had; the text says why, and what to do."""


@dataclass(frozen=True)
class Reaping:
    """The mode, and what it needs."""

    mode: Mode
    programs: Mapping[str, str]
    """Paths of the programs that wrap a command, as far as the machine has them."""
    inside: Inside = Inside.NOTHING
    run: cgroups.Run | None = None

    @property
    def started_by(self) -> str:
        """What starts children, and, where that is the dearer way, what it costs; for a log."""
        if "shim" in self.programs:
            return "the shim"
        memory = " and 215 KiB of memory" if self.inside is not Inside.NOTHING else ""
        costs = f"{_SHELLS_COST[self.inside]} ms of a processor{memory} a session more than the shim"
        return f"shells, which cost {costs} (see 'wrapper' in docs/configuration.md)"


def find_programs() -> dict[str, str]:
    """The programs that may wrap a command, by name; from the system's own directories, whatever PATH says.

    With them the `shim`, which is the package's own, where it is there. Whether it runs is for `choose` to find out.
    """
    found = {name: path for name in _PROGRAMS if (path := shutil.which(name, path=_PATH)) is not None}
    return found | {"shim": str(SHIM)} if os.access(SHIM, os.X_OK) else found


def choose(wanted: Wanted, installation: int, wrapper: Wrapper = "auto") -> Reaping:
    """The mode to use, and the programs. Raises ReapingError where `wanted` or `wrapper` is not to be had.

    May make cgroups, and starts a few processes to see what works: call it before anything else is started.
    """
    programs = _usable(find_programs(), wrapper)
    why_not: dict[str, str] = {}
    if wanted in ("auto", "cgroup"):
        try:
            return Reaping("cgroup", programs, run=_leaves(installation, only_delegated=wanted == "auto"))
        except CgroupError as error:
            why_not["cgroup"] = str(error)
    if wanted in ("auto", "namespace"):
        for those in _alternatives(programs, wrapper):
            inside = _namespace(those)
            if inside is not None:
                return Reaping("namespace", those, inside)
        why_not["namespace"] = "this process may make no PID namespace, or unshare and setpriv (util-linux) are missing"
    if wanted in ("auto", "tagged"):
        return Reaping("tagged", programs)
    raise ReapingError(f"reaping: {wanted}: {why_not[wanted]}")


def _leaves(installation: int, *, only_delegated: bool) -> cgroups.Run:
    cgroup = cgroups.own_cgroup()
    if only_delegated and not cgroups.is_delegated(cgroup):
        raise CgroupError(f"{cgroup} is not delegated to this program; under systemd the unit needs Delegate=yes")
    return cgroups.prepare(cgroup, installation)


def _usable(programs: dict[str, str], wrapper: Wrapper) -> dict[str, str]:
    """`programs`, without a shim that is not wanted, or does not run. Raises ReapingError where it has to."""
    if wrapper != "shells" and "shim" in programs:
        result = probe(wrap([_SHELL, "-c", "exit 7"], Wrapping(), os.getpid(), programs))
        if result is not None and result.returncode == 7:
            return programs
    if wrapper == "shim":
        raise ReapingError(f"wrapper: shim: {SHIM} was not built (that needs a C compiler), or does not run here")
    return without_shim(programs)


def _alternatives(programs: dict[str, str], wrapper: Wrapper) -> list[dict[str, str]]:
    """What to make a namespace with: a machine may let `unshare` do it, and no other program (AppArmor)."""
    return [programs] if "shim" not in programs or wrapper == "shim" else [programs, without_shim(programs)]


def _namespace(programs: Mapping[str, str]) -> Inside | None:
    """The kind of PID namespace that can be made here."""
    if not ("shim" in programs or {"sh", "unshare", "setpriv"} <= programs.keys()):
        return None
    kinds = [Inside.NAMESPACE, Inside.USER_NAMESPACE] if os.geteuid() == 0 else [Inside.USER_NAMESPACE]
    return next((inside for inside in kinds if _works(inside, programs)), None)


def _works(inside: Inside, programs: Mapping[str, str]) -> bool:
    """Whether a process can be started that sees an init and itself as the only ones of its own /proc."""
    result = probe(wrap([_SHELL, "-c", "echo /proc/[0-9]*"], Wrapping(inside=inside), os.getpid(), programs))
    return result is not None and result.returncode == 0 and result.stdout.split() == [b"/proc/1", b"/proc/2"]


def probe(command: list[str]) -> "subprocess.CompletedProcess[bytes] | None":
    """How `command`, which takes a moment, ended, and what it printed; None where it did not start, or end in time."""
    try:
        return subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def cleared(run: Path) -> bool:
    """End what lives in the cgroups of a run that is over, and remove them. Whether nothing is left.

    A leaf empties a moment after it was killed; the caller tries again.
    """
    everything = cgroups.Leaf(run)
    try:
        everything.kill()
        everything.remove()
    except OSError:
        return False
    return True
