"""Many users of one LibreChat: all at once, each with a child of their own; and one who has had enough of them."""

from pathlib import Path

import anyio
import pytest

from tests.support.gateway import Gateway, running
from tests.support.librechat import OPERATORS, ChatError, Chats, LibreChat

pytestmark = pytest.mark.slow

USERS = [f"user-{number}" for number in range(50)]


async def test_fifty_users_at_once_each_get_a_child_of_their_own(chat: LibreChat) -> None:
    # The breaker is set as the documentation tells operators to set it.
    assert set(await chat.connect(*USERS)) == {"connected"}
    pids: dict[str, int] = {}
    async with anyio.create_task_group() as tasks:

        async def ask(user: str) -> None:
            await chat.call(user, "add", text=user)
            assert await chat.call(user, "notes") == [user]
            pids[user] = (await chat.call(user, "whoami"))["pid"]

        for user in USERS:
            tasks.start_soon(ask, user)
    assert len(set(pids.values())) == len(USERS)
    assert await chat.do("breaker") == {"open": False, "cycles": 50, "failedRounds": 0, "trips": 0}


async def test_librechats_own_breaker_lets_six_users_in_one_after_another_and_none_at_once(
    gateway: Gateway, process: Chats
) -> None:
    # It counts connections and not failures, so no gateway can do anything about it: MCP_CB_MAX_CYCLES can.
    url = f"{gateway.url}/light/mcp"
    async with process.librechat(url, breaker={}) as chat:
        came = [(await chat.connect(user))[0] for user in USERS[:9]]
        assert [each == "connected" for each in came] == [True] * 6 + [False] * 3
    async with process.librechat(url, breaker={}) as chat:
        assert set(await chat.connect(*USERS[:12])) == {"Error: Circuit breaker is open"}


async def test_r08_who_has_as_many_sessions_as_they_may_gets_a_429_and_nobody_else_notices(
    gateway: Gateway, process: Chats
) -> None:
    url = f"{gateway.url}/light/mcp"
    async with process.librechat(url) as one, process.librechat(url) as other, process.librechat(url) as third:
        for chat in (one, other):
            assert await chat.connect("ann") == ["connected"]
        [refusal] = await third.connect("ann")
        assert "max_user_sessions" in refusal
        # One try, and no failed round: so nobody is kept away.
        assert [each["status"] for each in await third.journal()] == [429]
        assert await third.do("breaker") == {"open": False, "cycles": 1, "failedRounds": 0, "trips": 0}
        assert await third.connect("bob", "cyd") == ["connected"] * 2
        assert await one.call("ann", "echo", text="on") == "on"
        # Room again: the next call finds it.
        await other.do("disconnect", user="ann")
        await gateway.gone(1)
        assert await third.call("ann", "echo", text="in") == "in"


async def test_r08_a_gateway_without_room_says_429_too(tmp_path: Path, process: Chats) -> None:
    async with (
        running(tmp_path=tmp_path, max_sessions=1, queue_max=0) as gateway,
        process.librechat(f"{gateway.url}/light/mcp") as chat,
    ):
        assert await chat.connect("ann") == ["connected"]
        [refusal] = await chat.connect("bob")
        assert "max_sessions" in refusal
        assert [each["status"] for each in await chat.journal(user="bob")] == [429]
        assert (await chat.do("breaker"))["failedRounds"] == 0
        assert await chat.call("ann", "echo", text="on") == "on"


