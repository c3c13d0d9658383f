"""An array of messages that comes when its gateway has left the session to the next one."""

import pytest
from quart import Quart, g

from gateway.admittance import Admittance
from gateway.http import admitted, paths
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
        app = Quart(__name__)
        paths.install(app.url_map)
        admitted.install(app, Admittance())
        app.register_blueprint(StreamableDoor(here.sessions).blueprint())

        @app.before_request
        async def be_alice() -> None:
            g.who = ALICE_ASKS

        headers = {**BOTH, "Mcp-Session-Id": "gw.a"}
        answer = await app.test_client().post("/light/mcp", json=batch, headers=headers)
        assert answer.status_code == 200
        answers = await answer.get_json()
        assert [each["id"] for each in answers] == ids
        assert {each["error"]["data"]["code"] for each in answers} == {"gateway_restarted"}
