"""A server with credentials is started only where nobody else can read them."""

from typing import Any

import pytest

from common.config.model import Isolation, Sandbox, ServerSpec
from common.config.session_paths import mark
from common.reasons import Reason
from supervisor.environment import SpawnError
from supervisor.exposure import certainly_exposed, check, exposed, reported
from supervisor.protocol import Answer, ServerReport
from supervisor.reaping import Reaping
from supervisor.wrapper import Inside
from tests.support.specs import server_spec, supervisor_settings

SECRET = {"T": mark("header:X-Token")}
IN_SANDBOX: dict[str, Any] = {"sandbox": Sandbox()}


def server(name: str = "fs", env: dict[str, str] | None = None, **isolation: Any) -> ServerSpec:
    """A server of the user 1234, unless told otherwise, with a credential."""
    return server_spec(name, env=SECRET if env is None else env, isolation=Isolation(**{"user": "1234", **isolation}))


def is_exposed(*specs: ServerSpec, inside: Inside = Inside.NOTHING) -> bool:
    """Whether the first of them is."""
    return exposed(specs[0], {each.name: each for each in specs}, inside) is not None


def test_where_all_run_as_one_user_and_see_each_other_it_is_not_started() -> None:
    why = exposed(server(), {"fs": server()}, Inside.NOTHING)
    assert why is not None
    assert why.startswith(
        "other processes of its user could read what each user gives: the header X-Token; give each session"
    )
    for remedy in ("uid_range", "sandbox", "reaping: namespace", "allow_shared_uid: true"):
        assert remedy in why


def test_a_server_without_credentials_is_nobodys_business() -> None:
    assert not is_exposed(server(env={}))
    assert not is_exposed(server(env={"U": mark("user.id")}))


def test_a_user_id_for_each_session_is_enough_and_so_is_the_operators_word() -> None:
    assert not is_exposed(server(user=None, uid_range="600000-600009"))
    assert not is_exposed(server().model_copy(update={"allow_shared_uid": True}))


@pytest.mark.parametrize("inside", [Inside.NAMESPACE, Inside.USER_NAMESPACE])
def test_a_namespace_for_each_session_is_enough_unless_it_is_roots(inside: Inside) -> None:
    assert not is_exposed(server(), server("other", {}), inside=inside)
    assert is_exposed(server(user="0"), inside=inside)
    assert is_exposed(server(user="root"), inside=inside)


def test_a_sandbox_is_enough_where_all_of_its_user_are_in_one() -> None:
    boxed = server(**IN_SANDBOX)
    assert not is_exposed(boxed)
    assert not is_exposed(boxed, server("other", {}, **IN_SANDBOX), server("another", {}, user="1235"))
    assert not is_exposed(boxed, server("other", {}, user=None, uid_range="600000-600009"))
    assert is_exposed(boxed, server("other", {}))
    assert not is_exposed(boxed, server("other", {}), inside=Inside.NAMESPACE)
    assert not is_exposed(server(user="0", **IN_SANDBOX), inside=Inside.NAMESPACE)


@pytest.mark.parametrize(
    ("reaping", "user", "certain"),
    [
        ("tagged", "1234", True),
        ("cgroup", "1234", True),
        ("auto", "1234", False),
        ("namespace", "1234", False),
        ("auto", "0", True),
        ("namespace", "0", True),
    ],
)
def test_what_is_certain_is_known_when_the_file_is_read(reaping: str, user: str, certain: bool) -> None:
    settings = supervisor_settings(server(user=user), reaping=reaping)
    assert [name for name, _ in certainly_exposed(settings)] == (["fs"] if certain else [])


def test_else_it_is_refused_and_health_says_why() -> None:
    settings = supervisor_settings(server(), server("plain", {}))
    here, there = Reaping("cgroup", {}), Reaping("namespace", {}, Inside.NAMESPACE)
    with pytest.raises(SpawnError) as caught:
        check("fs", settings, here)
    assert caught.value.reason is Reason.SHARED_UID
    check("fs", settings, there)
    check("plain", settings, here)
    check("unknown", settings, here)
    answer = Answer(1, 0, 0, servers={"fs": ServerReport(), "plain": ServerReport(2)})
    assert reported(answer, settings, there) is answer
    failing = {name: each.failing for name, each in reported(answer, settings, here).servers.items()}
    assert failing["fs"].startswith("other processes of its user")
    assert failing["plain"] == ""
