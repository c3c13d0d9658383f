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
from supervisor.wrapper import Inside

Wanted = Literal["auto", "cgroup", "namespace", "tagged"]
Mode = Literal["cgroup", "namespace", "tagged"]

_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_PROGRAMS: Final = ("sh", "setpriv", "unshare", "bwrap")
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


def find_programs() -> dict[str, str]:
    """The programs that may wrap a command, by name; from the system's own directories, whatever PATH says."""
    return {name: path for name in _PROGRAMS if (path := shutil.which(name, path=_PATH)) is not None}


def choose(wanted: Wanted, installation: int) -> Reaping:
    """The mode to use. Raises ReapingError where `wanted` names one that cannot be had.

    May make cgroups, and starts a process or two to see what works: call it before anything else is started.
    """
    programs = find_programs()
    why_not: dict[str, str] = {}
    if wanted in ("auto", "cgroup"):
        try:
            return Reaping("cgroup", programs, run=_leaves(installation, only_delegated=wanted == "auto"))
        except CgroupError as error:
            why_not["cgroup"] = str(error)
    if wanted in ("auto", "namespace"):
        inside = _namespace(programs)
        if inside is not None:
            return Reaping("namespace", programs, inside)
        why_not["namespace"] = "this process may make no PID namespace, or unshare and setpriv (util-linux) are missing"
    if wanted in ("auto", "tagged"):
        return Reaping("tagged", programs)
    raise ReapingError(f"reaping: {wanted}: {why_not[wanted]}")


def _leaves(installation: int, *, only_delegated: bool) -> cgroups.Run:
    cgroup = cgroups.own_cgroup()
    if only_delegated and not cgroups.is_delegated(cgroup):
        raise CgroupError(f"{cgroup} is not delegated to this program; under systemd the unit needs Delegate=yes")
    return cgroups.prepare(cgroup, installation)


def _namespace(programs: Mapping[str, str]) -> Inside | None:
    """The kind of PID namespace that can be made here."""
    if not {"unshare", "setpriv"} <= programs.keys():
        return None
    if os.geteuid() == 0 and _works([programs["unshare"], "--pid", "--fork", "--mount-proc"]):
        return Inside.NAMESPACE
    if _works([programs["unshare"], "--user", "--map-current-user", "--pid", "--fork", "--mount-proc"]):
        return Inside.USER_NAMESPACE
    return None


def _works(command: list[str]) -> bool:
    """Whether a process can be started by `command` that sees itself as the first of its own /proc."""
    result = probe([*command, "sh", "-c", "echo /proc/[0-9]*"])
    return result is not None and result.returncode == 0 and result.stdout.split() == [b"/proc/1"]


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
