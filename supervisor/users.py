"""As whom children run: a configured user, or a user id of its own for each session.

Processes of one user can read each other's environment, memory and files; those of two cannot. The ids of a range are
given out so that the one that has been unused for longest comes first, and never one that any process of a session still
has, nor one that any other process had a moment ago.
"""

import grp
import math
import os
import pwd
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.config.model import Isolation, ServerSpec, SupervisorSettings
from common.config.values import NO_ID

_CAP_SETGID: Final = 6
_CAP_SETUID: Final = 7

MOMENT: Final = 1.0
"""Seconds for which a look at who has processes is trusted."""

SHARE: Final = 0.02
"""The part of one processor that such looks may cost."""


@dataclass(frozen=True)
class Mistake:
    """What of a server's configuration cannot be had on this machine; `text` says what to do, and quotes no value."""

    server: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"servers.{self.server}.{self.key}: {self.text}"


class UserError(Exception):
    """The configuration names users that cannot be had; a line for each, with the key, and what to do."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


class AllInUse(Exception):
    """Every user id of the range has a session."""


@dataclass(frozen=True)
class Identity:
    """As whom a child runs. `name` and `home` are None for an id that the machine knows no user of."""

    uid: int
    gid: int
    name: str | None = None
    home: str | None = None


class Identities:
    """Gives each session its identity, and takes it back."""

    def __init__(
        self,
        settings: SupervisorSettings,
        *,
        may_change: bool | None = None,
        in_use: Callable[[], set[int]] | None = None,
    ) -> None:
        """Look up every user and group of `settings`; raises UserError where one cannot be had.

        `may_change` says whether this process may become somebody else, `in_use` which user ids processes have now;
        by default the machine is asked.
        """
        self._in_use = Glances(in_use or user_ids_in_use)
        self._taken: set[int] = set()
        self._returned: dict[int, None] = {}
        """User ids that were given back, the one unused for longest first."""
        self._next_new: dict[tuple[int, int], int] = {}
        """By range: below this, all were given out before, or were somebody else's."""
        self._fixed: dict[str, Identity | None] = {}
        self._groups: dict[str, int | None] = {}
        self.take_over(settings, may_change=may_change)

    def take_over(self, settings: SupervisorSettings, *, may_change: bool | None = None) -> None:
        """From now on go by `settings`; what is given out stays so. Raises UserError, and then nothing has changed."""
        may_change = may_change_user() if may_change is None else may_change
        accounts = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
        fixed: dict[str, Identity | None] = {}
        groups: dict[str, int | None] = {}
        mistakes: list[Mistake] = []
        for name, spec in settings.servers.items():
            try:
                group = groups[name] = None if spec.isolation.group is None else _group(spec.isolation.group)
                if spec.isolation.uid_range is None:
                    fixed[name] = _identity(spec.isolation, group, may_change=may_change)
                else:
                    _check_range(*spec.isolation.uid_range, accounts, may_change=may_change)
            except _Mistaken as mistaken:
                mistakes.append(Mistake(name, *mistaken.args))
        if mistakes:
            raise UserError(mistakes)
        self._fixed, self._groups = fixed, groups

    @property
    def are_others(self) -> bool:
        """Whether any child runs as somebody else than this process."""
        return len(self._fixed) < len(self._groups) or any(self._fixed.values())

    def acquire(self, spec: ServerSpec) -> Identity | None:
        """As whom the next child of `spec` runs; None for the supervisor's own user. Raises AllInUse."""
        if spec.isolation.uid_range is None:
            return self._fixed[spec.name]
        uid = self._next(*spec.isolation.uid_range)
        self._taken.add(uid)
        self._returned.pop(uid, None)
        group = self._groups[spec.name]
        return Identity(uid, uid if group is None else group)

    def has_one_for(self, spec: ServerSpec) -> bool:
        """Whether `acquire` would give one now."""
        if spec.isolation.uid_range is None:
            return True
        before = self._next_new.copy()
        try:
            self._next(*spec.isolation.uid_range)
        except AllInUse:
            return False
        finally:
            self._next_new = before
        return True

    def release(self, identity: Identity | None) -> None:
        """Give back what `acquire` gave; nothing runs as `identity` any more."""
        if identity is not None and identity.uid in self._taken:
            self._taken.remove(identity.uid)
            self._returned[identity.uid] = None
            self._in_use.forget(identity.uid)

    def _next(self, first: int, last: int) -> int:
        fixed = {identity.uid for identity in self._fixed.values() if identity is not None}

        def usable(uid: int) -> bool:
            # In use may be what escaped its tree, or is no child of ours at all.
            return uid not in self._taken and uid not in fixed and not self._in_use.may_have(uid)

        begin = self._next_new.get((first, last), first)
        uid = next((uid for uid in range(begin, last + 1) if uid not in self._returned and usable(uid)), None)
        if uid is not None:
            self._next_new[first, last] = uid + 1
            return uid
        self._next_new[first, last] = last + 1
        used = (uid for uid in self._returned if first <= uid <= last and usable(uid))
        # What somebody else had may be free by now.
        passed_over = (uid for uid in range(first, last + 1) if uid not in self._returned and usable(uid))
        uid = next(used, None)
        uid = next(passed_over, None) if uid is None else uid
        if uid is None:
            raise AllInUse(f"all the user ids {first}-{last} are in use")
        return uid


