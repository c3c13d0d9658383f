"""Whether a request may pass: the rules in order, what is asked of them, and what is made of their answers."""

from collections import Counter

import pytest

from common.reasons import Reason
from gateway.admittance import Admittance, Standing, Use, nearer, use_of
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import Request, request

ANN = Who(Principal("basic", "ann"))
ECHO = Use("light", "tools/call", "echo")


class Playbook:
    """A rule that says what it is told to, and notes what it was asked."""

    def __init__(self, says: Standing | Reason | None = None) -> None:
        self.says = says
        self.asked: list[tuple[Who, Use]] = []

    async def __call__(self, who: Who, use: Use) -> Standing | None:
        self.asked.append((who, use))
        if isinstance(self.says, Reason):
            raise GatewayError(self.says, "no")
        return self.says


async def test_where_there_are_no_rules_everything_passes() -> None:
    assert await Admittance().admit(ANN, ECHO) is None


async def test_every_rule_is_asked_and_the_nearest_limit_is_told() -> None:
    rules = [Playbook(Standing(10, 5, 60)), Playbook(), Playbook(Standing(3, 2, 60))]
    assert await Admittance(rules).admit(ANN, ECHO) == Standing(3, 2, 60)
    assert [rule.asked for rule in rules] == [[(ANN, ECHO)]] * 3


async def test_the_first_rule_that_refuses_has_the_last_word() -> None:
    refusals: Counter[str] = Counter()
    later = Playbook()
    with pytest.raises(GatewayError) as error:
        await Admittance([Playbook(Reason.RATE_LIMITED), later], refusals).admit(ANN, ECHO)
    assert error.value.reason is Reason.RATE_LIMITED
    assert (later.asked, refusals) == ([], {"rate_limited": 1})


async def test_a_ping_is_nobodys_business() -> None:
    rule = Playbook(Reason.RATE_LIMITED)
    assert await Admittance([rule]).admit(ANN, Use("light", "ping")) is None
    assert rule.asked == []


@pytest.mark.parametrize(
    ("params", "tool"),
    [
        (b'{"name":"echo","arguments":{"name":"other"}}', "echo"),
        (b'{"arguments":{},"name":"na\\u00efve"}', "naïve"),
        (b'{"name":"first","name":"last"}', "last"),
        (b'{"name":7,"name":"last"}', "last"),
        (b'{"name":"first","Name":"other"}', ""),  # which of them is meant depends on who reads it
        (b'{"name":7}', ""),
        (b"{}", ""),
        (b"[]", ""),
        (b"", ""),
        (b'{"name":"\xff"}', ""),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
    ],
)
def test_the_tool_of_a_call_is_the_one_that_it_names(params: bytes, tool: str) -> None:
    assert use_of("light", Request(b"1", "tools/call", params)) == Use("light", "tools/call", tool)


def test_what_is_no_call_has_no_tool() -> None:
    assert use_of("light", request(1, "prompts/get", {"name": "echo"})) == Use("light", "prompts/get")


def test_of_two_limits_that_are_equally_near_the_one_counts_that_lasts_longer() -> None:
    assert nearer(Standing(5, 0, 10), Standing(9, 0, 20)) == Standing(9, 0, 20)
    assert nearer(None, None) is None
