"""SIGHUP: the configuration is read again.

Its `servers` hold for new sessions, and the keys in `TAKEN_OVER` for new requests; all else needs a restart. A server
whose package is not there yet is as it was before until that is fetched, and so nobody waits for it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from loguru import logger

from common import notify
from common.config.amounts import Amounts
from common.config.base import Model
from common.config.catalog import Publicity
from common.config.load import Settings
from common.config.model import GatewaySettings, SupervisorSettings
from common.config.source import ConfigError
from common.config.users import Users
from common.config.values import REVEAL_SECRETS
from supervisor.feasible import load_for_here

TAKEN_OVER: Final = frozenset({"access", "amounts", "auth", "cors", "users"})
"""The keys of the gateway's part, besides `servers`, that it takes over while it runs."""


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The keys that differ, and that a reload does not take over."""
    pairs: tuple[tuple[Model, Model], ...] = ((old.gateway, new.gateway), (old.supervisor, new.supervisor))
    changed = {
        own
        for before, after in pairs
        for key in type(before).model_fields
        if key not in TAKEN_OVER | {"servers", "disabled"}
        for own in _changed(key, getattr(before, key), getattr(after, key))
    }
    return sorted(changed)


def holds_at_once(old: GatewaySettings, new: GatewaySettings) -> list[str]:
    """The keys of the file that differ, besides `servers`, and that a reload takes over."""
    changed: set[str] = set()
    for key in TAKEN_OVER:
        changed |= _changed(key, getattr(old, key), getattr(new, key))
    return sorted(changed)


def _changed(key: str, before: object, after: object) -> set[str]:
    """By which keys of the file the two differ; `key` is the settings' own."""
    if isinstance(before, Amounts | Users | Publicity):  # which the file knows by their own keys
        return {own for own in type(before).model_fields if getattr(before, own) != getattr(after, own)}
    return {key} if before != after else set()


def changed_servers(old: Settings, new: Settings) -> list[str]:
    """The servers that both have, and of which anything differs, be it the supervisor's part or the gateway's."""

    def of(settings: Settings, name: str) -> tuple[Model, Model]:
        numbered = settings.gateway.servers[name]
        return settings.supervisor.servers[name], numbered.model_copy(update={"generation": 0})

    both = old.gateway.servers.keys() & new.gateway.servers.keys()
    return sorted(name for name in both if of(old, name) != of(new, name))


def take_over(running: Settings, new: Settings) -> Settings:
    """`running` with what a reload takes over of `new`.

    Whoever decides about a new session reads `servers` where it always was, so it is changed in place; a live child
    keeps the spec that it was started with.
    """
    for mine, theirs in (
        (running.supervisor.servers, new.supervisor.servers),
        (running.gateway.servers, new.gateway.servers),
    ):
        mine.clear()
        mine.update(theirs)  # type: ignore[arg-type] # each pair is of one kind
    running.gateway = running.gateway.model_copy(
        update={key: getattr(new.gateway, key) for key in TAKEN_OVER | {"disabled"}}
    )
    return running


def for_gateway(settings: GatewaySettings) -> bytes:
    """The gateway's part as it crosses the control socket, secrets and all."""
    return settings.model_dump_json(context=REVEAL_SECRETS).encode()


class Refused(Exception):
    """New settings cannot hold; the text says why, a line for each reason."""


