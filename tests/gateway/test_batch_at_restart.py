"""An array of messages that comes when its gateway has left the session to the next one."""

import json

import pytest

from common.config.auth import Auth
from common.config.model import Debug, GatewaySettings
from gateway.admittance import Admittance
from gateway.hot.exchange import Head
from gateway.http.asked import Asked
from gateway.http.checks import Checks
from gateway.http.guards import Guards
from gateway.http.streamable import BATCHES, StreamableDoor
from gateway.session import Door
from gateway.succession import leave, take_up
from tests.gateway.test_succession import ALICE_ASKS, STREAMABLE, next_gateway, state
from tests.support.rawmcp import BOTH, notification, request


@pytest.mark.parametrize(
    ("batch", "ids"),
    [([request(1, "tools/list"), notification("x"), request("b", "ping")], [1, "b"]), ([request(2, "ping")], [2])],
)
async def test_each_request_gets_its_error_in_a_200_for_the_session_goes_on(batch: object, ids: list[object]) -> None:
    async with next_gateway() as here:
        take_up(here.sessions, [here.child().inherited(state("gw.a", STREAMABLE))], [])
        relay = here.sessions.find("gw.a", ALICE_ASKS, "light", Door.STREAMABLE).relay
        assert relay is not None
        relay.version = BATCHES
        leave(here.sessions)
        settings = GatewaySettings(
            hostname="", port=0, node="gw", allowed_hosts=(), auth=Auth(), debug=Debug(), servers=here.sessions.policies
        )
        headers = {**BOTH, "Content-Type": "application/json", "Mcp-Session-Id": "gw.a"}
        fields = tuple((name.lower(), value) for name, value in headers.items())
        asked = Asked(
            Head("POST", "/light/mcp", "", fields, "127.0.0.1", "1.1"),
            json.dumps(batch).encode(),
            Checks(Guards(settings), Admittance(), here.sessions),
        )
        asked.who = ALICE_ASKS
        reply = await StreamableDoor(here.sessions).post(asked, "light")
        assert reply.status == 200
        assert isinstance(reply.body, bytes)
        answers = json.loads(reply.body)
        assert [each["id"] for each in answers] == ids
        assert {each["error"]["data"]["code"] for each in answers} == {"gateway_restarted"}
