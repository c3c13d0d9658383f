"""The programs between a spawn and its command: what they are told, in which order. Pure.

Where it was built there is one, the **shim**, which does all that is said here (supervisor/shim.c, which tells how): five
programs to start and two shells to keep cost more than most of what they start. Elsewhere, for a sandbox, and for a
command that has to be looked for, it is these, which are on every Debian machine. Each replaces itself by the next, so
the pid that was spawned is the leader's:

* `sh` moves itself into the session's cgroup, before anything is given up that this needs;
* `setpriv` takes the child's user and asks the kernel to kill it when the supervisor dies (PR_SET_PDEATHSIG, which a
  change of user takes off, so both belong into one call), and rules out that a setuid program gives privileges back;
* `sh` checks that the supervisor had not died just before that, and sets limits that only the child is to have.

In a PID namespace the leader is `unshare` or `bwrap`, which waits for the namespace's first process, its **init**:
one more `sh`. An init reaps orphans, ends with the command, and takes the namespace with it. An init is immune to the
signals of its own namespace, and to SIGTERM from outside.

That an init ends with its leader is not left to `unshare --kill-child` and `bwrap --die-with-parent`: a leader that is
killed while these still set up has been missed, one time in twenty for the one and more often than not for the other.
So `setpriv` asks again, and only then the init looks whether the leader lives. It sees no parent from where it is;
but it has inherited a descriptor of the leader's /proc/PID/stat, which cannot be read once the leader was reaped.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

MOVE_IN: Final = 'echo 0 > "$0" || exit 125; exec "$@"'
STILL_THE_PARENT: Final = '[ "$PPID" = "$0" ] || exit 124; '
_OOM_FIRST: Final = "echo 500 2>/dev/null > /proc/self/oom_score_adj; "
"""Without memory the kernel is to end children before it ends either program; where it cannot be said, so be it."""
_BECOME: Final = 'exec "$@"'
_REMEMBER_ME: Final = "exec 9< /proc/self/stat; "
LEADER_LIVES: Final = 'read -r _ _ state _ <&9; case "$state" in ""|Z|X) exit 124;; esac; exec 9<&-; '
_RUN: Final = '"$@"; exit $?'

_FORM: Final = "1"
"""Of the shim's arguments: it takes no other."""

_BLOCK: Final = 512
"""Bytes in a unit of sh's `ulimit -f` (POSIX, ulimit)."""


class Inside(Enum):
    """What a child runs in."""

    NOTHING = auto()
    NAMESPACE = auto()
    """A PID namespace made by `unshare`, as root."""
    USER_NAMESPACE = auto()
    """The same, without being root: in a user namespace."""
    BUBBLEWRAP = auto()


@dataclass(frozen=True)
class Wrapping:
    """What to put around a command."""

    cgroup: str | None = None
    """The `cgroup.procs` to move into."""
    uid: int | None = None
    gid: int | None = None
    no_new_privs: bool = True
    open_files: int | None = None
    soft_open_files: int | None = None
    """Where there is no limit, the usual one, which a program may raise."""
    file_size: int | None = None
    """Bytes."""
    inside: Inside = Inside.NOTHING
    sandbox: Sequence[str] = ()
    """The options of `bwrap`."""

    @property
    def has_init(self) -> bool:
        """Whether the leader only waits for a namespace's init."""
        return self.inside is not Inside.NOTHING

    @property
    def waits_for_init(self) -> bool:
        """Whether a leader that exits by itself has waited for the init, and the init for all of its namespace.

        An init that ends takes the rest of its namespace with it, and is not reaped before all of that has gone
        (pid_namespaces(7)). `unshare` exits once it has reaped it; `bwrap` as soon as the init has told it of the end.
        """
        return self.inside in (Inside.NAMESPACE, Inside.USER_NAMESPACE)