class Reloader:
    """Reads the file at `path` again when told to; `announce` gets the gateway's part of what changed.

    `prepare` readies the supervisor for the new settings, and raises Refused where it cannot be: then nothing changes.
    """

    def __init__(
        self,
        path: Path,
        running: Settings,
        announce: Callable[[bytes], None],
        prepare: Callable[[SupervisorSettings], None] = lambda _: None,
    ) -> None:
        self.on_change: Callable[[SupervisorSettings], None] = lambda _: None
        """Called once new settings hold."""
        self.install: Callable[[SupervisorSettings], set[str]] = lambda _: set()
        """Begins to fetch what new settings need; the servers that have to wait for that."""
        self.on_waiting: Callable[[set[str]], None] = lambda _: None
        """Called with the servers that wait, for each of which `installed` is called later; none where all hold."""
        self._path = path
        self._running = running
        self._announce = announce
        self._prepare = prepare
        self._reloads = 0
        self._coming: Settings | None = None
        """What does not hold for all servers yet."""

    def __call__(self) -> None:
        """Take over what can be; a file with a mistake in it changes nothing, and each mistake is a line in the log."""
        notify.notify(*notify.reloading())
        try:
            new = load_for_here(self._path)
            self._prepare(new.supervisor)
        except (ConfigError, Refused) as error:
            for problem in str(error).splitlines():
                logger.error("{}", problem)
            logger.error("the configuration was not taken over; the one before it holds")
        else:
            for note in new.notes:
                logger.warning("{}", note)
            waiting = self._waiting(new)
            restart = needs_restart(self._running, new)
            self._take_over(new, waiting)
            if restart:
                logger.warning("not taken over until a restart: {}", ", ".join(restart))
            self.on_waiting(waiting)
        notify.notify(notify.READY)

    def installed(self, names: set[str], still: set[str]) -> None:
        """The servers `names` are as the file has them from now on; those in `still` are not yet."""
        assert self._coming is not None
        new, said = self._with_old(self._coming, still), ", ".join(sorted(names))
        try:
            self._prepare(new.supervisor)
        except Refused as error:
            logger.error("{}; as before until the next reload: {}", error, said)
            return
        self._hold(new, *self._otherwise(new))
        logger.info("from now on as the configuration has it: {}", said)

    def _waiting(self, new: Settings) -> set[str]:
        """The servers that are as before until their packages are there, for which the supervisor is ready then, too.

        A new one has nothing to be instead, and is refused until its own is there.
        """
        waiting = self.install(new.supervisor) & self._running.supervisor.servers.keys()
        try:
            self._prepare(self._with_old(new, waiting).supervisor)
        except Refused:  # what they were before is what cannot be had any more
            self._prepare(new.supervisor)
            return set()
        return waiting

    def _take_over(self, file: Settings, waiting: set[str]) -> None:
        self._coming = file
        before, new = self._running.supervisor.servers, self._with_old(file, waiting)
        after = new.supervisor.servers
        changes = {
            "new": sorted(after.keys() - before.keys()),
            "removed": sorted(before.keys() - after.keys()),
            "changed": changed_servers(self._running, new),
            "as before until their packages are installed": sorted(waiting),
        }
        at_once = holds_at_once(self._running.gateway, new.gateway)
        self._hold(new, *self._otherwise(new))
        said = "; ".join(f"{what}: {', '.join(names)}" for what, names in changes.items() if names)
        besides = f"; changed for new requests: {', '.join(at_once)}" if at_once else ""
        logger.info("the configuration was read again; servers: {}{}", said or "as before", besides)

    def _with_old(self, file: Settings, waiting: set[str]) -> Settings:
        """`file`, with the servers that are `waiting` as they are now."""
        mine, theirs = self._running.supervisor.servers, self._running.gateway.servers
        supervisor = {name: mine[name] if name in waiting else spec for name, spec in file.supervisor.servers.items()}
        gateway = {name: theirs[name] if name in waiting else each for name, each in file.gateway.servers.items()}
        return replace(
            file,
            supervisor=file.supervisor.model_copy(update={"servers": supervisor}),
            gateway=file.gateway.model_copy(update={"servers": gateway}),
        )

    def _otherwise(self, new: Settings) -> list[str]:
        """The servers that are new, or started otherwise than until now."""
        before = self._running.supervisor.servers
        return [
            name
            for name, spec in new.supervisor.servers.items()
            if name not in before or not before[name].is_started_like(spec)
        ]

    def _hold(self, new: Settings, *started_otherwise: str) -> None:
        self._number(new, *started_otherwise)
        take_over(self._running, new)
        self._announce(for_gateway(self._running.gateway))
        self.on_change(self._running.supervisor)

    def _number(self, new: Settings, *started_otherwise: str) -> None:
        """Have the gateway's part say which servers are started otherwise from now on: no child of theirs is joined."""
        self._reloads += 1
        for name, policy in new.gateway.servers.items():
            before = self._running.gateway.servers.get(name)
            same = before is not None and name not in started_otherwise
            generation = before.generation if before is not None and same else self._reloads
            new.gateway.servers[name] = policy.model_copy(update={"generation": generation})