class Glances:
    """Who has processes, as the last look at all of them said: one for each spawn would cost more the more there are.

    `look` gives the user ids of all processes. A look is trusted for MOMENT, and for longer where it costs more than
    SHARE of a processor; but never for a user id that was given back since: what has escaped its tree has that one.
    """

    def __init__(self, look: Callable[[], set[int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._seen: set[int] = set()
        self._forgotten: set[int] = set()
        self._until = -math.inf

    def __repr__(self) -> str:
        return f"<Glances: {len(self._seen)} user ids>"

    def may_have(self, uid: int) -> bool:
        """Whether anybody may run as `uid`."""
        if self._clock() >= self._until or uid in self._forgotten:
            began = self._clock()
            self._seen = self._look()
            self._forgotten = set()
            now = self._clock()
            self._until = now + max(MOMENT, (now - began) / SHARE)
        return uid in self._seen

    def forget(self, uid: int) -> None:
        """What was seen of `uid` says nothing any more."""
        self._forgotten.add(uid)


def may_change_user() -> bool:
    """Whether this process may take on other users and groups: CAP_SETUID and CAP_SETGID, capabilities(7)."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)
    return all(effective >> capability & 1 for capability in (_CAP_SETGID, _CAP_SETUID))


def user_ids_in_use() -> set[int]:
    """The user ids, real, effective and saved, of all processes: about 15 µs for each."""
    found: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - the quickest way
        if name.isdecimal():
            found.update(_user_ids_of(name))
    return found


def _user_ids_of(pid: str) -> Iterable[int]:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - the quickest way
            line = next(line for line in file if line.startswith(b"Uid:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return ()
    return map(int, line.split()[1:])


class _Mistaken(Exception):
    """The key, and what is wrong with it."""


def _identity(isolation: Isolation, group: int | None, *, may_change: bool) -> Identity | None:
    """As whom the children of a server without a range run; None for this process's own user."""
    if isolation.user is None and group is None:
        return None
    identity = _user(isolation.user, group)
    if (identity.uid, identity.gid) == (os.geteuid(), os.getegid()):
        return None
    _require("group" if isolation.user is None else "user", may_change=may_change)
    return identity


def _check_range(first: int, last: int, accounts: Mapping[int, str], *, may_change: bool) -> None:
    """A session that has somebody's user id can read and write what is theirs."""
    _require("uid_range", may_change=may_change)
    taken = sorted(uid for uid in accounts if first <= uid <= last)
    if taken:
        raise _Mistaken(
            "uid_range",
            f"{taken[0]} is the user {accounts[taken[0]]} of this machine, whose files sessions could reach; "
            "expected user ids that nobody has, such as 600000-665535",
        )


def _require(key: str, *, may_change: bool) -> None:
    if not may_change:
        raise _Mistaken(
            key,
            "needs a supervisor that may change users, and this one may not; "
            "run it as root, give it CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_KILL, CAP_SYS_RESOURCE and "
            "CAP_DAC_OVERRIDE, or take the key away",
        )


def _user(user: str | None, group: int | None) -> Identity:
    user = str(os.geteuid()) if user is None else user
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        if user.isdecimal() and int(user) < NO_ID:
            uid = int(user)
            return Identity(uid, uid if group is None else group)
        raise _Mistaken(
            "user",
            "there is no such user on this machine; make it (useradd --system), or give one that exists, "
            "by name or number",
        ) from None
    return Identity(entry.pw_uid, entry.pw_gid if group is None else group, entry.pw_name, entry.pw_dir)


def _group(group: str) -> int:
    if group.isdecimal() and int(group) < NO_ID:
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise _Mistaken(
            "group",
            "there is no such group on this machine; make it (groupadd --system), or give one that exists, "
            "by name or number",
        ) from None
