"""What the file may say of how much, and the one line for each thing that is wrong with it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from common.config.amounts import USER_CALLS_IN_FLIGHT, USER_CHILDREN, USER_SESSIONS, KeyQuota, UserQuota
from common.config.load import Settings, load
from common.config.model import GatewaySettings
from common.config.source import ConfigError
from common.config.values import REVEAL_SECRETS

DOCS = Path(__file__).parents[2] / "docs"

Loader = Callable[..., Settings]

AUTH: dict[str, Any] = {"basic": {"credentials": [{"username": "ci", "password": "x"}]}}
FRONT: dict[str, Any] = {"auth": AUTH, "trust_user_header": "X-Gateway-User", "trusted_fronts": ["ci"]}
SERVERS = {"github": {"command": "run"}, "slow": {"command": "run"}}


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """What a file with these keys says."""

    def read(**keys: Any) -> Settings:
        path = tmp_path / "config.yaml"
        with path.open("w") as file:
            YAML().dump({"servers": SERVERS, **keys}, file)
        return load(path, {})

    return read


@pytest.fixture
def complaints(loaded: Loader) -> Callable[..., list[str]]:
    """What is said of a file with these keys, without where it stands."""

    def read(**keys: Any) -> list[str]:
        with pytest.raises(ConfigError) as error:
            loaded(**keys)
        return [f"{problem.key}: {problem.text}" for problem in error.value.problems]

    return read


def test_the_sample_of_the_page_loads(loaded: Loader) -> None:
    [sample] = re.findall(r"```yaml\n(.*?)```", (DOCS / "quotas.md").read_text(), re.DOTALL)
    settings = loaded(auth=AUTH, **YAML(typ="safe").load(sample))
    amounts = settings.gateway.amounts
    assert settings.supervisor.max_user_sessions == 10
    assert amounts.quotas.user == UserQuota(sessions=100, calls_in_flight=20)
    assert amounts.quotas.keys == {"ci": KeyQuota(sessions=5, children=2, calls_in_flight=500)}
    assert [(rule.per, rule.limit, rule.server, rule.tool) for rule in amounts.rate_limits][:3] == [
        (("user",), "120/minute", "*", None),
        (("user",), "10/minute", "github", "search_*"),
        (("tool", "user"), "1000/day", "github", None),
    ]


def test_without_a_front_nobody_is_limited_who_is_not_limited_by_the_file(loaded: Loader) -> None:
    settings = loaded(auth=AUTH)
    assert settings.gateway.amounts.quotas.user == UserQuota()
    assert settings.supervisor.max_user_sessions is None


def test_with_a_front_each_of_its_users_is_and_the_page_says_how(loaded: Loader) -> None:
    settings = loaded(**FRONT)
    user = UserQuota(sessions=USER_SESSIONS, calls_in_flight=USER_CALLS_IN_FLIGHT)
    assert settings.gateway.amounts.quotas.user == user
    assert settings.gateway.amounts.quotas.key == KeyQuota()
    assert settings.supervisor.max_user_sessions == USER_CHILDREN
    page = (DOCS / "quotas.md").read_text()
    for key, default in (
        ("max_user_sessions", USER_CHILDREN),
        ("quotas.user.sessions", USER_SESSIONS),
        ("quotas.user.calls_in_flight", USER_CALLS_IN_FLIGHT),
    ):
        assert f"| `{key}` | none; {default} with `trust_user_header` |" in page


def test_null_is_no_limit_even_so(loaded: Loader) -> None:
    settings = loaded(**FRONT, max_user_sessions=None, quotas={"user": {"sessions": None, "calls_in_flight": None}})
    assert settings.gateway.amounts.quotas.user == UserQuota()
    assert settings.supervisor.max_user_sessions is None


def test_the_gateway_gets_all_of_it_and_the_password_of_redis(loaded: Loader) -> None:
    url = "redis://:s3cret@localhost:6379/1"
    rules = [{"per": ["user", "tool"], "limit": "3/hour"}]
    settings = loaded(**FRONT, quotas={"keys": {"ci": {"children": 3}}}, rate_limits=rules, rate_limit_storage=url)
    assert "s3cret" not in repr(settings.gateway) + settings.gateway.model_dump_json()
    crossed = GatewaySettings.model_validate_json(settings.gateway.model_dump_json(context=REVEAL_SECRETS))
    assert crossed == settings.gateway
    assert crossed.amounts.rate_limit_storage is not None
    assert crossed.amounts.rate_limit_storage.get_secret_value() == url
    assert "s3cret" not in settings.supervisor.model_dump_json(context=REVEAL_SECRETS)


RATE = "expected a number of requests and a time, such as 60/minute, 10/30 seconds or 1000/hour"
REDIS = (
    "rate_limit_storage: expected a URL such as redis://localhost:6379/0, rediss://:password@host:6379/0 or "
    "redis+unix:///run/redis/redis.sock"
)
NO_KEY = "no key under 'auth' has this name; a token has one where it is written {name: …, token: …}; there is ci"


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"per": "usr", "limit": "1/hour"}, "per[0]: expected a value 'user', 'key', 'server' or 'tool'"),
        ({"per": [], "limit": "1/hour"}, "per: expected at least one of user, key, server and tool"),
        ({"limit": "1/hour"}, "per: this key is missing; expected a value for it"),
        ({"per": "user"}, "limit: this key is missing; expected a value for it"),
        ({"per": "user", "limit": "5/fortnight"}, f"limit: {RATE}"),
        ({"per": "user", "limit": "1/minute; 5/hour"}, f"limit: {RATE}"),
        ({"per": "user", "limit": 60}, f"limit: {RATE}"),
        ({"per": "user", "limit": "0/hour"}, "limit: expected one request at least"),
        ({"per": "user", "limit": "1/hour", "tools": "x"}, "tools: unknown key; did you mean 'tool'?"),
        (
            {"per": "user", "limit": "1/hour", "server": "gitlab"},
            "server: no server has such a name; there is github, slow",
        ),
        ({"per": "user", "limit": "1/hour", "key": "cd"}, f"key: {NO_KEY}"),
    ],
)
def test_a_rule_that_cannot_hold_is_told_with_its_place(
    complaints: Callable[..., list[str]], rule: dict[str, Any], complaint: str
) -> None:
    good = {"per": "user", "limit": "60/minute", "server": "git*", "key": "ci"}
    assert complaints(auth=AUTH, rate_limits=[good, rule]) == [f"rate_limits[1].{complaint}"]


@pytest.mark.parametrize(
    ("quotas", "complaint"),
    [
        ({"user": {"sessions": 0}}, "quotas.user.sessions: expected a value greater than or equal to 1"),
        ({"usr": {}}, "quotas.usr: unknown key; did you mean 'user'?"),
        ({"key": {"childs": 1}}, "quotas.key.childs: unknown key; did you mean 'children'?"),
        ({"keys": {"ci": {"childs": 1}}}, "quotas.keys.ci.childs: unknown key; did you mean 'children'?"),
        ({"keys": {"cd": {}}}, f"quotas.keys.cd: {NO_KEY}"),
        (
            {"user": {"children": 1}},
            "quotas.user: how many children a user may have is 'max_user_sessions', for all servers or for one",
        ),
    ],
)
def test_a_quota_that_cannot_hold_is_told_with_its_place(
    complaints: Callable[..., list[str]], quotas: dict[str, Any], complaint: str
) -> None:
    assert complaints(auth=AUTH, quotas=quotas) == [complaint]


@pytest.mark.parametrize(
    "url",
    [
        "memory",
        "redis://",
        "redis+unix://",
        "http://s3cret",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@host/0?size=3",
        "redis://:s3cret@host/0?socket_timeout=long",
    ],
)
def test_what_is_no_redis_is_found_at_once_and_never_quoted(complaints: Callable[..., list[str]], url: str) -> None:
    assert complaints(rate_limits=[{"per": "user", "limit": "1/hour"}], rate_limit_storage=url) == [REDIS]


@pytest.mark.parametrize("url", ["redis://host", "rediss://:s3cret@host:6380/3", "redis+unix:///run/r.sock?db=1"])
def test_any_redis_will_do(loaded: Loader, url: str) -> None:
    assert loaded(rate_limits=[{"per": "user", "limit": "1/hour"}], rate_limit_storage=url)


def test_a_place_to_count_without_anything_to_count_is_a_mistake(complaints: Callable[..., list[str]]) -> None:
    found = complaints(rate_limit_storage="redis://localhost")
    assert found == ["rate_limit_storage: there is nothing to be counted; expected 'rate_limits', too"]
