"""Asking a child what it speaks; the children are real, the test is the supervisor that gives them."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from common.config.model import ServerPolicy
from common.descriptors import close_all
from common.reasons import Reason
from gateway.eras import Eras
from gateway.errors import GatewayError
from gateway.modern.probe import Probe
from gateway.personal import Personal
from supervisor.client import Grant, OpenRefused, SupervisorClient, SupervisorLost
from tests.support.gateway import LIGHT, MODERN
from tests.support.processes import PATIENCE

POLICY = ServerPolicy(start_timeout=PATIENCE, request_timeout=1, max_message_bytes=64 * 1024)
YES = '{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"]}}'


def command(spec: dict[str, Any], *options: str) -> list[str]:
    """What starts a server."""
    return [spec["command"], *spec["args"], *options]


def says(script: str) -> list[str]:
    """A child that does this with the shell, and then stays until its stdin ends."""
    return ["/bin/sh", "-c", f"{script}; exec cat >/dev/null"]


class Children:
    """A supervisor that starts `command` for whoever wants a child; `fault` is raised instead, where there is one."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.fault: Exception | None = None
        self.may_open = anyio.Event()
        self.may_open.set()
        self.opened: list[tuple[str, str, str]] = []
        self.values: list[object] = []
        self.released: list[Reason] = []
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.on_open: Callable[[], None] = lambda: None

    async def open(self, server: str, label: str, user: str = "", values: object = None, **_: object) -> Grant:
        self.opened.append((server, label, user))
        self.values.append(values)
        self.on_open()
        await self.may_open.wait()
        if self.fault is not None:
            raise self.fault
        (stdin, to_child), (from_child, stdout) = os.pipe(), os.pipe()
        child = subprocess.Popen(self.command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        close_all((stdin, stdout))
        self.running[child.pid] = child
        return Grant(child.pid, child.pid, to_child, from_child)

    def release(self, lease: int, reason: Reason, pipes: tuple[int, ...]) -> None:
        close_all(pipes)
        self.released.append(reason)
        child = self.running.pop(lease)
        child.kill()
        child.wait()


@asynccontextmanager
async def probing(command: list[str], patience: float = PATIENCE) -> AsyncIterator[tuple[Probe, Children, Eras]]:
    """A probe; whatever was opened must have been released in the end."""
    children, eras = Children(command), Eras({"s": POLICY, "t": POLICY})
    probe = Probe(cast("SupervisorClient", children), eras, patience)
    with anyio.fail_after(PATIENCE):
        yield probe, children, eras
    assert not children.running
    assert repr(probe) == "<Probe: 0 servers are being asked>"


@pytest.mark.parametrize(
    ("child", "speaks"),
    [
        (command(MODERN), True),
        (command(LIGHT), False),
        (command(LIGHT, "--die-at-start"), False),
        (["/bin/true"], False),
        (says(f"echo '{YES}'"), True),
        (says(f"head -c 200000 /dev/urandom; echo; echo '{YES}'"), True),
        (says(f"echo Welcome; echo '[]'; echo '{YES}'"), True),
        (says("yes '{\"jsonrpc\":\"2.0\",\"method\":\"x\"}' | head -n 100000; " + f"echo '{YES}'"), True),
        (says("""echo '{"jsonrpc":"2.0","id":1,"method":"ping"}'; """ + f"echo '{YES}'"), True),
        (says(f"echo '{YES.replace('2026-07-28', '2025-11-25')}'; echo '{YES}'"), False),
        (says("""echo '{"jsonrpc":"2.0","id":1,"result":{}}'"""), False),
        (says("""echo '{"jsonrpc":"2.0","id":1,"result":7}'"""), False),
        (says("""echo '{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":"2026-07-28"}}'"""), False),
        (says("""echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'"""), False),
    ],
    ids=[
        "modern", "legacy", "exits with words", "exits", "says so", "garbage first", "a banner first", "a flood first",
        "a question first", "changes its mind", "says nothing of versions", "no object", "no list", "an error",
    ],
)  # fmt: skip
async def test_a_child_shows_what_it_speaks(child: list[str], speaks: bool) -> None:
    async with probing(child) as (probe, children, eras):
        assert await probe.speaks_modern("s", POLICY) is speaks
        assert eras.modern("s") is speaks
        assert await probe.speaks_modern("s", POLICY) is speaks
        assert children.opened == [("s", "probe", "")]
        assert children.released == [Reason.REQUEST_DONE]


@pytest.mark.parametrize(
    "child",
    [
        ["/bin/sleep", "1000"],
        ["/bin/cat"],
        says("head -c 200000 /dev/zero"),
        says(f"echo '{YES.replace(':1,', ':2,')}'"),
        says(f"""echo '{YES.replace(":1,", ':"1",')}'"""),
        ["/usr/bin/yes", YES.replace(":1,", ":2,")],
    ],
    ids=[
        "silence",
        "an echo",
        "a line without an end",
        "another's answer",
        "the id as text",
        "no end of other answers",
    ],
)
async def test_one_that_does_not_answer_does_not_speak_it(child: list[str]) -> None:
    async with probing(child, patience=0.05) as (probe, _, eras):
        assert await probe.speaks_modern("s", POLICY) is False
        assert eras.modern("s") is False


async def test_who_wants_to_know_at_once_waits_for_the_same_child_and_other_servers_do_not() -> None:
    async with probing(command(MODERN)) as (probe, children, _):
        children.may_open = anyio.Event()
        found: list[bool] = []

        async def ask(server: str) -> None:
            found.append(await probe.speaks_modern(server, POLICY))

        async with anyio.create_task_group() as tasks:
            for server in ("s", "s", "t", "s", "t"):
                tasks.start_soon(ask, server)
            await anyio.wait_all_tasks_blocked()
            assert repr(probe) == "<Probe: 2 servers are being asked>"
            children.may_open.set()
        assert found == [True] * 5
        assert sorted(server for server, *_ in children.opened) == ["s", "t"]


@pytest.mark.parametrize(
    ("fault", "reason", "about"),
    [
        (OpenRefused(Reason.MAX_SESSIONS, "full", 5.0), Reason.MAX_SESSIONS, {"server": "s", "retryAfter": 5}),
        (SupervisorLost(), Reason.SUPERVISOR_LOST, {"server": "s"}),
    ],
    ids=["refused", "no supervisor"],
)
async def test_where_no_child_can_be_had_all_who_wait_are_told_and_the_next_one_asks_again(
    fault: Exception, reason: Reason, about: dict[str, object]
) -> None:
    async with probing(command(MODERN)) as (probe, children, eras):
        children.fault, children.may_open = fault, anyio.Event()
        errors: list[GatewayError] = []

        async def ask() -> None:
            try:
                await probe.speaks_modern("s", POLICY)
            except GatewayError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            children.may_open.set()
        assert [(error.reason, error.about) for error in errors] == [(reason, about)] * 3
        assert len(children.opened) == 1
        assert eras.modern("s") is None
        children.fault = None
        assert await probe.speaks_modern("s", POLICY) is True


async def test_a_child_that_does_not_come_in_time_is_not_waited_for() -> None:
    async with probing(command(MODERN)) as (probe, children, eras):
        children.may_open = anyio.Event()
        with pytest.raises(GatewayError) as raised:
            await probe.speaks_modern("s", POLICY.model_copy(update={"start_timeout": 0}))
        assert raised.value.reason is Reason.START_TIMEOUT
        assert eras.modern("s") is None


async def test_cancellation_ends_the_child_and_who_still_wants_to_know_asks_another() -> None:
    async with probing(["/bin/sleep", "1000"]) as (probe, children, eras):
        found: list[bool] = []

        async def ask() -> None:
            found.append(await probe.speaks_modern("s", POLICY))

        async with anyio.create_task_group() as waiting, anyio.create_task_group() as first:
            first.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            waiting.start_soon(ask)
            waiting.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert len(children.running) == 1
            children.command = command(MODERN)
            first.cancel_scope.cancel()
        assert found == [True, True]
        assert len(children.opened) == 2
        assert children.released == [Reason.REQUEST_DONE] * 2
        assert eras.modern("s") is True


async def test_where_all_who_asked_have_gone_nothing_is_left() -> None:
    async with probing(["/bin/sleep", "1000"]) as (probe, children, eras):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(probe.speaks_modern, "s", POLICY)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert len(children.opened) == len(children.released) == 1
        assert eras.modern("s") is None


async def test_a_configuration_that_is_read_again_meanwhile_has_its_own_child_asked() -> None:
    async with probing(command(LIGHT)) as (probe, children, eras):

        def read_again() -> None:
            if len(children.opened) == 2:
                children.command = command(MODERN)
            else:
                eras.take_over({"s": POLICY})

        children.on_open = read_again
        assert await probe.speaks_modern("s", POLICY) is True
        assert len(children.opened) == 2


async def test_what_is_configured_is_not_asked() -> None:
    async with probing(["/bin/false"]) as (probe, children, eras):
        eras.take_over({"s": POLICY.model_copy(update={"era": "dual"})})
        assert await probe.speaks_modern("s", POLICY) is True
        assert not children.opened


async def test_where_no_child_can_be_had_what_was_seen_before_holds_for_a_while_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with probing(command(MODERN)) as (probe, children, eras):
        assert await probe.speaks_modern("s", POLICY) is True
        eras.take_over({"s": POLICY})
        children.fault = OpenRefused(Reason.MAX_SESSIONS, "full", 5.0)
        assert await probe.speaks_modern("s", POLICY) is True
        assert len(children.opened) == 2
        eras.take_over({"s": POLICY})
        children.may_open = anyio.Event()  # it would have to wait
        with monkeypatch.context() as patched:
            patched.setattr("gateway.modern.probe.RENEWING", 0)
            assert await probe.speaks_modern("s", POLICY) is True


async def test_a_child_that_one_users_values_end_says_nothing_of_other_users_children() -> None:
    personal = POLICY.model_copy(update={"personal": ("header:X",)})
    async with probing(["/bin/true"]) as (probe, children, eras):
        assert not await probe.speaks_modern("s", personal, Personal({"header:X": "bad"}))
        assert eras.modern("s") is None
        children.command = command(MODERN)
        assert await probe.speaks_modern("s", personal, Personal({"header:X": "good"}))
    async with probing(["/bin/true"]) as (probe, children, eras):
        eras.saw("s", edition=eras.edition, handshake=True)  # it does serve, so what it ends over is the revision
        assert not await probe.speaks_modern("s", personal)
        assert eras.modern("s") is False


async def test_who_waits_for_another_users_child_that_cannot_be_had_asks_their_own() -> None:
    personal = POLICY.model_copy(update={"personal": ("header:X",)})
    refused: list[GatewayError] = []
    async with probing(command(MODERN)) as (probe, children, _):
        children.may_open = anyio.Event()
        children.fault = OpenRefused(Reason.CREDENTIAL_MALFORMED, "no name that one directory may have")

        async def first() -> None:
            try:
                await probe.speaks_modern("s", personal, Personal({"header:X": "bad"}))
            except GatewayError as error:
                refused.append(error)
            children.fault = None

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(probe.speaks_modern, "s", personal, Personal({"header:X": "good"}))
            await anyio.wait_all_tasks_blocked()
            children.may_open.set()
        assert [error.reason for error in refused] == [Reason.CREDENTIAL_MALFORMED]
        assert len(children.opened) == 2


async def test_a_child_that_is_asked_has_what_belongs_to_whoever_wants_to_know() -> None:
    async with probing(command(MODERN)) as (probe, children, _):
        assert await probe.speaks_modern("s", POLICY, Personal({"header:X-Token": "of-ann"})) is True
        assert children.values == [{"header:X-Token": "of-ann"}]
