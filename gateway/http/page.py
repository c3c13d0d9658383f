"""`GET /docs`: the page on which the API is read and tried.

It and its files hold no secret and are everybody's: a browser that follows a link has no credentials to send. The
document that it shows is not, and the page asks for it with what its reader enters.

The policy allows nothing but what comes from here, and no script in the page's text: a server's description can do
nothing there, whatever it says.
"""

from functools import cache
from typing import Final

from anyio.to_thread import run_sync
from quart import Blueprint, request

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import bodies
from gateway.http.paths import PAGE
from gateway.http.quarted import add
from gateway.page.assets import NAMES, Asset, asset, html

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",  # kept, but asked about
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Frame-Options": "DENY",
}

_html: Final = cache(html)


class PageDoor:
    """The handlers."""

    def blueprint(self) -> Blueprint:
        """`/docs`, and its files below."""
        routes = Blueprint("page", __name__)
        file = f"{PAGE}/<name>"
        add(routes, PAGE, "get", self.get, "GET")
        add(routes, file, "file", self.get_file, "GET")
        return routes

    async def get(self) -> Reply:
        """The page. Its files are named relative to it, with a slash at its end or without."""
        return _answer(_html("" if request.path.endswith("/") else f"{PAGE[1:]}/"))

    async def get_file(self, name: str) -> Reply:
        """One of its files."""
        if name not in NAMES:
            raise GatewayError(Reason.ROUTE_NOT_FOUND, "there is nothing at this path")
        return _answer(await run_sync(asset, name))


def _answer(file: Asset) -> Reply:
    """The file, packed for whoever takes that; nothing for a browser that has it already."""
    packs = bool(request.accept_encodings["gzip"])
    tag = f"{file.tag}-gzip" if packs else file.tag
    headers = {**_HEADERS, "ETag": f'"{tag}"'}
    if request.if_none_match.contains(tag):
        return bodies.empty(304, headers)
    if packs:
        headers["Content-Encoding"] = "gzip"
    data = file.packed if packs else file.data
    return Reply(200, data, [("Content-Type", file.content_type), *headers.items()])
