"""What a reload takes over, and what it does not."""

from pathlib import Path

from common.config.load import Settings, load
from common.config.model import SupervisorSettings
from supervisor.reload import Refused, Reloader, changed_servers, for_gateway, holds_at_once, needs_restart, take_over


def settings(path: Path, text: str) -> Settings:
    path.write_text(text)
    return load(path, {})


def test_servers_are_taken_over_and_other_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "port: 1\nmax_sessions: 2\nservers: {old: {command: a}, same: {command: b}}")
    held = running.supervisor.servers
    new = settings(path, "port: 3\nmax_sessions: 4\nservers: {same: {command: c}, new: {command: d}}")
    assert needs_restart(running, new) == ["max_sessions", "port"]
    take_over(running, new)
    assert {name: spec.command for name, spec in held.items()} == {"same": "c", "new": "d"}
    assert running.gateway.servers.keys() == {"same", "new"}
    assert (running.gateway.port, running.supervisor.max_sessions) == (1, 2)


def test_a_reload_tells_the_gateway_and_a_mistake_does_not(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {one: {command: a}}")
    told: list[bytes] = []
    reload = Reloader(path, running, told.append)
    path.write_text("servers: {two: {command: a}}")
    reload()
    assert len(told) == 1
    assert b'"two"' in told[0]
    path.write_text("servers: {three: {comand: a}}")
    reload()
    assert len(told) == 1
    assert running.supervisor.servers.keys() == {"two"}


def test_limits_and_users_are_taken_over_and_told_of_by_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    rest = "auth: {basic: {credentials: [{username: a, password: a-password}]}}\nservers: {one: {command: a}}"
    running = settings(path, f"quotas: {{user: {{sessions: 1}}}}\nrequire_user: false\n{rest}")
    limits = "rate_limits: [{per: user, limit: 1/minute}]\naccess: [{allow: '*', to: one}]"
    new = settings(path, f"trust_user_header: X-User\ntrusted_fronts: [a]\n{limits}\n{rest}")
    changed = ["access", "quotas", "rate_limits", "trust_user_header", "trusted_fronts"]
    assert holds_at_once(running.gateway, new.gateway) == changed
    # A front brings a cap of the supervisor's along, which is for whom it starts anew.
    assert needs_restart(running, new) == ["max_user_sessions"]
    take_over(running, new)
    assert running.gateway.amounts == new.gateway.amounts
    assert holds_at_once(running.gateway, new.gateway) == []


def test_credentials_are_taken_over_from_wherever_they_were_read(tmp_path: Path) -> None:
    path, token = tmp_path / "config.yaml", tmp_path / "token"
    token.write_text("s3cret-one")
    text = "auth: {bearer: {tokens: [{file: token}]}}\nservers: {one: {command: a}}"
    running = settings(path, text)
    told: list[bytes] = []
    reload = Reloader(path, running, told.append)
    token.write_text("s3cret-two")  # the file that names it is as before
    reload()
    assert b"s3cret-two" in told[0]
    assert b"s3cret-one" not in told[0]
    # Whoever connects later gets the same.
    assert for_gateway(running.gateway) == told[0]
    assert needs_restart(running, load(path, {})) == []


def test_the_gateway_learns_which_servers_are_started_otherwise_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {same: {command: a}, other: {command: a}, gone: {command: a}}")
    reload = Reloader(path, running, lambda _: None)

    def generations(text: str) -> dict[str, int]:
        path.write_text(text)
        reload()
        return {name: policy.generation for name, policy in running.gateway.servers.items()}

    assert generations("servers: {same: {command: a}, other: {command: b}}") == {"same": 0, "other": 1}
    again = generations("linger: 1s\nservers: {same: {command: a}, other: {command: b}, gone: {command: a}}")
    assert again == {"same": 0, "other": 1, "gone": 2}  # not what it was before: it may have children still


def test_a_server_is_changed_by_whatever_is_written_of_it_and_not_by_how_often_the_file_was_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {same: {command: a}, other: {command: b}, more: {command: c}}")
    reload = Reloader(path, running, lambda _: None)
    path.write_text("servers: {same: {command: z}, other: {command: b}, more: {command: c}}")
    reload()
    assert changed_servers(running, load(path, {})) == []
    new = settings(
        path, "servers: {same: {command: z, tags: [t]}, other: {command: b, max_concurrency: 1}, more: {command: d}}"
    )
    assert changed_servers(running, new) == ["more", "other", "same"]


def test_a_server_that_is_disabled_is_taken_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {one: {command: a}, two: {command: b, enabled: false}}")
    new = settings(path, "servers: {one: {command: a, enabled: false}, two: {command: b}}")
    assert (needs_restart(running, new), holds_at_once(running.gateway, new.gateway)) == ([], [])
    take_over(running, new)
    assert (list(running.gateway.servers), running.gateway.disabled) == (["two"], ("one",))
    assert list(running.supervisor.servers) == ["two"]


def test_what_is_told_of_the_servers_needs_a_restart_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {one: {command: a}}")
    new = settings(path, "health_interval: 1m\nlist_at_start: false\nservers: {one: {command: a}}")
    assert needs_restart(running, new) == ["health_interval", "list_at_start"]


def test_another_number_of_spares_is_another_server_to_nobody_who_shares_a_child(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {one: {command: a}}")
    reload = Reloader(path, running, lambda _: None)
    path.write_text("servers: {one: {command: a, warm: 2}}")
    reload()
    assert (running.supervisor.servers["one"].warm, running.gateway.servers["one"].generation) == (2, 0)


def test_a_server_that_waits_for_its_package_is_all_that_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    before = "servers: {one: {command: a, user: '1', idle_timeout: 10}, two: {command: a}}"
    running = settings(path, before)
    told: list[bytes] = []
    prepared: list[dict[str, str | None]] = []

    def prepare(new: SupervisorSettings) -> None:
        prepared.append({name: spec.isolation.user for name, spec in new.servers.items()})

    reload = Reloader(path, running, told.append, prepare)
    waits: list[set[str]] = []
    reload.install = lambda _: {"one", "new"}
    reload.on_waiting = waits.append
    path.write_text("servers: {one: {command: b, user: '2', idle_timeout: 20}, new: {command: b}}")
    reload()
    assert waits == [{"one"}]
    servers = running.supervisor.servers
    assert {name: spec.command for name, spec in servers.items()} == {"one": "a", "new": "b"}
    # Nor is it started as the user that it is to have later.
    assert prepared[-1] == {"one": "1", "new": None}
    assert running.gateway.servers["one"].idle_timeout == 10
    old = running.gateway.servers["one"].generation
    reload.installed({"one"}, set())
    assert servers["one"].command == "b"
    assert prepared[-1] == {"one": "2", "new": None}
    assert running.gateway.servers["one"].idle_timeout == 20
    assert running.gateway.servers["one"].generation > old
    assert len(told) == 2


def test_a_server_that_cannot_be_what_it_was_is_what_the_file_says_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    running = settings(path, "servers: {one: {command: a}}")

    def prepare(new: SupervisorSettings) -> None:
        if new.servers["one"].command == "a":
            raise Refused("there is no such user any more")

    reload = Reloader(path, running, lambda _: None, prepare)
    waits: list[set[str]] = []
    reload.install = lambda _: {"one"}
    reload.on_waiting = waits.append
    path.write_text("servers: {one: {command: b}}")
    reload()
    assert running.supervisor.servers["one"].command == "b"
    assert waits == [set()]
