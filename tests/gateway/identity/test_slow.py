"""What checking passwords costs, whoever asks."""

import anyio
import pytest
from argon2 import PasswordHasher

from common.reasons import Reason
from gateway.identity import slow
from gateway.identity.denied import Denied
from gateway.identity.principal import Principal
from gateway.identity.slow import WRONG_AT_ONCE, WRONG_PER_SECOND, SlowChecks

ANN, BEN = Principal("basic", "ann"), Principal("basic", "ben")
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASH = HASHER.hash("hunter2")
HASHES = [(HASH, ANN)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_was_verified_is_not_verified_again() -> None:
    checks = SlowChecks()
    for _ in range(5):
        assert await checks.find(b"ann:hunter2", "hunter2", HASHES, "::1") == ANN
        assert await checks.find(b"ann:wrong", "wrong", HASHES, "::1") is None
    assert checks.made == 2


async def test_many_requests_with_the_same_credentials_share_one_check() -> None:
    checks, found = SlowChecks(), []

    async def ask() -> None:
        found.append(await checks.find(b"ann:hunter2", "hunter2", HASHES, "::1"))

    async with anyio.create_task_group() as tasks:
        for _ in range(500):
            tasks.start_soon(ask)
    assert found == [ANN] * 500
    assert checks.made == 1


async def test_who_hangs_up_in_the_middle_leaves_the_check_to_the_next() -> None:
    checks = SlowChecks()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await checks.find(b"ann:hunter2", "hunter2", HASHES, "::1")
    assert await checks.find(b"ann:hunter2", "hunter2", HASHES, "::1") == ANN


async def test_an_unknown_name_costs_as_much_as_a_known_one() -> None:
    checks = SlowChecks()
    assert await checks.find(b"eve:hunter2", "hunter2", [], "::1") is None
    assert checks.made == 1
    assert not checks._matches(slow._NOBODY, "hunter2")
    assert slow._NOBODY.startswith(PasswordHasher().hash("x")[: len("$argon2id$v=19$m=65536,t=3,p=4$")])


async def test_who_guesses_is_kept_waiting_and_nobody_else_is() -> None:
    clock = Clock()
    checks = SlowChecks(clock)
    for guess in range(WRONG_AT_ONCE):
        assert await checks.find(b"%d" % guess, str(guess), HASHES, "10.0.0.6") is None
    with pytest.raises(Denied) as denied:
        await checks.find(b"right", "hunter2", HASHES, "10.0.0.6")
    assert (denied.value.reason, denied.value.status) == (Reason.TOO_MANY_ATTEMPTS, 429)
    assert denied.value.headers == {"Retry-After": "2"}
    assert checks.made == WRONG_AT_ONCE
    assert await checks.find(b"right", "hunter2", HASHES, "10.0.0.7") == ANN
    # What was verified before is not asked again, wherever it comes from.
    assert await checks.find(b"right", "hunter2", HASHES, "10.0.0.6") == ANN
    clock.now += 1 / WRONG_PER_SECOND
    assert await checks.find(b"another", "wrong", HASHES, "10.0.0.6") is None
    with pytest.raises(Denied):
        await checks.find(b"one more", "wrong", HASHES, "10.0.0.6")


async def test_whoever_has_a_network_of_addresses_guesses_no_more_than_whoever_has_one() -> None:
    checks = SlowChecks(Clock())
    for guess in range(WRONG_AT_ONCE):
        assert await checks.find(b"%d" % guess, str(guess), HASHES, f"2001:db8:0:1::{guess:x}") is None
    with pytest.raises(Denied):
        await checks.find(b"right", "hunter2", HASHES, "2001:db8:0:1:ffff::1")
    assert await checks.find(b"right", "hunter2", HASHES, "2001:db8:0:2::1") == ANN
    # An address of IPv4 is one, in either spelling.
    for guess in range(WRONG_AT_ONCE):
        assert await checks.find(b"4%d" % guess, str(guess), HASHES, "::ffff:10.0.0.6") is None
    with pytest.raises(Denied):
        await checks.find(b"other", "other", HASHES, "10.0.0.6")
    assert await checks.find(b"another", "another", HASHES, "::ffff:10.0.0.7") is None


async def test_guesses_that_come_all_at_once_are_counted_too() -> None:
    checks, turned_away = SlowChecks(Clock()), 0

    async def guess(number: int) -> None:
        nonlocal turned_away
        try:
            await checks.find(b"%d" % number, str(number), HASHES, "10.0.0.6")
        except Denied:
            turned_away += 1

    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(guess, number)
    assert (checks.made, turned_away) == (WRONG_AT_ONCE, 300 - WRONG_AT_ONCE)


async def test_many_users_behind_one_address_may_come_at_once() -> None:
    checks = SlowChecks(Clock())
    users = {f"user-{number}": Principal("basic", f"user-{number}") for number in range(50)}
    found = []

    async def come(name: str) -> None:
        found.append(await checks.find(name.encode(), name, [(HASHER.hash(name), users[name])], "10.0.0.1"))

    async with anyio.create_task_group() as tasks:
        for name in users:
            tasks.start_soon(come, name)
    assert set(found) == set(users.values())


async def test_the_second_of_two_tokens_is_no_wrong_guess() -> None:
    checks = SlowChecks(Clock())
    both = [(HASH, ANN), (HASHER.hash("other"), BEN)]
    for number in range(WRONG_AT_ONCE + 1):
        assert await checks.find(b"%d" % number, "other", both, "::1") == BEN


async def test_what_is_remembered_is_bounded_and_wrong_ones_push_no_right_one_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slow, "REMEMBERED", 3)
    checks = SlowChecks()
    assert await checks.find(b"right", "hunter2", HASHES, "::1") == ANN
    for number in range(5):
        assert await checks.find(b"%d" % number, "wrong", HASHES, f"10.0.0.{number}") is None
    made = checks.made
    assert await checks.find(b"right", "hunter2", HASHES, "::1") == ANN
    assert checks.made == made
    assert len(checks._wrong) == len(checks._guesses) == 3


async def test_no_password_is_kept() -> None:
    checks = SlowChecks()
    await checks.find(b"digest-of-hunter2", "hunter2", HASHES, "::1")
    assert b"digest-of-hunter2" not in checks._right
    assert await checks.find(b"long", "x" * 5000, HASHES, "::1") is None
    assert checks.made == 1
