"""The page on which the API is read and tried, in a browser."""

import json
import sys
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import BY_REFUSAL, Shown, chromium, showing
from tests.support.gateway import NOTEPAD, SERVERS, Gateway, running

pytestmark = pytest.mark.slow

TOKEN = "s3cret-of-ci"
NAME, PASSWORD = "ann", "s3cret: ünd"
KNOWN = {"extra_http_headers": {"Authorization": f"Bearer {TOKEN}"}}
"""A browser that a proxy in front has let in."""

BOASTFUL = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "boastful.py")]}


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that asks who one is."""
    auth = {
        "bearer": {"tokens": [{"name": "ci", "token": TOKEN}]},
        "api_keys": {"keys": [{"name": "key", "key": "s3cret-key"}]},
        "basic": {"credentials": [{"username": NAME, "password": PASSWORD}]},
    }
    servers = {"notepad": NOTEPAD, "boastful": BOASTFUL}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), auth=auth) as gateway:
        yield gateway


@pytest.fixture
async def gateway(module: Gateway) -> AsyncIterator[Gateway]:
    async with module.connecting():
        yield module


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def try_out(shown: Shown, path: str, body: object | None = None) -> str:
    """Call the tool at `path` from the page; what the page shows of the answer."""
    tool = shown.page.locator(".opblock", has=shown.page.locator(f'[data-path="{path}"]'))
    await tool.locator(".opblock-summary").click()
    if body is not None:
        await tool.locator("textarea.body-param__text").fill(json.dumps(body))
    await tool.locator("button.execute").click()
    return await tool.locator(".live-responses-table .response-col_description pre").first.inner_text()


async def test_it_lists_the_tools_gets_a_session_and_a_call_from_it_succeeds(
    gateway: Gateway, browser: Browser
) -> None:
    async with showing(browser, f"{gateway.url}/docs", **KNOWN) as shown:
        await expect(shown.page.locator('[data-path="/api/notepad/add"]')).to_be_visible()
        await shown.page.click("#bar-open")
        await expect(shown.page.locator("#bar-close")).to_be_visible()
        assert "note 1 added" in await try_out(shown, "/api/notepad/add", {"text": "from the page"})
        assert "from the page" in await try_out(shown, "/api/notepad/list")
        await shown.page.click("#bar-close")
        await expect(shown.page.locator("#bar-id")).to_have_text("none")
        assert await shown.page.locator("#bar-login").is_hidden()
        assert shown.complaints == []
        assert [each for each in shown.asked if not each.startswith(f"{gateway.url}/")] == []
    await gateway.gone(1)


async def test_what_a_server_says_is_text_and_does_nothing(gateway: Gateway, browser: Browser) -> None:
    async with showing(browser, f"{gateway.url}/docs", **KNOWN) as shown:
        await shown.page.click("#bar-open")
        await expect(shown.page.locator("#bar-close")).to_be_visible()
        assert "window.hurt" in await try_out(shown, "/api/boastful/boast")
        of_itself = shown.page.locator(".opblock-tag small", has_text="Adds.").first
        await expect(of_itself).to_have_css("overflow-y", "auto")  # however long it is, the tools are beneath it
        tool = shown.page.locator(".opblock.is-open")
        assert "<script>window.hurt = 1</script>" in await tool.inner_text()
        await tool.locator(".model-example button", has_text="Schema").first.click()
        await tool.locator(".json-schema-2020-12-expand-deep-button").first.click()
        await expect(tool.locator(".json-schema-2020-12__title").first).to_be_visible()
        assert await shown.page.evaluate("window.hurt") is None
        in_it = "script:not([src]), iframe, main form, main img, [href^='javascript:' i], main [style*='fixed']"
        assert await shown.page.locator(in_it).count() == 0
        assert shown.complaints == []
        assert [each for each in shown.asked if not each.startswith(f"{gateway.url}/")] == []


async def test_who_has_to_say_who_they_are_says_so_there_and_it_stays_in_the_page(
    gateway: Gateway, browser: Browser
) -> None:
    ways = [("bearer", "", TOKEN, "whoami"), ("key", "", "s3cret-key", "list"), ("basic", NAME, PASSWORD, "clear")]
    async with showing(browser, f"{gateway.url}/docs") as shown:
        page = shown.page
        await expect(page.locator("#bar-said")).to_have_text("This gateway asks who you are.")
        await page.fill("#bar-secret", "wrong")
        await page.click("#bar-enter")
        await expect(page.locator("#bar-said.wrong")).to_be_visible()
        for kind, name, secret, tool in ways:
            await expect(page.locator(".opblock")).to_have_count(0)
            await page.select_option("#bar-kind", kind)
            if name:
                await page.fill("#bar-name", name)
            await page.fill("#bar-secret", secret)
            await page.click("#bar-enter")
            await expect(page.locator('[data-path="/api/notepad/whoami"]')).to_be_visible()
            await page.click("#bar-open")
            await expect(page.locator("#bar-close")).to_be_visible()
            assert '"isError": false' in await try_out(shown, f"/api/notepad/{tool}")
            if kind != "basic":
                await page.click("#bar-leave")
        kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert kept == '[{},{},""]'
        assert [each for each in shown.complaints if BY_REFUSAL not in each] == []
        assert [each for each in shown.asked if "s3cret" in each] == []
        await page.goto("about:blank")  # the session ends with the page
        await gateway.said(r"basic:ann on notepad ended: client_closed")


async def test_the_page_is_everybodys_whatever_they_come_with_and_from_wherever_and_nothing_else_is(
    gateway: Gateway,
) -> None:
    from_afar = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Authorization": "Bearer wrong"}
    page = await gateway.http.get("/docs", headers=from_afar)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert (await gateway.http.get("/openapi.json")).status_code == 401
    assert (await gateway.http.get("/openapi.json", headers=from_afar)).status_code == 403
    assert (await gateway.http.post("/docs", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 405
    assert (await gateway.http.post("/docs")).status_code == 401
    for name in ("index.html", "swagger-ui-bundle.js.map", "..%2F..%2F__init__.py", "page.html", "%00"):
        answer = await gateway.http.get(f"/docs/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found"), name


async def test_a_page_on_another_port_of_this_machine_makes_nothing_of_the_gateway(
    gateway: Gateway, browser: Browser
) -> None:
    async with showing(browser, gateway.url.replace("127.0.0.1", "localhost") + "/docs") as shown:
        asked = """async (url) => {
            const loads = (name, rest) => new Promise((done) => {
                const part = Object.assign(document.createElement(name), rest);
                part.onload = () => done("loaded");
                part.onerror = () => done("refused");
                document.head.append(part);
            });
            const said = await fetch(url + "/api/sessionid", { mode: "no-cors" }).then((x) => x.type, () => "refused");
            return [said, await loads("script", { src: url + "/docs/page.js" })];
        }"""
        await shown.page.route(
            "**/elsewhere", lambda route: route.fulfill(body="<title>x</title>", content_type="text/html")
        )
        await shown.page.goto("http://localhost:1/elsewhere")
        assert await shown.page.evaluate(asked, gateway.url.replace("127.0.0.1", "localhost")) == ["refused", "refused"]


async def test_a_file_that_the_browser_has_is_not_sent_again(gateway: Gateway) -> None:
    first = await gateway.http.get("/docs/swagger-ui-bundle.js")
    assert first.headers["Content-Encoding"] == "gzip"
    plain = await gateway.http.get("/docs/swagger-ui-bundle.js", headers={"Accept-Encoding": "identity"})
    assert plain.content == first.content
    assert plain.headers["ETag"] != first.headers["ETag"]
    again = await gateway.http.get("/docs/swagger-ui-bundle.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
