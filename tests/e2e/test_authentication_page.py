"""What docs/authentication.md prints works as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from common.config.auth import ApiKeyAuth, Auth, BasicAuth, BearerAuth
from common.config.load import load
from common.config.model import Model
from common.config.tokens import JwtIssuer, OAuth
from common.hashes import sha256_of
from gateway.identity import jwks, slow, tokens
from tests.e2e.test_docs import blocks
from tests.support.gateway import ROOT

PAGE = (ROOT / "docs" / "authentication.md").read_text()


@pytest.mark.parametrize("sample", blocks(PAGE, "yaml"))
def test_each_sample_is_a_configuration(sample: str, tmp_path: Path) -> None:
    (tmp_path / "librechat.token").write_text("a token\n")
    (tmp_path / "config.yaml").write_text(f"{sample}servers: {{notepad: {{command: mcp-notepad}}}}\n")
    hash_ = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("hunter2")
    auth = load(tmp_path / "config.yaml", {"ANN_HASH": hash_, "MCP_GATEWAY_TOKEN": "t"}).gateway.auth
    assert auth.is_on
    assert [each.required_scopes for each in auth.jwt] == [("mcp",)]


def test_the_commands_print_a_hash_of_each_kind() -> None:
    [commands] = blocks(PAGE, "sh")
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-euc", commands], check=True, capture_output=True, text=True, env=environment)
    slowly, made, hashed = done.stdout.splitlines()
    assert PasswordHasher().verify(slowly, "correct horse battery staple")
    assert hashed == f"hash: {sha256_of(made.removeprefix('token: '))}"


def test_every_key_is_in_the_table() -> None:
    groups: dict[str, type[Model]] = {"basic": BasicAuth, "bearer": BearerAuth, "api_keys": ApiKeyAuth, "oauth": OAuth}
    keys = [f"auth.{group}.{key}" for group, model in groups.items() for key in model.model_fields]
    table = PAGE.partition("## Keys")[2]
    for key in keys:
        assert f"`{key}`" in table, key
    for key in JwtIssuer.model_fields:
        assert re.search(rf"`(auth\.jwt\[\]\.)?{key}`", table), key
    assert {*groups, "jwt"} == Auth.model_fields.keys()
    assert f"| `auth.jwt[].leeway` | `{JwtIssuer.model_fields['leeway'].default:g}s` |" in table


def test_the_figures_are_those_of_the_code() -> None:
    assert (slow.WRONG_AT_ONCE, slow.WRONG_PER_SECOND) == (10, 0.5)
    assert (jwks.FRESH, jwks.AT_ONCE, jwks.RATE) == (600, 5, 0.1)
    assert tokens.LARGEST == 16 * 1024
