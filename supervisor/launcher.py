"""What `mcp-gateway serve` becomes: a very small process that starts both programs and outlives neither.

It joins them by a socketpair, holds no socket itself, and is a subreaper: what a killed supervisor leaves falls to it,
and it ends that too. SIGTERM and SIGINT end everything in order: the gateway first, so that it stops taking requests and
releases its leases; its goodbye then makes the supervisor end every tree and leave. Whoever is not done within its grace
is killed, and a second signal is impatient: it kills at once. SIGHUP does the same where there is a terminal to hang up;
where there is none it is the supervisor's, which reads the configuration again.

Beside a program that has the gateway within itself (`--beside`), it starts the supervisor alone: that program's end,
however it comes, is the signal to end everything.

Only the standard library's lightest modules are imported here; this process stays for as long as the service runs.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from common.prctl import hide_memory
from supervisor.freeze import freeze, signal_each
from supervisor.linux import Census, Process, become_subreaper, descendants, die_with_parent, has_terminal

GATEWAY_GRACE: Final = 40.0
"""Seconds that the gateway may take to answer what is in flight and close its sessions: above any `drain_timeout`."""

SUPERVISOR_GRACE: Final = 30.0
"""Seconds that the supervisor may take to end every tree: above the sum of any sensible graces."""

BESIDE: Final = "--beside"

DESCRIPTORS: Final = "/dev/fd/"

FOR_EVER: Final = 1e8
"""Seconds; three years."""

IMPATIENT_AFTER: Final = 1.0
"""Seconds after which a second signal is meant: some tools send one to the process and to its group."""

NOTIFY_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""As in common.notify, whose imports are too heavy for here."""

_SIGNALS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def main(argv: Sequence[str]) -> int:
    """Run both programs; `argv` is the configuration's path, then options for the gateway. Returns the exit status.

    Or `--beside PID FD CONFIG`: process PID, whose child this is, has the gateway, and FD is a control socket to it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    become_subreaper()
    hide_memory()
    if argv[0] == BESIDE:
        return _run_beside(int(argv[1]), int(argv[2]), argv[3])
    config, *gateway_options = argv
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    supervisor = _start("supervisor", ours, "--config", config, "--parent", str(os.getpid()))
    gateway = _start("gateway", theirs, *gateway_options)
    ours.close()
    theirs.close()
    return _Pair(supervisor, gateway).outlive()


def _run_beside(parent: int, control: int, config: str) -> int:
    die_with_parent(parent, signal.SIGTERM)
    _let_go({0, 1, 2, control, *_descriptor_of(config)})
    with socket.socket(fileno=control) as theirs:
        supervisor = _start("supervisor", theirs, "--config", config, "--parent", str(os.getpid()))
    return _Pair(supervisor, None).outlive()


def _descriptor_of(config: str) -> list[int]:
    """The one that the configuration is read from, where it is in no file."""
    name = config.removeprefix(DESCRIPTORS)
    return [int(name)] if name != config else []


def _let_go(kept: set[int]) -> None:
    """Close what else the program's own were, and came along: not every event loop closes what is not for a child."""
    with os.scandir(DESCRIPTORS) as listing:
        found = {int(each.name) for each in listing}
    for fd in found - kept:
        with suppress(OSError):  # that of the listing is closed
            os.close(fd)


def _start(module: str, control: socket.socket, *arguments: str) -> int:
    """Start `python -m module` in a process group of its own: the terminal's Ctrl-C is for the launcher alone."""
    fd = control.fileno()
    command = [sys.executable, "-P", "-m", module, "--control-fd", str(fd), *arguments]
    # What a service manager says is for this process, which has nothing to tell it.
    environment = {name: value for name, value in os.environ.items() if name not in NOTIFY_VARIABLES}
    # A SIGHUP that comes before the supervisor is ready for it waits.
    blocked = {signal.SIGHUP} if module == "supervisor" else ()
    os.set_inheritable(fd, True)  # noqa: FBT003
    pid = os.posix_spawn(sys.executable, command, environment, setpgroup=0, setsigmask=blocked, setsigdef=_SIGNALS)
    os.set_inheritable(fd, False)  # noqa: FBT003
    return pid