def wrap(command: Sequence[str], wrapping: Wrapping, parent: int, programs: Mapping[str, str]) -> list[str]:
    """The whole command line. `parent` is the supervisor's pid; `programs` has the paths of those that are there.

    With neither `shim` nor `setpriv` there is no parent-death signal; without the others, no namespace. Raises OSError
    for a change of user that nothing can make.
    """
    if "shim" in programs and wrapping.inside is not Inside.BUBBLEWRAP and "/" in command[0]:
        return [programs["shim"], _FORM, *_shim_options(wrapping, parent), "--", *command]
    shell = [programs["sh"], "-c"]
    if wrapping.inside is Inside.NOTHING:
        script = STILL_THE_PARENT + _limits(wrapping) + _BECOME
        line = [*_setpriv(wrapping, programs), *shell, script, str(parent), *command]
    else:
        # A namespace of root's needs root to be made; in that of a user there is no other user to become.
        as_root = wrapping.inside is Inside.NAMESPACE
        leading = replace(wrapping, uid=None, gid=None, no_new_privs=False) if as_root else wrapping
        following = wrapping if as_root else replace(wrapping, uid=None, gid=None)
        script = LEADER_LIVES + _limits(wrapping) + _RUN
        init = [*_setpriv(following, programs), *shell, script, "sh", *command]
        line = [*shell, STILL_THE_PARENT + _REMEMBER_ME + _BECOME, str(parent), *_maker(wrapping, programs), *init]
        line = [*_setpriv(leading, programs), *line]
    if wrapping.cgroup is not None:
        line = [programs["sh"], "-c", MOVE_IN, wrapping.cgroup, *line]
    return line


def without_shim(programs: Mapping[str, str]) -> dict[str, str]:
    """`programs`, with which shells do what the shim would."""
    return {name: path for name, path in programs.items() if name != "shim"}


def _shim_options(wrapping: Wrapping, parent: int) -> list[str]:
    values = {
        "--parent": parent,
        "--cgroup": wrapping.cgroup,
        "--uid": wrapping.uid,
        "--gid": wrapping.gid,
        "--open-files": wrapping.open_files,
        "--soft-open-files": wrapping.soft_open_files,
        "--file-size": wrapping.file_size,
    }
    options = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    if wrapping.no_new_privs:
        options.append("--no-new-privs")
    if wrapping.inside is not Inside.NOTHING:
        options.append("--pid-namespace" if wrapping.inside is Inside.NAMESPACE else "--user-namespace")
    return options


def _maker(wrapping: Wrapping, programs: Mapping[str, str]) -> list[str]:
    """What makes the namespace and waits for its init."""
    if wrapping.inside is Inside.BUBBLEWRAP:
        return [programs["bwrap"], *wrapping.sandbox, "--as-pid-1", "--"]
    user = ["--user", "--map-current-user"] if wrapping.inside is Inside.USER_NAMESPACE else []
    return [programs["unshare"], *user, "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def _setpriv(wrapping: Wrapping, programs: Mapping[str, str]) -> list[str]:
    if "setpriv" not in programs:
        if wrapping.uid is not None or wrapping.gid is not None:
            raise OSError(errno.ENOENT, "without setpriv (util-linux) nobody becomes another user")
        return []
    options = ["--pdeathsig", "KILL"]
    if wrapping.uid is not None:
        options += ["--reuid", str(wrapping.uid)]
    if wrapping.gid is not None:
        options += ["--regid", str(wrapping.gid)]
    if wrapping.uid is not None:
        options += ["--clear-groups", "--inh-caps", "-all"]
    if wrapping.no_new_privs:
        options += ["--no-new-privs"]
    return [programs["setpriv"], *options, "--"]


def _limits(wrapping: Wrapping) -> str:
    script = _OOM_FIRST
    if wrapping.open_files is not None:
        script += f"ulimit -n {wrapping.open_files}; "
    elif wrapping.soft_open_files is not None:
        script += f"ulimit -S -n {wrapping.soft_open_files}; "
    if wrapping.file_size is not None:
        script += f"ulimit -f {-(-wrapping.file_size // _BLOCK)}; "
    return script
