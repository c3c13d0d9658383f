"""What LibreChat relies on when a session is opened holds where its child is one that stood ready."""

from collections.abc import AsyncIterator

import pytest

from tests.librechat import test_handshake as handshake
from tests.librechat import test_many_users as many_users
from tests.support.credentials import HEADER, PERSONAL
from tests.support.gateway import Gateway, light, running
from tests.support.librechat import OPERATORS, SNIPPET, TOKEN, Chats

pytestmark = pytest.mark.slow

SERVERS = {
    "light": light(max_user_sessions=2, warm=2),
    "own": light(warm=2, allow_shared_uid=True, **PERSONAL),
}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway whose plain server has spares, and whose other one could have none."""
    directory = tmp_path_factory.mktemp("gateway")
    async with running(SERVERS, tmp_path=directory, queue_timeout="200ms", **OPERATORS) as gateway:
        await gateway.said("a spare of light has settled", times=2)
        yield gateway


@pytest.fixture
async def gateway(shared: Gateway) -> AsyncIterator[Gateway]:
    """The shared one, once nobody uses it, with spares that are there, and with connections of the test's own."""
    async with shared.connecting():
        shared.http.headers["Authorization"] = f"Bearer {TOKEN}"
        await shared.unused()
        await shared.warm("light", 2)
        yield shared


# The same conversations, with this gateway.
test_the_order_of_messages_over_streamable_http = handshake.test_the_order_of_messages_over_streamable_http
test_the_order_of_messages_over_sse = handshake.test_the_order_of_messages_over_sse
test_a_session_for_each_user = handshake.test_the_documented_entry_is_a_session_for_each_user
test_r01 = handshake.test_r01_initialize_is_a_200_with_a_session_id_and_the_revision_that_was_asked_for
test_r02 = handshake.test_r02_notifications_and_answers_get_an_empty_202
test_r09 = handshake.test_r09_the_probe_for_oauth_finds_none_and_opens_nothing
test_r16 = handshake.test_r16_the_ids_of_a_client_go_on_counting_in_its_next_session
test_r17 = handshake.test_r17_the_child_hears_of_no_capability_that_librechat_has_not
test_fifty_users = many_users.test_fifty_users_at_once_each_get_a_child_of_their_own
test_r08 = many_users.test_r08_who_has_as_many_sessions_as_they_may_gets_a_429_and_nobody_else_notices
test_r06 = many_users.test_r06_the_session_of_another_user_is_a_404


async def test_a_user_is_given_a_spare_of_a_plain_server_and_none_of_one_that_has_their_own(
    gateway: Gateway, process: Chats
) -> None:
    async with process.librechat(f"{gateway.url}/light/mcp") as chat:
        assert await chat.connect("ann") == ["connected"]
        took = await gateway.said(r"took a spare of (\w+) ")
        assert took[1] == "light"
        await chat.call("ann", "add", text="mine")
        assert await chat.call("ann", "notes") == ["mine"]
    headers = {**SNIPPET["headers"], HEADER: "{{LIBRECHAT_USER_EMAIL}}"}
    users = {"ann": {"email": "ann-s"}, "bob": {"email": "bob-s"}}
    async with process.librechat(f"{gateway.url}/own/mcp", headers=headers, users=users) as chat:
        assert await chat.connect("ann", "bob") == ["connected"] * 2
        for user in users:
            given = await chat.call(user, "environment")
            assert f"{user}-s" in given.values()
    assert "took a spare of own" not in gateway.log
    assert (await gateway.health())["servers"]["own"].get("warm", 0) == 0
