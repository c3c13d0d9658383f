"""How a child comes to be: a room, a place, a process; all of them, or nothing is left of any."""

import os
from collections.abc import Callable

from loguru import logger

from common.config.model import ServerSpec
from common.once import Changes
from common.reasons import Reason
from common.redact import Redactor
from supervisor.child import Child
from supervisor.endings import HASTY
from supervisor.environment import SpawnError, own_variables
from supervisor.ground import Ground
from supervisor.nearby import Nearby
from supervisor.placing import Place, Placer
from supervisor.rooms import Room, Rooms
from supervisor.spawn import Born, dress, spawn
from supervisor.stderr import StderrTail
from supervisor.strays import Strays
from supervisor.tags import make_tag
from supervisor.tree import CensusTaker, Tree
from supervisor.users import AllInUse
from supervisor.zygote.blanks import Blank
from supervisor.zygote.programs import NoProgram


class Births:
    """Starts children. `clear` is given the room of one that could not be started, to take it back and wipe it."""

    def __init__(
        self,
        ground: Ground,
        rooms: Rooms,
        placer: Placer,
        census: CensusTaker,
        strays: Strays,
        nearby: Nearby,
        clear: Callable[[Room], None],
    ) -> None:
        self._ledger = ground.ledger
        self._installation = ground.ledger.run.installation
        self._programs = ground.reaping.programs
        self._rooms = rooms
        self._placer = placer
        self._census = census
        self._strays = strays
        self._nearby = nearby
        self._clear = clear
        self._told = Changes()
        """Why a server cannot be spawned, where that was told because of a child that is no session's."""

    def __repr__(self) -> str:
        return f"<Births in {self._rooms!r}>"

    def start(
        self,
        spec: ServerSpec,
        lease: int,
        label: str,
        user: str,
        *,
        gives_way: bool = False,
        is_spare: bool = False,
        blank: Blank | None = None,
    ) -> tuple[Child, Born]:
        """A child that runs: `blank`, which is then used up, or one that is started now.

        A spare will be ended in haste, for nobody has used it.

        Raises SpawnError, and then nothing is left of its room, its place and its process.
        """
        tag = make_tag(self._installation, lease)
        room = self._make_room(spec, gives_way=gives_way)
        try:
            place = self._placer.place(spec, lease, room)
            spawned = self._spawn(spec, tag, place, room, blank)
        except SpawnError as error:
            self._clear(room)
            is_news = not gives_way or self._told.is_news(spec.name, error.reason)
            line = self.redactor(spec, room)(error.detail)
            logger.log("ERROR" if is_news else "DEBUG", "server {}: {}: {}", spec.name, error.reason, line)
            raise
        pid = spawned.process.pid
        self._ledger.born(lease, pid)
        child = Child(
            lease=lease,
            label=label,
            spec=spec,
            room=room,
            process=spawned.process,
            place=place,
            tree=self._tree(pid, tag, place),
            stderr=StderrTail(spawned.stderr, f"{spec.name} pid {pid}", self.redactor(spec, room)),
            graces=HASTY if is_spare else spec.graces,
            user=user,
            gives_way=gives_way,
            is_spare=is_spare,
        )
        self._told.is_news(spec.name, None)
        return child, spawned

    def _make_room(self, spec: ServerSpec, *, gives_way: bool) -> Room:
        try:
            return self._rooms.make(spec)
        except AllInUse as error:
            message = f"server '{spec.name}' has as many sessions as there are user ids for it"
            logger.log("DEBUG" if gives_way else "WARNING", "refused a child of {}: {}", spec.name, error)
            raise SpawnError(Reason.MAX_SESSIONS, message, str(error)) from None
        except OSError as error:
            logger.error("server {}: {}: {}", spec.name, Reason.ROOM_FAILED, error)
            message = f"a session of server '{spec.name}' could not be given a directory of its own"
            raise SpawnError(Reason.ROOM_FAILED, message, str(error)) from error

    def _spawn(self, spec: ServerSpec, tag: int, place: Place, room: Room, blank: Blank | None) -> Born:
        try:
            if blank is not None:
                try:
                    return dress(spec, tag, place.leaf, blank, room)
                except (OSError, ValueError, NoProgram) as error:
                    logger.warning("server {}: started without its zygote: {}", spec.name, type(error).__name__)
            return spawn(spec, tag, place.wrapping, self._programs, room)
        except SpawnError:
            try:
                place.clear()
            except OSError as error:
                logger.error("server {}: its cgroup cannot be removed: {}", spec.name, error)
            raise

    @staticmethod
    def redactor(spec: ServerSpec, room: Room) -> Redactor:
        """For what it was given: by the configuration, and of the supervisor's own where that names it."""
        inherited = {name: os.environ[name] for name in spec.isolation.inherit_env if name in os.environ}
        return Redactor(inherited | own_variables(spec, room), spec.private)

    def _tree(self, leader: int, tag: int, place: Place) -> Tree:
        return Tree(
            leader,
            tag,
            self._census,
            leaf=place.leaf,
            has_init=place.wrapping.has_init,
            strays=self._strays.among,
            nearby=self._nearby.fresh,
        )
