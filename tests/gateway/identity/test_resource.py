"""What a client learns of where to log in, and where it learns it."""

import json
from typing import Any

import pytest

from common.config.auth import Auth
from gateway.identity.resource import WELL_KNOWN, ProtectedResource, is_described_at, resource_of
from tests.support.tokens import SECRET


def resource(url: str = "https://gw.example", scopes: tuple[str, ...] = (), **keys: Any) -> ProtectedResource:
    """The one of a configuration with this URL."""
    jwt = {"issuer": "https://a", "audience": "x", "secret": SECRET, "required_scopes": scopes}
    oauth = {"resource": url, "authorization_servers": ["https://a"], **keys}
    found = resource_of(Auth.model_validate({"jwt": [jwt], "oauth": oauth}))
    assert found is not None
    return found


def test_without_oauth_there_is_none() -> None:
    assert resource_of(Auth()) is None


def test_the_document_says_whose_tokens_are_good_and_for_what() -> None:
    assert json.loads(resource(scopes=("mcp", "b"), scopes_supported=["a", "b"]).document) == {
        "resource": "https://gw.example",
        "authorization_servers": ["https://a"],
        "bearer_methods_supported": ["header"],
        "resource_name": "mcp-gateway",
        "scopes_supported": ["a", "b", "mcp"],
    }
    assert "scopes_supported" not in json.loads(resource().document)


@pytest.mark.parametrize("below", ["", "/", "/fs", "/fs/mcp", "/base", "/base/fs/mcp", "/no-such-server", "//fs"])
def test_it_is_found_below_every_path_so_that_nobody_learns_which_servers_there_are(below: str) -> None:
    assert is_described_at(WELL_KNOWN + below)


@pytest.mark.parametrize("path", ["/.well-known/", "/.well-known/oauth-authorization-server", f"{WELL_KNOWN}x", "/fs"])
def test_it_is_found_nowhere_else(path: str) -> None:
    assert not is_described_at(path)


def test_the_challenge_says_where_the_document_is_and_what_was_wrong() -> None:
    where = f'resource_metadata="https://gw.example{WELL_KNOWN}"'
    assert resource().challenge("") == f"Bearer {where}"
    assert resource().challenge("invalid_token") == f'Bearer error="invalid_token", {where}'
    both = resource("https://gw.example:8443/base/", scopes=("a", "b")).challenge("insufficient_scope")
    there = f"https://gw.example:8443{WELL_KNOWN}/base"
    assert both == f'Bearer error="insufficient_scope", scope="a b", resource_metadata="{there}"'
