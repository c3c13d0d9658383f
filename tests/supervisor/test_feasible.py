"""What the configuration asks for and the machine has not is told with its line."""

import os
import pwd
from pathlib import Path

import pytest

from common.config.source import ConfigError
from supervisor import reaping
from supervisor.feasible import load_for_here
from supervisor.users import may_change_user


def problems(directory: Path, text: str) -> list[str]:
    """What is said of a file with this text, without its directory."""
    path = directory / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_for_here(path)
    return [str(each).removeprefix(f"{directory}/") for each in caught.value.problems]


def test_what_can_be_had_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"servers:\n  a: {{command: x, user: {os.geteuid()}}}\n"
        f"  b: {{command: x, sandbox: {{writable: [{tmp_path}], hidden: [/srv, /tmp/nowhere/at/all], network: false}}}}\n"
    )
    assert load_for_here(path).supervisor.servers.keys() == {"a", "b"}


def test_every_user_and_group_that_cannot_be_had_is_told_with_its_line_and_by_no_value(tmp_path: Path) -> None:
    text = "user: hunter2\nservers:\n  a: {command: x}\n  b:\n    command: x\n    group: hunter2\n  c: {command: x}\n"
    said = problems(tmp_path, text)
    assert [line.partition(" (")[0] for line in said] == [
        "config.yaml:1: user: there is no such user on this machine; make it",
        "config.yaml:6: servers.b.group: there is no such group on this machine; make it",
    ]
    assert "hunter2" not in "".join(said)


def test_a_range_of_users_who_are_somebody_is_told(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    [line] = problems(tmp_path, f"uid_range: {nobody}-{nobody + 9}\nservers: {{a: {{command: x}}}}\n")
    expected = f"{nobody} is the user nobody" if may_change_user() else "needs a supervisor"
    assert line.startswith(f"config.yaml:1: uid_range: {expected}")


def test_what_a_sandbox_is_to_show_or_hide_must_be_there(tmp_path: Path) -> None:
    text = "servers:\n  a:\n    command: x\n    sandbox:\n      writable: [/usr, data]\n      hidden: [/etc/hosts]\n"
    assert problems(tmp_path, text) == [
        "config.yaml:5: servers.a.sandbox.writable[1]: "
        "there is nothing of that name; make the directory, or take it out of the list",
        "config.yaml:6: servers.a.sandbox.hidden[0]: there is no such directory; make it, or take it out of the list",
    ]


def test_a_sandbox_without_bubblewrap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "_PATH", "/nowhere")
    assert problems(tmp_path, "sandbox: bubblewrap\nservers: {a: {command: x}, b: {command: x}}\n") == [
        "config.yaml:1: sandbox: bubblewrap is not installed; on Debian, 'apt-get install bubblewrap' does it"
    ]


def test_a_sandbox_without_setpriv_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bwrap").symlink_to("/usr/bin/bwrap")
    monkeypatch.setattr(reaping, "_PATH", str(tmp_path))
    [line] = problems(tmp_path, "sandbox: bubblewrap\nservers: {a: {command: x}}\n")
    assert "setpriv is not installed; on Debian, 'apt-get install util-linux' does it" in line


def test_a_bubblewrap_that_is_not_permitted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setattr(reaping, "_PATH", f"{tmp_path}:{reaping._PATH}")
    [line] = problems(tmp_path, "servers:\n  a: {command: x, sandbox: bubblewrap}\n  b: {command: x}\n")
    assert line.startswith(
        "config.yaml:2: servers.a.sandbox: bubblewrap cannot make it here "
        "(bwrap: No permissions to create new namespace); where it says"
    )


def test_a_sandbox_that_hides_what_it_needs_itself_is_told(tmp_path: Path) -> None:
    [line] = problems(tmp_path, "sandbox: {hidden: [/usr]}\nservers: {a: {command: x}}\n")
    assert line.startswith("config.yaml:1: sandbox: bubblewrap cannot make it here (bwrap: ")


SECRETS = "headers: [X-T], env: {T: '${header:X-T}'}"


def test_a_server_whose_users_own_others_could_read_is_told_with_what_to_do(tmp_path: Path) -> None:
    text = (
        "reaping: tagged\nuser: 1234\nservers:\n"
        f"  a: {{command: x, {SECRETS}}}\n"
        f"  b: {{command: x, {SECRETS}, allow_shared_uid: true}}\n"
        f"  c: {{command: x, {SECRETS}, uid_range: 600000-600009}}\n"
    )
    [line] = problems(tmp_path, text)
    assert line.startswith(
        "config.yaml:4: servers.a.headers: other processes of its user could read what each user gives: the"
    )
    assert "uid_range" in line
    assert "allow_shared_uid: true" in line
