"""docs/librechat.md says what is so: its samples are good, the tests run with them, and each rule has a test."""

import re
from pathlib import Path

from ruamel.yaml import YAML

from common.config.load import load
from tests.e2e.test_docs import blocks
from tests.support.gateway import ROOT
from tests.support.librechat import ENVIRONMENT, OPERATORS, SNIPPET

PAGE = (ROOT / "docs" / "librechat.md").read_text()


def test_the_gateways_sample_loads_and_is_what_the_tests_run_with(tmp_path: Path) -> None:
    sample, _ = blocks(PAGE, "yaml")
    path = tmp_path / "config.yaml"
    path.write_text(sample)
    settings = load(path, {"MCP_GATEWAY_TOKEN": "secret"}).gateway
    written = YAML(typ="safe").load(sample)
    [token] = written["auth"]["bearer"]["tokens"]
    [used] = OPERATORS["auth"]["bearer"]["tokens"]
    assert token["name"] == used["name"] == settings.users.trusted_fronts[0]
    assert {key: written[key] for key in ("trust_user_header", "trusted_fronts")} == {
        key: OPERATORS[key] for key in ("trust_user_header", "trusted_fronts")
    }


def test_librechats_sample_keeps_its_rules_and_is_what_the_tests_run_with() -> None:
    _, sample = blocks(PAGE, "yaml")
    written = YAML(typ="safe").load(sample)
    [(name, entry)] = written["mcpServers"].items()
    assert {key: entry[key] for key in SNIPPET} == SNIPPET
    assert written["mcpSettings"]["allowedAddresses"][0] in entry["url"]
    assert entry["url"].endswith(f"/{name}/mcp")
    assert entry["timeout"] == 300_000  # the gateway's request_timeout
    assert entry["initTimeout"] >= 25_000  # above its start_timeout
    [env] = blocks(PAGE, "sh")
    assert f"MCP_CB_MAX_CYCLES={ENVIRONMENT['breaker']['maxCycles']}" in env


def test_each_rule_has_its_row_and_a_test_that_bears_its_name() -> None:
    rows = [line for line in PAGE.partition("## The rules")[2].splitlines() if re.match(r"\| R\d", line)]
    named = [re.findall(r"`(r\d\d)`", row.rpartition(" | ")[2]) for row in rows]
    assert named == [[f"r{number:02}"] for number in range(1, 21)]
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    found = set(re.findall(r"def test_(r\d\d)_", tests))
    assert found == {f"r{number:02}" for number in range(1, 21)}
