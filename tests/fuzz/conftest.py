"""How hypothesis works here: the same examples every time, a bounded number of them, and nothing kept between runs.

`pytest tests/fuzz --hypothesis-profile=long` looks for longer, and at other examples each time.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.gateway import ROOT

# How long an example takes says nothing on a machine that is busy.
_ANY_PACE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)

settings.register_profile("bounded", _ANY_PACE, derandomize=True, max_examples=70, stateful_step_count=40)
settings.register_profile("long", _ANY_PACE, max_examples=2000, stateful_step_count=80, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take the bounded profile unless the command line names one."""
    set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("bounded")
