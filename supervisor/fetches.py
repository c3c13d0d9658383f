"""Fetches the packages of servers that are started by npx or uvx: once, into caches that children only read.

A session's HOME is its own, so such a server would be downloaded anew for each; and neither npx nor uvx works with a
cache that it cannot write to. So the supervisor runs them, when it starts and when its configuration changes, and
children are started with the command that was fetched: without npx and without uvx, two processes less. Whatever cannot
be understood or fetched is started as written. What an earlier run has fetched is taken at once, and nothing is run for
it; but where a server asks for whatever is newest, that is fetched behind it, and is for those that are started later.

Nobody waits here: while a package is being fetched for the first time, its server is refused.
"""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from common.descriptors import close_all
from common.reasons import Reason
from supervisor.environment import SpawnError
from supervisor.fetching import Wanted, fetch_into, want
from supervisor.helpers import Helpers
from supervisor.packages import NotFetched, Package, fetches
from supervisor.places import PlaceError
from supervisor.shelves import Shelf, make_readable
from supervisor.turns import a_turn

AT_ONCE: Final = 2
"""Fetches at a time: more would only take the line and the processors from those who have sessions."""

TIMEOUT: Final = 5 * 60.0
"""Seconds that a fetch may take."""

COME_AGAIN: Final = 5.0
"""Seconds after which whoever is refused meanwhile may ask again."""


@dataclass(frozen=True)
class _Known:
    """What is known of the package of a server that is started as `spec` says; nothing where it is started as written."""

    spec: ServerSpec
    found: tuple[Package, Wanted] | None


@dataclass(eq=False)
class _Fetch:
    command: str | None = None
    """What was fetched, now or earlier; None where that came to nothing, or has not come yet."""
    runs: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)

    @property
    def is_missing(self) -> bool:
        """Whether there is nothing yet, and something may come."""
        return self.command is None and not self.done.is_set()