async def test_r04_and_r08_who_is_over_a_quota_or_a_rate_keeps_the_session(tmp_path: Path, process: Chats) -> None:
    quotas = {"user": {"sessions": 1, "calls_in_flight": 2}}
    rates = [{"per": "user", "tool": "notes", "limit": "1/year"}]
    async with (
        running(tmp_path=tmp_path, quotas=quotas, rate_limits=rates, **OPERATORS) as gateway,
        process.librechat(f"{gateway.url}/light/mcp") as chat,
        process.librechat(f"{gateway.url}/light/mcp") as other,
    ):
        users = ("ann", "bob")
        pids = [(await chat.call(user, "whoami"))["pid"] for user in users]
        # One session too many is a 429 after one try, and no failed round, so nobody else is kept away.
        [refusal] = await other.connect("ann")
        assert "all the sessions that one user may have" in refusal
        assert [each["status"] for each in await other.journal()] == [429]
        assert await other.do("breaker") == {"open": False, "cycles": 1, "failedRounds": 0, "trips": 0}
        # One call too many in flight, and one too soon, are errors of these calls.
        async with anyio.create_task_group() as tasks:

            async def hold(label: str) -> None:
                with pytest.raises(ChatError, match="stopped by the user"):
                    await chat.result("ann", "hold", label=label)

            for label in users:
                tasks.start_soon(hold, label)
            await gateway.said("stderr: holding", times=2)
            with pytest.raises(ChatError, match="as many calls in flight as one user may have"):
                await chat.call("ann", "echo", text="x")
            assert await chat.call("bob", "echo", text="on") == "on"
            for label in users:
                await chat.do("stop", label=label)
        await gateway.said("stderr: cancelled", times=2)
        assert await chat.call("ann", "notes") == []
        with pytest.raises(ChatError, match="as many requests of this kind"):
            await chat.call("ann", "notes")
        # They are in a 200 (what was stopped before its first second had nothing to be said of) and cost nobody a child.
        statuses = [each["status"] for each in await chat.journal(rpc="tools/call", user="ann")]
        assert statuses[0] == 200
        assert set(statuses[3:]) == {200}
        assert [(await chat.call(user, "whoami"))["pid"] for user in users] == pids
        for user in users:
            state = await chat.state(user)
            assert (state["state"], len(state["sessions"])) == ("connected", 1)


async def test_r06_the_session_of_another_user_is_a_404(chat: LibreChat, gateway: Gateway) -> None:
    await chat.connect("ann")
    [session] = (await chat.state("ann"))["sessions"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"Mcp-Session-Id": session, "Accept": "application/json, text/event-stream"}
    for user, status in (("bob", 404), ("", 403), ("ann", 200)):
        answer = await gateway.http.post("/light/mcp", json=ping, headers={**headers, "X-Gateway-User": user})
        assert answer.status_code == status
    answer = await gateway.http.delete("/light/mcp", headers={**headers, "X-Gateway-User": "bob"})
    assert answer.status_code == 404
    assert await chat.call("ann", "echo", text="on") == "on"


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("{{LIBRECHAT_USER_IDD}}", {}),  # a slip of the pen, which LibreChat sends as it is written
        ("{{LIBRECHAT_USER_EMAIL}}", {"email": None}),  # what a user has not
        ("{{LIBRECHAT_BODY_CONVERSATIONID}}", {}),  # outside a chat turn
    ],
)
async def test_r19_a_user_who_is_none_is_refused_in_words_that_say_what_to_mend(
    gateway: Gateway, process: Chats, header: str, user: dict[str, None]
) -> None:
    headers = {"Authorization": "Bearer ${MCP_GATEWAY_TOKEN}", "X-Gateway-User": header}
    async with process.librechat(f"{gateway.url}/light/mcp", headers=headers, users={"ann": user}) as chat:
        [refusal] = await chat.connect("ann")
        assert "X-Gateway-User" in refusal
        assert "librechat.yaml" in refusal
        assert (await gateway.health())["sessions"] == 0


async def test_r19_a_name_that_no_header_can_carry_is_a_user_like_any_other(gateway: Gateway, process: Chats) -> None:
    headers = {"Authorization": "Bearer ${MCP_GATEWAY_TOKEN}", "X-Gateway-User": "{{LIBRECHAT_USER_NAME}}"}
    users = {"ann": {"name": "Анна"}, "bob": {"name": "Боб"}, "cyd": {"name": "Søren"}}
    async with process.librechat(f"{gateway.url}/light/mcp", headers=headers, users=users) as chat:
        who = [await chat.call(user, "whoami") for user in users]
        assert len({each["pid"] for each in who}) == 3
        sent = [each["headers"]["x-gateway-user"] for each in await chat.journal(rpc="initialize")]
        assert [each.startswith("b64:") for each in sent] == [True, True, False]
        # The log has the name, and not what stood for it on the way.
        assert "b64:" not in gateway.log