class _Pair:
    """Both programs, until neither runs and nothing of theirs does."""

    def __init__(self, supervisor: int, gateway: int | None) -> None:
        self._supervisor = supervisor
        self._gateway = gateway
        self._status: dict[int, int] = {}
        self._has_terminal = has_terminal()
        self._told_to_end: float | None = None
        """When, on the monotonic clock."""

    def outlive(self) -> int:
        """Wait for the first end, see to the other's and to all that is left; returns the exit status to leave with."""
        self._wait_for(None)
        if self._supervisor in self._status:
            _kill_below(spare=self._gateway)
        if self._gateway is None:
            return self._outlive_supervisor()
        if self._status.get(self._supervisor) == 0:
            # The gateway has said goodbye, and is on its last steps, where a signal would look like a failure.
            self._wait_for(self._gateway, GATEWAY_GRACE)
        self._end(self._gateway, GATEWAY_GRACE)
        # The gateway's end is the supervisor's signal; it has trees to end.
        self._wait_for(self._supervisor, SUPERVISOR_GRACE)
        self._end(self._supervisor, 0)
        _end_descendants()
        statuses = [self._status.get(pid, 1) for pid in (self._supervisor, self._gateway)]
        return max(status if status >= 0 else 1 for status in statuses)

    def _outlive_supervisor(self) -> int:
        """The same where there is nothing else."""
        self._end(self._supervisor, SUPERVISOR_GRACE)
        _end_descendants()
        status = self._status.get(self._supervisor, 1)
        return status if status >= 0 else 1

    def _wait_for(self, pid: int | None, grace: float = FOR_EVER) -> None:
        """Until `pid` has ended (either of them, or a signal, for None), or `grace` seconds are over, or impatience."""
        deadline = time.monotonic() + grace
        while pid not in self._status and not (pid is None and self._status):
            info = signal.sigtimedwait(_SIGNALS, max(0.0, deadline - time.monotonic()))
            if info is None:
                return
            if info.si_signo == signal.SIGCHLD:
                self._reap()
                continue
            if info.si_signo == signal.SIGHUP and not self._ends_with(signal.SIGHUP):
                continue
            now = time.monotonic()
            impatient = self._told_to_end is not None and now - self._told_to_end > IMPATIENT_AFTER
            self._told_to_end = self._told_to_end or now
            if impatient or pid is None:
                return

    def _ends_with(self, hang_up: signal.Signals) -> bool:
        """Whether SIGHUP means the end; else it is the supervisor's, or nohup(1) wants it ignored."""
        if _hangs_up_are_ignored():
            return False
        if not self._has_terminal and self._supervisor not in self._status:
            os.kill(self._supervisor, hang_up)
        return self._has_terminal

    def _end(self, pid: int, grace: float) -> None:
        """SIGTERM, then SIGKILL once `grace` seconds are over; SIGKILL at once without grace."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, FOR_EVER)):
            if pid not in self._status and patience > 0:
                os.kill(pid, number)
                self._wait_for(pid, patience)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in (self._supervisor, self._gateway):
                self._status[pid] = os.waitstatus_to_exitcode(status)


def _hangs_up_are_ignored() -> bool:
    """Whether we were started by nohup(1)."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _kill_below(spare: int | None = None) -> None:
    """Kill every descendant, but for `spare` and what is below it."""
    signal_each(freeze(lambda census: _below(census, spare)), signal.SIGKILL)


def _below(census: Census, spare: int | None) -> list[Process]:
    """The living descendants, but for `spare` and what is below it."""
    spared = {spare} | descendants(census, spare) if spare is not None else set()
    return [census[pid] for pid in descendants(census, os.getpid()) - spared if census[pid].alive]


def _end_descendants() -> None:
    """Kill what is left below this process, until there is nothing. Every orphan below becomes a child of ours."""
    with suppress(ChildProcessError):
        while True:
            _kill_below()
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
