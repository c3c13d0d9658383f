"""What the gateway's own errors look like to a client of 2026-07-28."""

import msgspec
import pytest

from common.reasons import Reason
from gateway.errors import GatewayError

LEGACY_OWN = range(-32099, -31999)
"""Codes of which the revision allows no new use, and codes that are the specification's alone."""


@pytest.mark.parametrize("reason", Reason)
def test_no_code_of_ours_is_in_a_range_that_is_not_ours(reason: Reason) -> None:
    error = GatewayError(reason, "no")
    body = msgspec.json.decode(error.modern_body(b'"i"'))
    assert body["id"] == "i"
    assert body["error"]["code"] not in LEGACY_OWN
    assert body["error"]["code"] in (-32700, -32600, -32602, -32603) or body["error"]["code"] > 0
    assert body["error"]["data"] == {"code": reason, "about": {}}


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.MAX_SESSIONS, 429),
        (Reason.SERVER_NOT_FOUND, 404),
        (Reason.SHUTDOWN, 503),
        (Reason.CHILD_EXITED, 200),
        (Reason.REQUEST_TIMEOUT, 200),
        (Reason.INTERNAL_ERROR, 200),
    ],
)
def test_what_the_child_did_is_no_matter_of_http(reason: Reason, status: int) -> None:
    assert GatewayError(reason, "no").modern_status == status
