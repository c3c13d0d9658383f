"""Keeps one zygote for each server that wants one, and gets blanks from it.

A zygote is nobody's session: it counts for no cap, and nobody waits for it. While it is not there, sessions are started
as without one. It is made when the supervisor starts or reloads, again when its program on disk is another, and after a
rest when it has ended, while it imported, too. One whose import left what may not be forked is not tried again until
the configuration changes.
"""

import signal
import time
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.abc
import anyio.lowlevel
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from common.personal import placeholders
from supervisor.births import Births
from supervisor.environment import SpawnError
from supervisor.fetches import Fetches
from supervisor.ground import Ground
from supervisor.placing import Place, Placer
from supervisor.protocol import Exit
from supervisor.rooms import Room, Rooms
from supervisor.spawn import Zygote, spawn_zygote
from supervisor.stderr import StderrTail
from supervisor.tags import make_tag
from supervisor.tree import CensusTaker, Tree
from supervisor.users import AllInUse
from supervisor.walk import usage
from supervisor.wiping import seal
from supervisor.wrapper import Inside
from supervisor.zygote import blanks
from supervisor.zygote.blanks import Blank, NoFork
from supervisor.zygote.importing import Refused, imported
from supervisor.zygote.programs import NoProgram

FIRST_REST: Final = 1.0
LONGEST_REST: Final = 60.0
"""Seconds between the end of one and the start of the next, twice as long each time."""

AHEAD: Final = 0.2
"""Seconds after a session was given the fork that waited, until the next one is made: by then it is through its start."""


@dataclass(eq=False)
class _Kept:
    """A zygote that runs."""

    spec: ServerSpec
    zygote: Zygote
    tag: int
    marks: object
    ended: anyio.Event = field(default_factory=anyio.Event)
    """It was reaped."""
    over: anyio.Event = field(default_factory=anyio.Event)
    """It is to be ended, or has ended."""
    ahead: Blank | None = None
    """A fork that waits for the next session."""
    forks_ahead: bool = False
    """Whether one is being made."""


