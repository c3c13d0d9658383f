"""How a child is opened: from a spare, from what a zygote has forked, or by a start of its own, once there is a place.

Here it is decided which of these it is, and leases are numbered. What a child is then, is `supervisor.children`'s.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, nullcontext

import anyio.abc

from common.config.model import ServerSpec, SupervisorSettings
from common.reasons import Reason
from supervisor import exposure
from supervisor.births import Births
from supervisor.child import Child, duplicates
from supervisor.clocks import Clocks
from supervisor.environment import SpawnError
from supervisor.fetches import Fetches
from supervisor.gate import Gate
from supervisor.personal import for_user
from supervisor.priority import Priority
from supervisor.queueing import Request
from supervisor.reaping import Reaping
from supervisor.rooms import Rooms
from supervisor.warming import Warming
from supervisor.zygote.blanks import Blank
from supervisor.zygote.zygotes import Zygotes


class Openings:
    """Opens children.

    `enroll(child)` puts one into the table, `end(child, reason)` ends one, `burial()` waits until the tree of some child
    is gone.
    """

    def __init__(
        self,
        settings: SupervisorSettings,
        reaping: Reaping,
        tasks: anyio.abc.TaskGroup,
        rooms: Rooms,
        births: Births,
        fetches: Fetches,
        zygotes: Zygotes,
        clocks: Clocks,
        *,
        enroll: Callable[[Child], None],
        end: Callable[[Child, Reason], None],
        burial: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._reaping = reaping
        self._rooms = rooms
        self._births = births
        self._fetches = fetches
        self._zygotes = zygotes
        self._clocks = clocks
        self._enroll = enroll
        self._burial = burial
        self.last_lease = 0
        """The one that was given out last."""
        self.keeps_pipes = False
        """Whether a child's pipes are kept for a later gateway: see supervisor.custody."""
        self.gate = Gate(settings)
        priority = Priority(weighs=reaping.run is not None and "cpu" in reaping.run.controllers)
        self.warming = Warming(settings, self.gate, tasks, self._begin_spare, end, priority, self._is_current)
        """Of children that stand ready before anybody asks."""

    def __repr__(self) -> str:
        return f"<Openings: {self.last_lease} so far>"

    async def open(
        self,
        server: str,
        label: str,
        user: str = "",
        values: Mapping[str, str] | None = None,
        *,
        gives_way: bool = False,
    ) -> tuple[Child, int, int]:
        """Spawn a child of `server`, once there is a place; the child, and its stdin and stdout, which the caller owns.

        `values` are what it is given of `user`'s own. One that `gives_way` waits for no place, and makes nobody wait.

        Raises SpawnError, with a reason, where it is refused or cannot be started. Cancellation leaves nothing behind.
        """
        exposure.check(server, self._settings, self._reaping)
        request = Request(server, user, label, gives_way)
        if not gives_way and (spare := self._warm(request)) is not None:
            return spare
        self._resolve(server)  # or it is refused, for which it need not have waited for a place
        self.last_lease += 1
        lease = self.last_lease
        await self.gate.enter(lease, request)
        if not gives_way and (spare := self._warm(request, lease)) is not None:  # it may have waited for long
            return spare
        try:
            if not gives_way:
                await self._have_a_user_free(server)
            spec, blank = await self._prepare(server)
            with closing(blank) if blank is not None else nullcontext():
                own = for_user(spec, values or {})
                child, spawned = self._births.start(own, lease, label, user, gives_way=gives_way, blank=blank)
        except SpawnError as error:
            self.gate.could_not_spawn(lease, request, error)
            raise
        except BaseException:
            self.gate.gave_up(lease, request)
            raise
        if self.keeps_pipes:
            child.pipes = duplicates(spawned.stdin, spawned.stdout)
        self._enroll(child)
        self._clocks.start(child)
        self.warming.cold(child)
        return child, spawned.stdin, spawned.stdout

    async def _have_a_user_free(self, server: str) -> None:
        """Where all user ids for `server` are in use, wait until a spare has given up its own, if one has any."""
        while (spec := self._settings.servers.get(server)) is not None and not self._rooms.has_user_for(spec):
            assert spec.isolation.uid_range is not None
            if not self.warming.give_up_user(*spec.isolation.uid_range):
                return
            await self._burial()

    async def _prepare(self, server: str) -> tuple[ServerSpec, Blank | None]:
        """How to start `server`, as the configuration has it now, and what its zygote has forked for that."""
        while True:
            spec = self._resolve(server)
            before = self._settings.servers.get(server)
            blank = await self._zygotes.fork(spec)
            if self._settings.servers.get(server) == before:
                return spec, blank
            if blank is not None:
                blank.close()

    def _warm(self, request: Request, instead_of: int | None = None) -> tuple[Child, int, int] | None:
        """A spare that is `request`'s child from now on, if there is one, and its pipes, as `open` returns them."""
        if instead_of is None:
            self.warming.arrived(request.server)
        child = self.warming.take(request, instead_of)
        if child is None:
            return None
        stdin, stdout = child.pipes
        child.pipes = duplicates(stdin, stdout) if self.keeps_pipes else ()
        self._clocks.start(child)
        return child, stdin, stdout

    async def _begin_spare(self, server: str, label: str) -> tuple[Child, ServerSpec] | None:
        """Start a child that waits for a session, and its server as it is configured; None where there is no place."""
        exposure.check(server, self._settings, self._reaping)
        spec = self._resolve(server)
        configured = self._settings.servers[server]
        self.last_lease += 1
        lease, request = self.last_lease, Request(server, "", label, gives_way=True, is_spare=True)
        if not self.warming.is_on or not self.gate.enter_spare(lease, request):
            return None
        try:
            child, spawned = self._births.start(spec, lease, label, "", gives_way=True, is_spare=True)
        except BaseException:
            self.gate.left(lease)
            raise
        child.pipes = spawned.stdin, spawned.stdout
        self._enroll(child)
        return child, configured

    def _is_current(self, child: Child) -> bool:
        """Whether `child` was started from its server's package as it is there now, or there is no other."""
        try:
            now = self._resolve(child.spec.name)
        except SpawnError:
            return True
        return (now.command, now.args) == (child.spec.command, child.spec.args)

    def _resolve(self, server: str) -> ServerSpec:
        """How to start `server`, as the configuration has it now.

        Raises SpawnError where its package is not there yet, and for one that was taken out of the configuration while
        somebody waited for a place.
        """
        if (spec := self._settings.servers.get(server)) is not None:
            return self._fetches.resolve(spec)
        message = f"there is no server '{server}' any more"
        raise SpawnError(Reason.SERVER_NOT_FOUND, message, message)