class Fetches:
    """Fetches what servers want. `stop` before anything is done to all processes there are."""

    def __init__(self, helpers: Helpers, tasks: anyio.abc.TaskGroup, environ: Mapping[str, str] = os.environ) -> None:
        self._helpers = helpers
        self._tasks = tasks
        self._environ = environ
        self._known: list[_Known] = []
        self._coming: list[_Known] = []
        """The same for a configuration that does not hold yet."""
        self._fetches: dict[Wanted, _Fetch] = {}
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._locks: defaultdict[Shelf, anyio.Lock] = defaultdict(anyio.Lock)
        self._cleared: set[Shelf] = set()
        self._renewed: set[Shelf] = set()
        """What this run has fetched: that is new enough."""
        self._held: dict[Path, int] = {}
        """Descriptors that keep the places from which children may have been started."""

    def __repr__(self) -> str:
        return f"<Fetches {[wanted.package.spec for wanted in self._fetches]}>"

    def start(self, settings: SupervisorSettings) -> None:
        """Fetch, in the background, what the servers of `settings`, which hold now, want and is not there yet."""
        self.prepare(settings)
        self.use(settings)

    def prepare(self, settings: SupervisorSettings) -> set[str]:
        """The same for settings that are to hold later; the servers whose packages have to be waited for."""
        self._coming = []
        for spec in settings.servers.values():
            if spec.isolation.packages == "fetch" and fetches(spec.command):
                self._coming.append(self._find(spec) or _look(spec, settings, self._environ))
        self._fetches = {
            each: fetch for each, fetch in self._fetches.items() if fetch.command or not fetch.done.is_set()
        }
        return {
            each.spec.name for each in self._coming if each.found is not None and self._begin(each.found[1]).is_missing
        }

    def use(self, settings: SupervisorSettings) -> None:
        """These settings hold from now on; each of their servers is one of those before, or was prepared."""
        self._known = [known for spec in settings.servers.values() if (known := self._find(spec)) is not None]

    def resolve(self, spec: ServerSpec) -> ServerSpec:
        """`spec` with the command that was fetched for it, or as it is where none can be.

        Raises SpawnError while there is none yet.
        """
        known = self._find(spec)
        if known is None or known.found is None:
            return spec
        package, wanted = known.found
        fetch = self._begin(wanted)
        if fetch.is_missing:
            message = f"the package of server '{spec.name}' is being installed; try again in a moment"
            raise SpawnError(Reason.INSTALLING, message, f"{package.spec} is not there yet", COME_AGAIN)
        if fetch.command is None:
            return spec
        return spec.model_copy(update={"command": fetch.command, "args": package.args})

    async def resolve_later(self, spec: ServerSpec) -> ServerSpec:
        """The same, once it is known; waits as long as that takes."""
        known = self._find(spec)
        while known is not None and known.found is not None and (fetch := self._begin(known.found[1])).is_missing:
            await fetch.done.wait()
        return self.resolve(spec)

    async def wait_for_any(self, names: Iterable[str]) -> set[str]:
        """Wait until one of the servers `names`, as prepared, need not be waited for; all for which it is so."""
        wanted = {each.spec.name: each.found[1] for each in self._coming if each.found is not None}
        running = {name: self._fetches.get(wanted[name]) if name in wanted else None for name in names}
        while running:
            settled = {name for name, fetch in running.items() if fetch is None or not fetch.is_missing}
            if settled:
                return settled
            async with anyio.create_task_group() as tasks:

                async def wait(fetch: _Fetch, scope: anyio.CancelScope) -> None:
                    await fetch.done.wait()
                    scope.cancel()

                for fetch in running.values():
                    if fetch is not None:
                        tasks.start_soon(wait, fetch, tasks.cancel_scope)
        return set()

    async def all_there(self) -> None:
        """Wait until no session would be refused for a package that is to come."""
        while missing := [fetch for fetch in self._fetches.values() if fetch.is_missing]:
            await missing[0].done.wait()

    async def all_done(self) -> None:
        """Wait until no fetch is under way, those included of which there is an older version."""
        while running := [fetch for fetch in self._fetches.values() if not fetch.done.is_set()]:
            await running[0].done.wait()

    def missing(self) -> dict[str, list[str]]:
        """The packages that are being fetched for the first time, each with its servers, whose sessions are refused."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for package, wanted, name in self._all():
            fetch = self._fetches.get(wanted)
            if fetch is not None and fetch.is_missing:
                found[package.spec].append(name)
        return dict(found)

    def outcome(self) -> tuple[list[str], list[str]]:
        """The servers whose packages are there, and those whose are not."""
        there: dict[bool, list[str]] = {True: [], False: []}
        for _, wanted, name in self._all():
            fetch = self._fetches.get(wanted)
            there[fetch is not None and fetch.command is not None].append(name)
        return there[True], there[False]

    def running(self) -> list[str]:
        """The packages of which a fetch runs now, those included of which there is an older version."""
        return sorted({wanted.package.spec for wanted, fetch in self._fetches.items() if fetch.runs})

    async def stop(self) -> None:
        """Cancel what is being fetched, and wait until nothing of it is left. A session that needs it begins anew."""
        running = [fetch for fetch in self._fetches.values() if not fetch.done.is_set()]
        for fetch in running:
            fetch.scope.cancel()
        for fetch in running:
            await fetch.done.wait()

    def close(self) -> None:
        """No child is left: what they were started from may be removed by anybody."""
        close_all(self._held.values())
        self._held.clear()

    def _hold(self, shelf: Shelf) -> None:
        try:
            place, fd = shelf.hold()
        except OSError as error:
            logger.debug("{} cannot be held: {}", shelf.path.name, error.strerror)
            return
        close_all([self._held.pop(place)] if place in self._held else [])
        self._held[place] = fd

    def _all(self) -> list[tuple[Package, Wanted, str]]:
        every = {id(each): each for each in (*self._known, *self._coming)}.values()
        return [(*each.found, each.spec.name) for each in every if each.found is not None]

    def _find(self, spec: ServerSpec) -> _Known | None:
        return next((each for each in (*self._known, *self._coming) if each.spec == spec), None)

    def _begin(self, wanted: Wanted) -> _Fetch:
        known = self._fetches.get(wanted)
        if known is not None and (known.command is None or os.access(known.command, os.X_OK)):
            return known
        fetch = self._fetches[wanted] = _Fetch(wanted.shelf.command(wanted.package))
        if fetch.command is not None:
            self._hold(wanted.shelf)
        if fetch.command is not None and self._is_new_enough(wanted):
            fetch.done.set()
        else:
            self._tasks.start_soon(self._fetch, wanted, fetch, name=f"fetch {wanted.package.spec}")
        return fetch

    def _is_new_enough(self, wanted: Wanted) -> bool:
        return not wanted.package.floats or wanted.shelf in self._renewed

    async def _fetch(self, wanted: Wanted, fetch: _Fetch) -> None:
        over = False
        try:
            with fetch.scope:
                async with self._locks[wanted.shelf], self._limiter:
                    fetch.runs = True
                    fetch.command = await self._try(wanted, fetch.command)
                over = True
        finally:
            fetch.runs = False
            if not over:
                del self._fetches[wanted]
            fetch.done.set()

    async def _try(self, wanted: Wanted, older: str | None) -> str | None:
        """The command that was fetched, or the `older` one, or None; and then it was said why."""
        spec, began = wanted.package.spec, time.monotonic()
        servers = sorted({name for _, each, name in self._all() if each == wanted})
        try:
            with anyio.fail_after(TIMEOUT):
                make_readable(wanted.shelf.path.parent)
                # Another supervisor of this user may fetch the same onto the same shelf.
                async with a_turn(wanted.shelf.lock):
                    there = wanted.shelf.command(wanted.package)
                    if there is not None and self._is_new_enough(wanted):
                        self._hold(wanted.shelf)
                        return there
                    logger.info("fetching {} for {}", spec, ", ".join(servers))
                    command = await self._onto_shelf(wanted)
        except (NotFetched, OSError, ValueError) as error:  # a TimeoutError is an OSError
            reason = f"not within {TIMEOUT:g} s" if isinstance(error, TimeoutError) else str(error)
            if older is not None:
                logger.warning("{} could not be fetched again ({}); the one of before is started", spec, reason)
            else:
                _warn(servers, f"{spec} could not be fetched ({reason})")
            return older
        logger.info("fetched {} for {} in {:.1f} s", spec, ", ".join(servers), time.monotonic() - began)
        return command

    async def _onto_shelf(self, wanted: Wanted) -> str:
        """Fetch it anew. Raises NotFetched or OSError."""
        shelf = wanted.shelf
        if shelf not in self._cleared:  # later on, children of this run may be using what is there
            await anyio.to_thread.run_sync(shelf.clear)
            self._cleared.add(shelf)
        place = shelf.new_place()
        try:
            command = await fetch_into(place, wanted, self._helpers, self._environ)
        except (NotFetched, OSError, ValueError):
            await anyio.to_thread.run_sync(shutil.rmtree, place, True)  # noqa: FBT003 - ignore errors
            raise
        shelf.keep(place)
        self._hold(shelf)
        self._renewed.add(shelf)
        return command


def _look(spec: ServerSpec, settings: SupervisorSettings, environ: Mapping[str, str]) -> _Known:
    """What there is to know of `spec`; it is said where it is started as written."""
    try:
        return _Known(spec, want(spec, settings, environ))
    except (NotFetched, PlaceError) as error:
        _warn([spec.name], str(error))
        return _Known(spec, None)


def _warn(servers: list[str], reason: str) -> None:
    told = "{} {}: {}; started as written, with a cache in each session's own HOME"
    logger.warning(told, "server" if len(servers) == 1 else "servers", ", ".join(servers), reason)
