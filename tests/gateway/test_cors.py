"""What browsers are told of pages of other sites."""

import pytest
from werkzeug.datastructures import Headers

from common.config.cors import Cors, normal_origin
from gateway.http.cors import MAX_NAMES, CrossOrigin

APP = "https://app.example"
CORS = CrossOrigin(Cors(origins=(APP, "http://localhost:6274")))
ASKS = {"Origin": APP, "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize("origin", [APP, "HTTPS://App.Example", f"{APP}:443", "http://localhost:6274"])
def test_a_listed_origin_is_known_however_it_is_written(origin: str) -> None:
    assert CORS.lists(origin)
    assert CORS.answer(origin)["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        None, "", "null", "*", "http://app.example", f"{APP}:444", f"{APP}/", f"{APP}.evil.example", "https://a.app.example",
        "https://evil.example", "http://localhost", "http://localhost:62741", "https://x@app.example",
        "https://app.exam\tple", "https://app.example ", "https://app.example:x", "https://[", "app.example",
    ],
)  # fmt: skip
def test_no_other_origin_is_and_nothing_is_said_to_it(origin: str | None) -> None:
    assert not CORS.lists(origin)
    assert CORS.answer(origin) == {"Vary": "Origin"}
    assert CORS.preflight("OPTIONS", Headers({**ASKS, "Origin": origin or ""}).get) is None


def test_without_a_list_nothing_is_said_at_all() -> None:
    cors = CrossOrigin(None)
    assert not cors.lists(APP)
    assert cors.answer(APP) == {}
    assert cors.preflight("OPTIONS", Headers(ASKS).get) is None


def test_a_browser_that_asks_is_told_what_it_asks_for() -> None:
    wanted = "authorization,mcp-session-id, x-github-token"
    said = CORS.preflight("OPTIONS", Headers({**ASKS, "Access-Control-Request-Headers": wanted}).get)
    assert said == {
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": "authorization, mcp-session-id, x-github-token",
        "Access-Control-Max-Age": "600",
    }


def test_a_private_network_is_allowed_where_that_is_asked() -> None:
    said = CORS.preflight("OPTIONS", Headers({**ASKS, "Access-Control-Request-Private-Network": "true"}).get)
    assert said is not None
    assert said["Access-Control-Allow-Private-Network"] == "true"


def test_what_is_no_name_of_a_header_is_not_repeated() -> None:
    many = ",".join(f"x-{number}" for number in range(100))
    for wanted in ("a b, é, x:y,, *\t*, " + "x" * 65, many):
        said = CORS.preflight("OPTIONS", Headers({**ASKS, "Access-Control-Request-Headers": wanted}).get)
        assert said is not None
        assert len(said.get("Access-Control-Allow-Headers", "").split(",")) <= MAX_NAMES
        assert wanted is many or "Access-Control-Allow-Headers" not in said


def test_only_a_preflight_is_answered_as_one() -> None:
    assert CORS.preflight("GET", Headers(ASKS).get) is None
    assert CORS.preflight("OPTIONS", Headers({"Origin": APP}).get) is None


def test_credentials_are_never_allowed_and_no_wildcard_is_said() -> None:
    said = {**CORS.answer(APP), **(CORS.preflight("OPTIONS", Headers(ASKS).get) or {})}
    assert "Access-Control-Allow-Credentials" not in said
    assert "*" not in said.values()
    assert {"Mcp-Session-Id", "WWW-Authenticate", "Retry-After"} <= set(
        said["Access-Control-Expose-Headers"].split(", ")
    )


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("https://App.Example:443", "https://app.example"),
        ("http://[::1]:6274", "http://[::1]:6274"),
        ("vscode-webview://abc", "vscode-webview://abc"),
    ],
)
def test_an_origin_is_compared_without_what_says_nothing(written: str, compared: str) -> None:
    assert normal_origin(written) == compared


@pytest.mark.parametrize(
    "written", ["*", "null", "https://*.example", "https://a.example/", "a.example", "https://a:b"]
)
def test_what_is_no_origin_is_an_error(written: str) -> None:
    with pytest.raises(ValueError, match="expected an origin as browsers send it"):
        normal_origin(written)