class Zygotes:
    """Keeps them. `exited` must be told of every process that is reaped, and `clear` is given rooms to wipe.

    `stop` before anything is done to all processes there are.
    """

    def __init__(
        self,
        ground: Ground,
        rooms: Rooms,
        placer: Placer,
        census: CensusTaker,
        fetches: Fetches,
        tasks: anyio.abc.TaskGroup,
        *,
        number: Callable[[], int],
        clear: Callable[[Room], None],
    ) -> None:
        """`number` gives the number of a new tree that is no lease's."""
        self._installation = ground.ledger.run.installation
        self._programs = ground.reaping.programs
        self._mode = ground.reaping
        self._rooms = rooms
        self._placer = placer
        self._census = census
        self._fetches = fetches
        self._tasks = tasks
        self._number = number
        self._clear = clear
        self._kept: dict[str, _Kept] = {}
        self._by_pid: dict[int, _Kept] = {}
        self._keepers: dict[str, tuple[ServerSpec, anyio.CancelScope]] = {}
        self._running: set[anyio.Event] = set()
        """Of keepers that are not done yet, those included that were told to be."""

    def __repr__(self) -> str:
        return f"<Zygotes {[f'{name} pid {each.zygote.process.pid}' for name, each in self._kept.items()]}>"

    @property
    def pids(self) -> Set[int]:
        """Of those that have not been reaped."""
        return self._by_pid.keys()

    def memory(self) -> dict[str, int]:
        """Bytes that the zygote of each server that wants one has for itself; 0 where there is none now."""
        pids = {name: kept.zygote.process.pid for name, kept in self._kept.items()}
        return {name: usage([pids[name]])[0] if name in pids else 0 for name in self._keepers}

    def start(self, settings: SupervisorSettings) -> None:
        """Have one for each server of `settings` that wants one, and for no other; in the background."""
        wanted = {spec.name: spec for spec in settings.servers.values() if spec.zygote}
        for name, (spec, scope) in tuple(self._keepers.items()):
            if wanted.get(name) != spec:
                scope.cancel()
                del self._keepers[name]
                self._kept.pop(name, None)  # from now on nobody is forked from it
        for name, spec in wanted.items():
            if name not in self._keepers:
                self._begin(spec)

    def _begin(self, spec: ServerSpec) -> None:
        scope, done = anyio.CancelScope(), anyio.Event()
        self._keepers[spec.name] = spec, scope
        self._running.add(done)
        self._tasks.start_soon(self._keep, spec, scope, done, name=f"zygote of {spec.name}")

    async def stop(self) -> None:
        """End them all, and wait until nothing of them is left. `start` begins anew, and so does the next session."""
        for _, scope in self._keepers.values():
            scope.cancel()
        self._keepers.clear()
        for done in tuple(self._running):
            await done.wait()

    async def fork(self, spec: ServerSpec) -> Blank | None:
        """A blank for a session of `spec`, whose package is there; None where it is to be started without.

        Waits as long as a fork takes, blanks.PATIENCE at most. What goes wrong is logged, and the zygote made anew.
        """
        if spec.zygote and spec.name not in self._keepers:
            self._begin(spec)
        kept = self._kept.get(spec.name)
        if kept is None:
            return None
        if kept.spec != spec or kept.zygote.program.marks != kept.marks:  # a package has a new place when it is newer
            logger.info("server {}: its program on disk is another one; making its zygote anew", spec.name)
        else:
            try:
                return self._take_ahead(kept) or await self._fork_of(kept)
            except (NoFork, OSError) as error:
                logger.warning("server {}: started without its zygote: {}", spec.name, error)
        if self._kept.get(spec.name) is kept:
            del self._kept[spec.name]
        kept.over.set()
        return None

    def _take_ahead(self, kept: _Kept) -> Blank | None:
        """The fork that waits, where there is one; another is made for the next session."""
        blank, kept.ahead = kept.ahead, None
        if not kept.forks_ahead:
            kept.forks_ahead = True
            self._tasks.start_soon(self._fork_ahead, kept, AHEAD, name=f"fork {kept.spec.name} ahead")
        if blank is not None and not blank.is_well:
            blank.close()
            return None
        return blank

    async def _fork_ahead(self, kept: _Kept, pause: float) -> None:
        """Have a fork wait for the next session, after `pause` seconds. What goes wrong the next session will meet."""
        try:
            with anyio.move_on_after(pause):
                await kept.over.wait()
            if not kept.over.is_set():
                kept.ahead = await self._fork_of(kept)
        except (NoFork, OSError) as error:
            logger.debug("server {}: no fork ahead: {}", kept.spec.name, error)
        finally:
            kept.forks_ahead = False

    @staticmethod
    async def _fork_of(kept: _Kept) -> Blank:
        """A fork of one that is not being ended: who ends it kills all that bore its tag when it was looked at."""
        blank = await blanks.fork(kept.zygote.control, kept.tag, kept.zygote.program)
        if kept.over.is_set():
            blank.close()
            raise NoFork("its zygote is being ended")
        return blank

    def exited(self, pid: int, exit_: Exit) -> None:
        """This process was reaped; it may be nobody of ours."""
        if (kept := self._by_pid.pop(pid, None)) is not None:
            kept.zygote.process.returncode = -exit_.signal if exit_.signal is not None else exit_.code
            kept.ended.set()
            kept.over.set()

    # One zygote after the other.

    async def _keep(self, spec: ServerSpec, scope: anyio.CancelScope, done: anyio.Event) -> None:
        """Have a zygote of `spec` until cancelled, or until it is known that there can be none."""
        rest = FIRST_REST
        try:
            with scope:
                while True:
                    began = time.monotonic()
                    resolved = await self._fetches.resolve_later(spec)
                    await anyio.lowlevel.checkpoint_if_cancelled()  # what is known of a server that is gone is gone
                    await self._live(resolved)
                    await anyio.sleep(rest)
                    lived_long = time.monotonic() - began > LONGEST_REST
                    rest = FIRST_REST if lived_long else min(2 * rest, LONGEST_REST)
        except Refused as refused:
            logger.warning("server {}: its sessions are started without a zygote: {}", spec.name, refused)
        finally:
            self._running.discard(done)
            done.set()

    async def _live(self, spec: ServerSpec) -> None:
        """One zygote, from its start until nothing is left of it. Raises Refused."""
        if self._mode.inside is not Inside.NOTHING or spec.isolation.sandbox or spec.isolation.uid_range:
            raise Refused(
                f"a fork cannot enter a namespace, a sandbox or a user id of its own (trees are kept whole by: "
                f"{self._mode.mode}); say 'reaping: tagged', or run where there are cgroups"
            )
        number = self._number()
        tag = make_tag(self._installation, number)
        template = _without_users_own(spec)
        try:
            room = self._rooms.make(template)
        except (AllInUse, OSError) as error:
            logger.warning("server {}: no room for its zygote: {}", spec.name, error)
            return
        place: Place | None = None
        try:
            place = self._placer.place(template, number, room)
            zygote = spawn_zygote(template, tag, place.wrapping, self._programs, room)
        except NoProgram as error:
            self._vacate(room, place)
            raise Refused(str(error)) from None
        except (SpawnError, OSError, ValueError) as error:
            self._vacate(room, place)
            logger.warning("server {}: its zygote could not be started: {}", spec.name, error)
            return
        kept = _Kept(spec, zygote, tag, zygote.program.marks)
        self._by_pid[zygote.process.pid] = kept
        name = f"{spec.name} zygote pid {zygote.process.pid}"
        redact = Births.redactor(template, room)
        stderr = StderrTail(zygote.stderr, name, redact)
        try:
            if await imported(kept.zygote, kept.tag):
                _close_off(room)
                self._kept[spec.name] = kept
                logger.info("server {}: its zygote pid {} is ready", spec.name, zygote.process.pid)
                kept.forks_ahead = True
                self._tasks.start_soon(self._fork_ahead, kept, 0.0, name=f"fork {spec.name} ahead")
                await kept.over.wait()
        except Refused as refused:
            raise Refused(redact(" ".join(str(refused).split()))) from None
        finally:
            kept.over.set()
            if kept.ahead is not None:
                kept.ahead.close()
            if self._kept.get(spec.name) is kept:
                del self._kept[spec.name]
            with anyio.CancelScope(shield=True):
                zygote.control.close()
                await Tree(zygote.process.pid, tag, self._census, leaf=place.leaf).end(signal.SIGKILL)
                await kept.ended.wait()
            stderr.close()
            self._vacate(room, place)
        logger.warning("server {}: its zygote has ended; it is made anew", spec.name)

    def _vacate(self, room: Room, place: Place | None) -> None:
        """Nothing lives there any more."""
        try:
            if place is not None:
                place.clear()
        except OSError as error:
            logger.error("the cgroup of a zygote cannot be removed: {}", error)
        with suppress(OSError):  # then it cannot be wiped either, of which will be told
            room.path.chmod(0o700)
        self._clear(room)


def _close_off(room: Room) -> None:
    """Shut the zygote's room: what the import has kept of its paths must not become a place that sessions share."""
    try:
        seal(room.path)
        room.path.chmod(0)
    except OSError as error:
        logger.error("the room of a zygote cannot be shut: {}", error.strerror)


def _without_users_own(spec: ServerSpec) -> ServerSpec:
    """`spec` without all that is each user's own, which a zygote must not have."""
    own: dict[str, Any] = {"env": {name: value for name, value in spec.env.items() if not placeholders(value)}}
    if spec.path is not None and placeholders(spec.path):
        own["path"] = None
    own["args"] = tuple(each for each in spec.args if not placeholders(each))
    return spec.model_copy(update=own)
