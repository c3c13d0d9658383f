"""Whose certificate is whose, and how many are kept."""

from contextlib import suppress

import anyio
import pytest

from common.reasons import Reason
from gateway import certificates as module
from gateway.certificates import KEPT, KEPT_BYTES, Certificates, as_json
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from supervisor.protocol import Certificate, Exit

ANN, BOB = Principal("basic", "ann"), Principal("basic", "bob")


def certificate(id_: str, *stderr: str, exit_: Exit | None = None) -> Certificate:
    return Certificate(id_, "fs", Reason.MEMORY_MAX, exit_ or Exit(signal=9), "memory_max", 1.23456, stderr)


async def refused(kept: Certificates, id_: str, principal: Principal) -> bool:
    found: list[Certificate] = []
    with suppress(GatewayError):
        found.append(await kept.find(id_, principal))
    return not found


async def test_the_refusal_says_the_same_of_an_unknown_one_and_somebody_elses() -> None:
    kept = Certificates()
    kept.expect(1, ANN)
    kept.file(1, certificate("c1"))
    said = []
    for id_ in ("c1", "c2"):
        with pytest.raises(GatewayError) as raised:
            await kept.find(id_, BOB)
        said.append(raised.value.rest_body())
    assert said[0] == said[1]
    assert raised.value.reason is Reason.CERTIFICATE_NOT_FOUND


async def test_a_certificate_is_its_owners_alone() -> None:
    kept = Certificates()
    kept.expect(1, ANN)
    kept.announce(1, "c1")
    kept.file(1, certificate("c1"))
    assert (await kept.find("c1", ANN)).id == "c1"
    assert await refused(kept, "c1", BOB)
    assert await refused(kept, "c2", ANN)


async def test_one_that_was_never_announced_is_kept_all_the_same() -> None:
    kept = Certificates()
    kept.expect(1, ANN)
    kept.file(1, certificate("c1"))
    assert (await kept.find("c1", ANN)).id == "c1"


async def test_that_of_a_child_that_was_nobodys_is_dropped() -> None:
    kept = Certificates()
    kept.announce(1, "c1")
    kept.file(1, certificate("c1"))
    assert await refused(kept, "c1", ANN)
    assert repr(kept) == "<Certificates: 0, for 0 children to come>"


async def test_its_owner_may_wait_until_it_is_written_and_nobody_else() -> None:
    kept = Certificates()
    kept.expect(1, ANN)
    kept.announce(1, "c1")
    assert await refused(kept, "c1", BOB)
    found = []

    async def find() -> None:
        found.append(await kept.find("c1", ANN))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(find)
        await anyio.wait_all_tasks_blocked()
        kept.file(1, certificate("c1"))
    assert [each.id for each in found] == ["c1"]


async def test_its_owner_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITTEN_WITHIN", 0.01)
    kept = Certificates()
    kept.expect(1, ANN)
    kept.announce(1, "c1")
    assert await refused(kept, "c1", ANN)


async def test_the_oldest_are_forgotten() -> None:
    kept = Certificates()
    for lease in range(KEPT + 1):
        kept.expect(lease, ANN)
        kept.file(lease, certificate(f"c{lease}"))
    assert await refused(kept, "c0", ANN)
    assert not await refused(kept, "c1", ANN)


async def test_what_they_hold_of_stderr_is_bounded() -> None:
    kept = Certificates()
    for lease in range(3):
        kept.expect(lease, ANN)
        kept.file(lease, certificate(f"c{lease}", "x" * (KEPT_BYTES // 2)))
    assert await refused(kept, "c0", ANN)
    assert not await refused(kept, "c1", ANN)
    kept.expect(3, ANN)
    kept.file(3, certificate("c3", "x" * KEPT_BYTES * 2))
    assert [await refused(kept, f"c{number}", ANN) for number in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize(
    ("exit_", "how"), [(Exit(signal=9), {"signal": 9}), (Exit(code=3), {"exitCode": 3}), (Exit(), {})]
)
def test_a_certificate_as_its_owner_sees_it(exit_: Exit, how: dict[str, int]) -> None:
    assert as_json(certificate("c1", "one", "two", exit_=exit_)) == {
        "id": "c1",
        "server": "fs",
        "reason": Reason.MEMORY_MAX,
        "limit": "memory_max",
        "livedSeconds": 1.235,
        "stderr": ("one", "two"),
        **how,
    }
