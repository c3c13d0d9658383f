"""Passwords against their slow hashes, so that it costs little whoever asks, and much who guesses.

A check takes tens of milliseconds of a processor and up to 256 MiB. So one is made at a time, off the event loop; what
was found is remembered, by a digest with a key that this process alone has, until the configuration changes; requests
with the same credentials share one check; and each address has a small number of wrong ones, which comes back with time.
Of an IPv6 address the first half counts, for whoever has one has all of that.
"""

import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from common.bucket import Bucket
from common.reasons import Reason
from gateway.identity.denied import Denied
from gateway.identity.principal import Principal

REMEMBERED: Final = 4096
"""Credentials of either kind, right ones and wrong ones. The wrong ones cannot push out the right ones."""
LONGEST: Final = 1024
"""Characters of a password; nobody's is longer."""
WRONG_AT_ONCE: Final = 10
WRONG_PER_SECOND: Final = 0.5
"""What one address may get wrong without being kept waiting."""
WAITING: Final = 128
"""Checks that may wait for their turn."""

Key = TypeVar("Key")
Value = TypeVar("Value")
Candidate = tuple[str, Principal]
"""A hash, and whom it proves."""

# Of a text that nobody has, made with the library's own defaults: the check takes as long as one of a real password.
_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class SlowChecks:
    """The checks, for one configuration."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, Principal] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._under_way: dict[bytes, anyio.Event] = {}
        self._guesses: OrderedDict[str, Bucket] = OrderedDict()
        self._turn = anyio.CapacityLimiter(1)
        self._waiting = 0
        self._hasher = PasswordHasher()
        self.made = 0
        """How many checks there were in all."""

    async def find(self, digest: bytes, secret: str, candidates: Sequence[Candidate], address: str) -> Principal | None:
        """Whom `secret` proves; `digest` stands for it and its name. Raises Denied for too many wrong ones.

        Without candidates a check is made all the same, so that its time does not tell whether a name is known.
        """
        if len(secret) > LONGEST:
            return None
        key = hmac.digest(self._key, digest, "sha256")
        while True:
            if key in self._right:
                self._right.move_to_end(key)
                return self._right[key]
            if key in self._wrong:
                self._wrong.move_to_end(key)
                return None
            if (other := self._under_way.get(key)) is None:
                return await self._find_out(key, secret, candidates, address)
            await other.wait()

    async def _find_out(
        self, key: bytes, secret: str, candidates: Sequence[Candidate], address: str
    ) -> Principal | None:
        done = self._under_way[key] = anyio.Event()
        self._waiting += 1
        try:
            if self._waiting > WAITING:
                raise _too_many("too many passwords are being checked")
            found = await self._first(secret, candidates, address)
        finally:
            self._waiting -= 1
            del self._under_way[key]
            done.set()
        if found is None:
            _remember(self._wrong, key, None)
        else:
            _remember(self._right, key, found)
        return found

    async def _first(self, secret: str, candidates: Sequence[Candidate], address: str) -> Principal | None:
        for hash_, principal in candidates or ((_NOBODY, None),):
            async with self._turn:
                # Looked at only now: while this one waited, others from there may have been wrong.
                if not self._may_guess(address).has(self._clock()):
                    raise _too_many("too many wrong passwords came from there")
                self.made += 1
                is_right = await anyio.to_thread.run_sync(self._matches, hash_, secret)
            if is_right and principal is not None:
                return principal
        self._may_guess(address).take(self._clock())
        return None

    def _matches(self, hash_: str, secret: str) -> bool:
        try:
            return self._hasher.verify(hash_, secret)
        except (VerificationError, InvalidHashError):
            return False

    def _may_guess(self, address: str) -> Bucket:
        address = _network(address)
        if address not in self._guesses:
            _remember(self._guesses, address, Bucket(WRONG_AT_ONCE, WRONG_PER_SECOND, self._clock()))
        self._guesses.move_to_end(address)
        return self._guesses[address]


def _network(address: str) -> str:
    """Where `address` is, as far as its users cannot choose: IPv6 gives each of them 2**64 (RFC 4291, section 2.5.1)."""
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))


def _remember(table: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    table[key] = value
    if len(table) > REMEMBERED:
        table.popitem(last=False)


def _too_many(why: str) -> Denied:
    message = "credentials are checked one at a time, and too many wait for it; try again in a moment"
    return Denied(Reason.TOO_MANY_ATTEMPTS, message, why=why, retry_after=2)
