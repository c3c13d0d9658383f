"""What is made of two children that were looked at."""

from dataclasses import replace

import pytest

from doctor.findings import Finding, Verdict, exit_status
from doctor.processes import Child, Known
from doctor.rows import AS_ROOT, Looked, Server, apart, survived

ONE = Child(Known(10, 1), 5, frozenset({Known(10, 1)}), {"HOME": "/a", "PATH": "/bin"}, "/work/a", 0, "pid:[1]")
TWO = replace(
    ONE, reader=Known(20, 1), tag=6, members=frozenset({Known(20, 1)}), environment={"HOME": "/b"}, cwd="/work/b"
)
NOTHING: tuple[dict[str, str], dict[str, str]] = ({}, {})
PRIVATE = ({"X-Token": "secret-of-a"}, {"X-Token": "secret-of-b"})
PLAIN = Server("s")
OWN = Server("s", headers=("X-Token",))


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    return {each.check: each.verdict for each in findings}


def row(
    check: str, a: Child, b: Child, server: Server = PLAIN, private: tuple[dict[str, str], dict[str, str]] = NOTHING
) -> Finding:
    [found] = [each for each in apart(server, Looked(a), Looked(b), private) if each.check == check]
    return found


def with_secret(child: Child, value: str) -> Child:
    return replace(child, environment={**child.environment, "TOKEN": value})


def test_two_children_are_apart() -> None:
    assert set(verdicts(apart(PLAIN, Looked(ONE), Looked(TWO), NOTHING)).values()) == {Verdict.OK}


@pytest.mark.parametrize("other", [ONE, replace(TWO, members=ONE.members | TWO.members)])
def test_one_process_for_both_fails_everything(other: Child) -> None:
    assert set(verdicts(apart(PLAIN, Looked(ONE), Looked(other), NOTHING)).values()) == {Verdict.FAILED}


def test_sessions_of_one_user_may_share_a_child_by_configuration() -> None:
    shared = Server("s", shared_by_one=True)
    assert set(verdicts(apart(shared, Looked(ONE), Looked(ONE), NOTHING)).values()) == {Verdict.UNKNOWN}


def test_what_cannot_be_looked_at_cannot_be_told() -> None:
    found = apart(PLAIN, Looked(ONE), Looked(None, "hidden", AS_ROOT), NOTHING)
    assert verdicts(found) == dict.fromkeys(("process", "environment", "working directory"), Verdict.UNKNOWN)
    assert {each.remedy for each in found} == {AS_ROOT}


def test_the_same_environment_fails() -> None:
    assert row("environment", ONE, replace(TWO, environment=ONE.environment)).verdict is Verdict.FAILED


def test_of_an_environment_the_names_alone_are_shown() -> None:
    found = row("environment", with_secret(ONE, "s3cr3t-a"), with_secret(TWO, "s3cr3t-b"))
    assert "TOKEN" in found.seen
    assert "s3cr3t" not in repr(found)


def test_one_directory_for_both_fails_unless_the_configuration_says_so() -> None:
    there = replace(TWO, cwd=ONE.cwd)
    assert row("working directory", ONE, there).verdict is Verdict.FAILED
    assert row("working directory", ONE, there, Server("s", fixed_path=True)).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("a", "b", "uid", "expected"),
    [
        ("secret-of-a", "secret-of-b", 1, Verdict.OK),
        ("secret-of-a", "secret-of-b", 0, Verdict.WARNING),
        ("secret-of-a", "secret-of-a", 1, Verdict.FAILED),
        ("secret-of-b", "secret-of-b", 1, Verdict.FAILED),
        ("secret-of-a", "none", 1, Verdict.WARNING),
    ],
)
def test_each_users_credentials_are_in_that_users_child_alone(a: str, b: str, uid: int, expected: Verdict) -> None:
    found = row("credentials", with_secret(ONE, a), replace(with_secret(TWO, b), uid=uid), OWN, PRIVATE)
    assert found.verdict is expected
    assert "secret-of" not in repr(found)


def test_a_proc_of_its_own_hides_a_child_as_well_as_a_user_of_its_own() -> None:
    other = replace(with_secret(TWO, "secret-of-b"), pid_namespace="pid:[2]")
    assert row("credentials", with_secret(ONE, "secret-of-a"), other, OWN, PRIVATE).verdict is Verdict.OK


def test_what_lives_on_fails_unless_it_lingers_by_configuration() -> None:
    assert survived(PLAIN, [Looked(ONE)], {}).verdict is Verdict.OK
    assert survived(PLAIN, [Looked(ONE), Looked(None, "hidden")], {}).verdict is Verdict.UNKNOWN
    left = survived(PLAIN, [Looked(ONE)], {10: "sleep"})
    assert (left.verdict, "10 (sleep)" in left.seen) == (Verdict.FAILED, True)
    assert survived(Server("s", linger=300), [Looked(ONE)], {10: "sleep"}).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("verdict", "status", "strict"),
    [
        (Verdict.OK, 0, 0),
        (Verdict.NOTE, 0, 0),
        (Verdict.WARNING, 0, 2),
        (Verdict.UNKNOWN, 0, 2),
        (Verdict.FAILED, 1, 1),
    ],
)
def test_the_exit_status_tells_failures_from_what_could_not_be_looked_at(
    verdict: Verdict, status: int, strict: int
) -> None:
    findings = [Finding("a", "", Verdict.OK, ""), Finding("b", "", verdict, "")]
    assert exit_status(findings) == status
    assert exit_status(findings, strict=True) == strict
