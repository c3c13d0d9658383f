"""What a tree uses against what it may, by table."""

import signal

import pytest

from common.config.model import Limits
from common.reasons import Reason
from supervisor.limits import (
    TreeUsage,
    Usage,
    exceeded,
    exit_of_init,
    is_near,
    limit_of,
    total,
    uses_too_much_cpu,
)
from supervisor.protocol import Exit

MIB = 1 << 20
LIMITS = Limits(memory_max="100MiB", tasks_max=10, cpu_max=1.5)
NONE = Limits(memory_max=None, tasks_max=None)


def test_nothing_uses_nothing() -> None:
    assert total([]) == TreeUsage(0, 0, 0)


def test_what_is_private_adds_up_and_what_is_shared_counts_once() -> None:
    usages = (Usage(10, 5, 1, 0.5), Usage(20, 7, 3, 0.25))
    assert total(each for each in usages) == TreeUsage(37, 4, 0.75)


@pytest.mark.parametrize(
    ("memory", "tasks", "expected"),
    [
        (100 * MIB, 10, None),
        (100 * MIB + 1, 10, Reason.MEMORY_MAX),
        (100 * MIB, 11, Reason.TASKS_MAX),
        (100 * MIB + 1, 11, Reason.MEMORY_MAX),
    ],
)
def test_a_limit_is_exceeded_when_more_is_used(memory: int, tasks: int, expected: Reason | None) -> None:
    assert exceeded(LIMITS, TreeUsage(memory, tasks, 0)) is expected
    assert exceeded(NONE, TreeUsage(memory, tasks, 0)) is None


@pytest.mark.parametrize(
    ("memory", "tasks", "near"), [(50 * MIB, 5, False), (50 * MIB + 1, 0, True), (0, 6, True), (MIB, 1, False)]
)
def test_above_half_of_a_limit_is_near(memory: int, tasks: int, near: bool) -> None:
    assert is_near(LIMITS, TreeUsage(memory, tasks, 0)) is near
    assert not is_near(NONE, TreeUsage(memory, tasks, 0))


@pytest.mark.parametrize(
    ("before", "now", "seconds", "too_much"),
    [(0, 1.5, 1, False), (0, 1.6, 1, True), (10, 11.6, 2, False), (10, 9, 1, False), (0, 5, 0, False)],
)
def test_processors_are_counted_between_two_looks(
    before: float,
    now: float,
    seconds: float,
    too_much: bool,
) -> None:
    assert uses_too_much_cpu(LIMITS, before, now, seconds) is too_much
    assert not uses_too_much_cpu(NONE, before, now, seconds)


@pytest.mark.parametrize(
    ("exit_", "limit"),
    [
        (Exit(signal=signal.SIGXFSZ), Reason.FILE_SIZE_MAX),
        (Exit(signal=signal.SIGKILL), None),
        (Exit(code=signal.SIGXFSZ), None),
        (Exit(code=0), None),
    ],
)
def test_one_signal_speaks_of_a_limit(exit_: Exit, limit: Reason | None) -> None:
    assert limit_of(exit_) is limit


@pytest.mark.parametrize(
    ("exit_", "of_command"),
    [
        (Exit(code=0), Exit(code=0)),
        (Exit(code=128), Exit(code=128)),
        (Exit(code=128 + signal.SIGXFSZ), Exit(signal=signal.SIGXFSZ)),
        (Exit(code=192), Exit(signal=64)),
        (Exit(code=193), Exit(code=193)),
        (Exit(code=255), Exit(code=255)),
        (Exit(signal=9), Exit(signal=9)),
    ],
)
def test_an_init_tells_a_signal_as_a_shell_does(exit_: Exit, of_command: Exit) -> None:
    assert exit_of_init(exit_) == of_command
