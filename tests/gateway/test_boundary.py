"""The trust boundary, and who alone does what, read off the imports and calls of every source file."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STARTERS = {
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
    "anyio.open_process",
    "anyio.run_process",
    *(f"subprocess.{name}" for name in ("Popen", "run", "call", "check_call", "check_output", "getoutput")),
    *(f"os.{name}" for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "popen", "system", "startfile")),
    *(f"os.spawn{name}" for name in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
SIGNALLERS = {"os.kill", "os.killpg", "signal.pidfd_send_signal"}
REAPERS = {"os.wait", "os.wait3", "os.wait4", "os.waitid", "os.waitpid"}

PACKAGES = ("common", "doctor", "embedding", "gateway", "mcp_notepad", "supervisor", "terminal")


def sources(package: str) -> list[Path]:
    """Every file of a package."""
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> tuple[tuple[str, str], ...]:
    """All that a file imports, anywhere in it, by its full name, and the name that it has there."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield each.name, each.asname or each.name
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parent.parts
            start = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            for each in node.names:
                yield f"{module}.{each.name}", each.asname or each.name


def imported(package: str) -> set[str]:
    """Full names of all that a package imports."""
    return {name for path in sources(package) for name, _ in imports(path)}


def within(name: str, *modules: str) -> bool:
    """Whether `name` is one of `modules`, or something in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def uses(path: Path, wanted: set[str]) -> set[str]:
    """The functions of a file in which something of `wanted` stands; empty for the file itself."""
    known = {local: full for full, local in imports(path)}
    found: set[str] = set()

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node).partition(".")
            if known.get(first, first) + dot + rest in wanted:
                found.add(function)
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(parsed(path), "")
    return found


def users(wanted: set[str]) -> dict[str, set[str]]:
    """The files of all packages that use something of `wanted`, and their functions that do."""
    used = {name_of(path): uses(path, wanted) for package in PACKAGES for path in sources(package)}
    return {name: functions for name, functions in used.items() if functions}


def test_the_gateway_imports_of_the_supervisor_its_protocol_and_its_client_alone() -> None:
    of_the_supervisor = {name for name in imported("gateway") if within(name, "supervisor")}
    assert of_the_supervisor
    assert not {name for name in of_the_supervisor if not within(name, "supervisor.protocol", "supervisor.client")}


def test_the_supervisor_never_imports_the_gateway() -> None:
    assert not {name for name in imported("supervisor") if within(name, "gateway")}


def test_what_the_gateway_imports_of_the_supervisor_imports_nothing_more_of_it() -> None:
    shared = ("protocol", "greeting", "incoming", "outgoing", "renewals")
    for module in (*shared, "client"):
        names = {name for name, _ in imports(ROOT / "supervisor" / f"{module}.py") if within(name, "supervisor")}
        assert not {name for name in names if not within(name, *(f"supervisor.{each}" for each in shared))}


def test_what_both_share_imports_neither() -> None:
    assert not {name for name in imported("common") if within(name, "gateway", "supervisor")}


def test_the_doctor_is_a_program_of_its_own_that_nobody_knows() -> None:
    for package in ("common", "gateway", "mcp_notepad", "supervisor"):
        assert not {name for name in imported(package) if within(name, "doctor")}


def test_the_doctor_looks_at_processes_as_the_supervisor_does_and_shares_nothing_else_with_it() -> None:
    used = {name for name in imported("doctor") if within(name, "gateway", "supervisor")}
    assert used
    assert not {name for name in used if not within(name, "supervisor.linux", "supervisor.environment")}


def test_an_embedding_program_and_the_commands_stand_above_both_and_nobody_below_knows_them() -> None:
    for package in ("common", "doctor", "gateway", "mcp_notepad", "supervisor"):
        knowing = {
            name_of(path)
            for path in sources(package)
            if any(within(name, "embedding", "terminal") for name, _ in imports(path))
        }
        assert knowing == ({"gateway/__init__.py"} if package == "gateway" else set())  # where others look for them
    of_the_supervisor = {name for name in imported("embedding") if within(name, "supervisor")}
    assert not {name for name in of_the_supervisor if not within(name, "supervisor.client")}


def test_the_supervisor_knows_no_http() -> None:
    assert not {name for name in imported("supervisor") if within(name, "quart", "hypercorn", "werkzeug", "mcp")}


def test_only_the_routes_the_application_and_the_server_know_quart() -> None:
    knowing = {
        name_of(path)
        for package in PACKAGES
        for path in sources(package)
        if any(within(name, "quart") for name, _ in imports(path))
    }
    routes = {name for name in knowing if name.startswith("gateway/http/")}
    assert routes
    assert knowing - routes == {"embedding/running.py", "gateway/app.py", "gateway/server.py"}


PROBE = "supervisor/reaping.py"
"""Tries what the machine allows, before anything else runs."""

TEMPLATE = "supervisor/zygote/template.py"
"""Runs in a process of its own, below the supervisor, and is imported by nobody."""


def test_only_spawn_the_launcher_and_an_embedding_program_start_processes_and_a_zygote_forks() -> None:
    starters = {"supervisor/spawn.py", "supervisor/launcher.py", "embedding/beside.py", PROBE}
    assert set(users(STARTERS)) == starters | {TEMPLATE}


def test_a_zygote_is_a_program_that_nobody_imports_and_that_imports_nothing_of_ours() -> None:
    for package in PACKAGES:
        assert not {name for name in imported(package) if within(name, "supervisor.zygote.template")}
    assert not {name for name, _ in imports(ROOT / TEMPLATE) if within(name, *PACKAGES)}


def test_nobody_starts_processes_through_multiprocessing() -> None:
    for package in ("common", "doctor", "gateway", "supervisor"):
        assert not {name for name in imported(package) if within(name, "multiprocessing", "concurrent", "pty")}


def test_only_the_tree_and_the_launcher_signal_the_doctor_its_own_and_a_process_itself_when_its_parent_is_gone() -> (
    None
):
    signalling = users(SIGNALLERS)
    killers = {"supervisor/freeze.py", "supervisor/launcher.py"}
    assert set(signalling) == killers | {"doctor/processes.py", "supervisor/linux.py", TEMPLATE}
    assert signalling[TEMPLATE] == {"run"}  # itself, as Python does when it is interrupted
    assert signalling["doctor/processes.py"] == {"kill"}
    assert signalling["supervisor/linux.py"] == {"die_with_parent"}


def test_only_the_tree_and_the_launcher_reap() -> None:
    assert set(users(REAPERS)) == {"supervisor/tree.py", "supervisor/launcher.py", TEMPLATE}


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef end(pid): os.kill(pid, 9)",
        "import os as o\ndef end(pid): o.kill(pid, 9)",
        "from os import kill\ndef end(pid): kill(pid, 9)",
        "from os import kill as stop\ndef end(pid): stop(pid, 9)",
        "def end(pid):\n    import os\n    act = os.kill\n    act(pid, 9)",
    ],
)
def test_no_spelling_hides_a_use_from_these_tests(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sly.py"
    path.write_text(source)
    monkeypatch.setattr("tests.gateway.test_boundary.ROOT", tmp_path)
    assert uses(path, SIGNALLERS) == {"end"}


def test_an_import_that_is_relative_is_seen_for_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway" / "http" / "sly.py"
    path.parent.mkdir(parents=True)
    path.write_text("from . import bodies\nfrom ..relay import Relay\n")
    monkeypatch.setattr("tests.gateway.test_boundary.ROOT", tmp_path)
    assert [name for name, _ in imports(path)] == ["gateway.http.bodies", "gateway.relay.Relay"]
