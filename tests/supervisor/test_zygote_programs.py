"""Which servers can have a zygote, and what is said of those that cannot."""

import sys
from pathlib import Path

import pytest

from common.config.source import ConfigError
from supervisor.feasible import load_for_here
from supervisor.zygote.programs import NoProgram, Program, understand

PYTHON = sys.executable


def script(directory: Path, head: str) -> str:
    """A file that begins like this."""
    path = directory / "tool"
    path.write_text(f"{head}\nimport this\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (f"#!{PYTHON}", (PYTHON,)),
        (f"#! {PYTHON} -I", (PYTHON, "-I")),
        (f"#!{PYTHON} -sP", (PYTHON, "-sP")),
        (f"#!/bin/sh\n'''exec' {PYTHON} \"$0\" \"$@\"\n' '''", (PYTHON,)),
        (f"#!/bin/sh\n'''exec' \"{PYTHON}\" \"$0\" \"$@\"\n' '''", (PYTHON,)),
        ("#!/usr/bin/env python3", ("/usr/bin/python3",)),
    ],
)
def test_a_script_names_its_python(head: str, interpreter: tuple[str, ...], tmp_path: Path) -> None:
    path = script(tmp_path, head)
    assert understand(path, ["a", "b"], "/", "/usr/bin") == Program(interpreter, "script", path, ("a", "b"))


@pytest.mark.parametrize(
    "head",
    [
        "#!/bin/sh",
        "#!/no/such/python3",
        "#!/usr/bin/env python3 -I",
        "#!/usr/bin/env ruby",
        f"#!{PYTHON} -m pdb",
        f"#!{PYTHON} -i",
        "#!",
        "\x7fELF",
        "",
    ],
)
def test_what_is_no_script_of_a_python_is_refused(head: str, tmp_path: Path) -> None:
    with pytest.raises(NoProgram, match=str(tmp_path / "tool")):
        understand(script(tmp_path, head), [], "/", "/usr/bin")


def test_a_script_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoProgram, match="cannot be read: No such file"):
        understand(str(tmp_path / "tool"), [], "/", "")


def test_the_command_line_of_a_python_is_understood(tmp_path: Path) -> None:
    path = script(tmp_path, "")
    assert understand(PYTHON, ["-I", "-m", "pkg.mod", "-v"], "/", "") == Program(
        (PYTHON, "-I"), "module", "pkg.mod", ("-v",)
    )
    assert understand(PYTHON, ["-X", "utf8", "-Wignore", "tool", "-m"], str(tmp_path), "") == Program(
        (PYTHON, "-X", "utf8", "-Wignore"), "script", path, ("-m",)
    )
    assert understand(PYTHON, [path], "/", "").command == [PYTHON, path]
    assert understand(PYTHON, ["-m", "x", "y"], "/", "").command == [PYTHON, "-m", "x"]


@pytest.mark.parametrize(
    "arguments", [[], ["-"], ["-c", "pass"], ["-i", "x"], ["-m"], ["-V"], ["missing.py"], ["--help"], ["/"]]
)
def test_another_command_line_of_a_python_is_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(NoProgram, match="its command line"):
        understand(PYTHON, arguments, str(tmp_path), "")


def test_a_program_that_was_replaced_has_other_marks(tmp_path: Path) -> None:
    program = understand(script(tmp_path, f"#!{PYTHON}"), [], "/", "")
    before = program.marks
    assert program.marks == before
    script(tmp_path, f"#!{PYTHON} -I")
    assert program.marks != before
    (tmp_path / "tool").unlink()
    assert program.marks[1] == (0, 0, 0)


def problems(directory: Path, text: str) -> list[str]:
    """What is said of a file with this text, without its directory."""
    path = directory / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_for_here(path)
    return [str(each).removeprefix(f"{directory}/") for each in caught.value.problems]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("command: sh", "/sh is no script of a Python that is here; take 'zygote' away, or start it with a console"),
        ("command: python3, args: [-c, pass]", "with other options than those of 'python -m MODULE'; take 'zygote'"),
        ("command: npx, args: [some-package]", "npx starts no Python; take 'zygote' away"),
        ("command: mcp-notepad, uid_range: 600000-600009", "a fork cannot take on a user id of its own"),
        ("command: mcp-notepad, sandbox: bubblewrap", "a fork cannot enter a sandbox of its own; take either"),
    ],
)
def test_what_can_have_no_zygote_is_told_with_its_line(keys: str, said: str, tmp_path: Path) -> None:
    told = problems(tmp_path, f"servers:\n  a:\n    {{zygote: true, {keys}}}\n")
    assert any(line.startswith("config.yaml:3: servers.a.zygote: ") and said in line for line in told), told


def test_in_namespaces_there_is_none(tmp_path: Path) -> None:
    [line] = problems(tmp_path, "reaping: namespace\nservers:\n  a:\n    command: mcp-notepad\n    zygote: true\n")
    assert line == (
        "config.yaml:5: servers.a.zygote: a fork cannot enter a PID namespace of its own; "
        "say 'reaping: cgroup' or 'reaping: tagged'"
    )


@pytest.mark.parametrize(
    "keys",
    [
        "command: mcp-notepad",
        "command: uvx, args: [mcp-server-time]",
        "command: no-such-command",
        'command: python3, args: [server.py], path: "${session.work}"',
    ],
)
def test_what_may_have_one_is_loaded(keys: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"servers:\n  a: {{{keys}, zygote: true}}\n  b: {{{keys}}}\n")
    servers = load_for_here(path).supervisor.servers
    assert [each.zygote for each in servers.values()] == [True, False]
