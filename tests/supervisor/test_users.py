"""As whom children run: who is looked up, who is refused, and which user id is next."""

import os
import pwd

import pytest

from common.config.model import Isolation, ServerSpec
from supervisor.users import MOMENT, SHARE, AllInUse, Glances, Identities, Identity, UserError, user_ids_in_use
from tests.support.specs import server_spec, supervisor_settings

NOBODY = pwd.getpwnam("nobody")
FREE = (3_000_000_000, 3_000_000_002)
"""User ids that no machine gives anybody."""


def in_range(group: str | None = None) -> Isolation:
    """A user id of its own for each session."""
    return Isolation.model_validate({"uid_range": f"{FREE[0]}-{FREE[1]}", "group": group})


def spec(isolation: Isolation, name: str = "fs") -> ServerSpec:
    """A server whose children run as this says."""
    return server_spec(name, isolation=isolation)


def identities(*servers: ServerSpec, in_use: set[int] | None = None) -> Identities:
    """Identities on a machine where these user ids have processes."""
    return Identities(supervisor_settings(*servers), may_change=True, in_use=lambda: in_use or set())


def whom(isolation: Isolation) -> Identity | None:
    """Whom a child runs as."""
    return identities(spec(isolation)).acquire(spec(isolation))


def refusal(isolation: Isolation, *, may_change: bool = True) -> str:
    """Why not."""
    with pytest.raises(UserError) as caught:
        Identities(supervisor_settings(spec(isolation)), may_change=may_change)
    return str(caught.value)


# Who is looked up.


def test_without_a_word_about_it_children_run_as_the_supervisor() -> None:
    assert whom(Isolation()) is None
    assert not identities(spec(Isolation())).are_others


def test_a_user_is_given_by_name_or_number_and_brings_a_group_and_a_home() -> None:
    nobody = Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody", NOBODY.pw_dir)
    assert whom(Isolation(user="nobody")) == whom(Isolation(user=str(NOBODY.pw_uid))) == nobody
    assert identities(spec(Isolation(user="nobody"))).are_others


def test_a_number_that_is_nobodys_is_a_user_with_a_group_of_the_same_number() -> None:
    assert whom(Isolation(user="3000000000")) == Identity(3_000_000_000, 3_000_000_000)


def test_a_group_may_be_another() -> None:
    daemon = whom(Isolation(user="nobody", group="daemon"))
    assert daemon is not None
    assert (daemon.uid, daemon.gid) == (NOBODY.pw_uid, 1)
    alone = whom(Isolation(group="123"))
    assert alone is not None
    assert (alone.uid, alone.gid) == (os.geteuid(), 123)


def test_the_supervisors_own_user_is_no_change() -> None:
    assert whom(Isolation(user=str(os.geteuid()), group=str(os.getegid()))) is None


@pytest.mark.parametrize("isolation", [Isolation(user="no-such"), Isolation(user=str(2**32 - 1))])
def test_a_user_that_does_not_exist_is_told_with_its_remedy(isolation: Isolation) -> None:
    assert refusal(isolation) == (
        "servers.fs.user: there is no such user on this machine; make it (useradd --system), "
        "or give one that exists, by name or number"
    )


def test_a_group_that_does_not_exist_is_told_with_its_remedy() -> None:
    assert refusal(Isolation(group="no-such")).startswith("servers.fs.group: there is no such group on this machine")


@pytest.mark.parametrize(
    ("isolation", "key"),
    [
        (Isolation(user="nobody"), "user"),
        (Isolation(group="123"), "group"),
        (in_range(), "uid_range"),
    ],
)
def test_a_supervisor_that_may_not_change_users_says_so(isolation: Isolation, key: str) -> None:
    assert refusal(isolation, may_change=False).startswith(f"servers.fs.{key}: needs a supervisor that may change")


def test_every_server_that_cannot_be_is_told() -> None:
    wrong = [
        spec(Isolation(user="no-such"), "one"),
        spec(Isolation(), "two"),
        spec(Isolation(group="no-such"), "three"),
    ]
    with pytest.raises(UserError) as caught:
        identities(*wrong)
    assert [(each.server, each.key) for each in caught.value.mistakes] == [("one", "user"), ("three", "group")]


def test_a_range_with_somebody_of_this_machine_in_it_is_refused() -> None:
    first, last = NOBODY.pw_uid, NOBODY.pw_uid + 1
    assert refusal(Isolation.model_validate({"uid_range": f"{first}-{last}"})).startswith(
        f"servers.fs.uid_range: {first} is the user nobody of this machine, whose files sessions could reach; "
    )


# A user id of one's own.


