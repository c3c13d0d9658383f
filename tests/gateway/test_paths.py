"""What a path stands for: a server, or something of the gateway's own."""

import pytest
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, Rule

from common.config.values import RESERVED_NAMES
from gateway.http.paths import install


@pytest.fixture
def paths() -> MapAdapter:
    """A few routes."""
    found = Map(strict_slashes=False)
    install(found)
    found.add(Rule("/<server:server>", endpoint="mcp", methods=["GET", "POST"]))
    found.add(Rule("/api/<server:server>/<path:tool>", endpoint="call", methods=["POST"]))
    found.add(Rule("/health", endpoint="health", methods=["GET"]))
    found.add(Rule("/api/v1/tools", endpoint="tools", methods=["GET"]))
    return found.bind("gw.test")


@pytest.mark.parametrize("path", ["/health", "/health/", "/api/v1/tools"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_method_that_a_route_has_not_is_no_message_to_a_server(paths: MapAdapter, path: str, method: str) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        paths.match(path, method)
    assert set(refused.value.valid_methods or ()) - {"HEAD"} == {"GET"}


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES - {"health"}))
def test_there_is_nothing_where_a_server_cannot_be(paths: MapAdapter, name: str) -> None:
    for path in (f"/{name}", f"/api/{name}/x"):
        with pytest.raises(NotFound):
            paths.match(path, "POST")


@pytest.mark.parametrize("name", ["healthy", "my-api", "openapi-json", "openapixjson", "v1.1", "apis", "x"])
def test_any_other_name_may_be_a_servers(paths: MapAdapter, name: str) -> None:
    assert paths.match(f"/{name}", "POST") == ("mcp", {"server": name})
    assert paths.match(f"/api/{name}/health", "POST") == ("call", {"server": name, "tool": "health"})
