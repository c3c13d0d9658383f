"""The official conformance suite, against the gateway, and against the SDK's own transport with the same server."""

from dataclasses import astuple

import pytest

from tests.conformance.conftest import COUNTS
from tests.conformance.counts import Findings
from tests.conformance.legs import LEGS, Leg, expected
from tests.conformance.suite import run_all
from tests.support.summary import Record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def findings(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> dict[Leg, Findings]:
    """What came of all legs."""
    return await run_all(LEGS, tmp_path_factory.mktemp("conformance"))


@pytest.mark.parametrize("leg", LEGS, ids=[leg.name for leg in LEGS])
async def test_as_many_checks_pass_as_can(findings: dict[Leg, Findings], leg: Leg, record_property: Record) -> None:
    found = findings[leg]
    record_property(COUNTS, [list(leg.row), list(astuple(found.counts)), found.unexpected])
    assert found.counts == leg.counts, "\n".join(map(str, found.complaints)) + "\n" + found.output[-3000:]


@pytest.mark.parametrize("leg", LEGS, ids=[leg.name for leg in LEGS])
async def test_nothing_fails_but_what_cannot_pass_and_that_does(findings: dict[Leg, Findings], leg: Leg) -> None:
    assert not findings[leg].unexpected, findings[leg].output[-3000:]


async def test_expectations_are_of_legs_that_there_are() -> None:
    assert expected().keys() <= {leg.name for leg in LEGS}