def test_each_session_has_a_user_id_of_its_own() -> None:
    server = spec(in_range())
    table = identities(server)
    assert table.are_others
    assert [table.acquire(server) for _ in range(3)] == [Identity(uid, uid) for uid in range(FREE[0], FREE[1] + 1)]
    with pytest.raises(AllInUse):
        table.acquire(server)


def test_of_those_that_are_free_the_one_unused_for_longest_is_next() -> None:
    server = spec(in_range())
    table = identities(server)
    first, second = table.acquire(server), table.acquire(server)
    assert first is not None
    assert second is not None
    table.release(second)
    table.release(first)
    order = [table.acquire(server) for _ in range(3)]
    assert order == [Identity(FREE[1], FREE[1]), second, first]


def test_two_servers_share_what_their_ranges_share() -> None:
    one, other = spec(in_range(), "one"), spec(in_range(), "other")
    table = identities(one, other)
    assert table.acquire(one) != table.acquire(other)


def test_one_that_another_server_runs_as_is_passed_over() -> None:
    fixed, ranging = spec(Isolation(user=str(FREE[0])), "fixed"), spec(in_range())
    table = identities(fixed, ranging)
    given = table.acquire(ranging)
    assert given == Identity(FREE[0] + 1, FREE[0] + 1)
    table.release(table.acquire(fixed))
    assert table.acquire(ranging) == Identity(FREE[1], FREE[1])


def test_one_that_a_process_has_is_passed_over() -> None:
    server = spec(in_range())
    table = identities(server, in_use=set(FREE))
    assert table.acquire(server) == Identity(FREE[0] + 1, FREE[0] + 1)
    with pytest.raises(AllInUse):
        table.acquire(server)


def test_a_group_is_the_same_for_all_where_one_is_given() -> None:
    assert whom(in_range(group="123")) == Identity(FREE[0], 123)


def test_of_those_that_are_free_one_that_was_somebody_elses_is_the_last_to_be_tried() -> None:
    somebody = {FREE[0]}
    server = spec(in_range())
    table = identities(server, in_use=somebody)
    assert table.acquire(server) == Identity(FREE[0] + 1, FREE[0] + 1)
    given = table.acquire(server)
    assert given == Identity(FREE[1], FREE[1])
    table.release(given)
    somebody.clear()
    assert table.acquire(server) == given  # it was given back, so one looks again
    assert table.acquire(server) == Identity(FREE[0], FREE[0])


class Machine:
    """A machine of which it costs `cost` seconds to ask who has processes."""

    def __init__(self, cost: float) -> None:
        self.now = 100.0
        self.looks = 0
        self._cost = cost

    def look(self) -> set[int]:
        self.now += self._cost
        self.looks += 1
        return {FREE[0]}

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(("cost", "trusted"), [(0.001, MOMENT), (0.1, 0.1 / SHARE)])
def test_a_look_at_who_has_processes_is_trusted_for_a_moment_and_longer_where_it_is_dear(
    cost: float, trusted: float
) -> None:
    machine = Machine(cost)
    glances = Glances(machine.look, machine.clock)
    assert glances.may_have(FREE[0])
    assert not glances.may_have(FREE[1])
    machine.now += trusted - 0.01
    assert glances.may_have(FREE[0])
    assert machine.looks == 1
    machine.now += 0.02
    glances.may_have(FREE[0])
    assert machine.looks == 2


def test_no_look_is_trusted_for_a_user_id_that_was_given_back_since() -> None:
    machine = Machine(0.001)
    glances = Glances(machine.look, machine.clock)
    glances.may_have(FREE[1])
    glances.forget(FREE[1])
    glances.may_have(FREE[0])
    assert machine.looks == 1
    glances.may_have(FREE[1])
    assert machine.looks == 2


def test_the_machine_knows_who_has_processes() -> None:
    assert os.geteuid() in user_ids_in_use()
    assert FREE[0] not in user_ids_in_use()


# A new configuration.


def test_a_new_configuration_changes_what_is_next_and_not_what_is_given_out() -> None:
    before, after = spec(in_range()), spec(in_range(), "new")
    table = identities(before)
    table.acquire(before)
    table.take_over(supervisor_settings(after), may_change=True)
    assert table.acquire(after) == Identity(FREE[0] + 1, FREE[0] + 1)


def test_a_new_configuration_that_asks_for_too_much_changes_nothing() -> None:
    server = spec(in_range())
    table = identities(server)
    with pytest.raises(UserError):
        table.take_over(supervisor_settings(spec(Isolation(user="no-such"))), may_change=True)
    assert table.acquire(server) == Identity(FREE[0], FREE[0])
