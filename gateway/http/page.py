"""`GET /docs`: the page on which the API is read and tried.

It and its files hold no secret and are everybody's: a browser that follows a link has no credentials to send. The
document that it shows is not, and the page asks for it with what its reader enters.

The policy allows nothing but what comes from here, and no script in the page's text: a server's description can do
nothing there, whatever it says.
"""

from functools import cache
from typing import Final

from anyio.to_thread import run_sync
from quart import Blueprint, Response, request

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http import bodies
from gateway.page.assets import NAMES, Asset, asset, html

PAGE: Final = "/docs"

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


def is_page(path: str) -> bool:
    """Whether `path` is the page's, or one of its files'."""
    return path == PAGE or path.startswith(f"{PAGE}/")


class PageDoor:
    """The handlers."""

    def blueprint(self) -> Blueprint:
        """`/docs`, and its files below."""
        routes = Blueprint("page", __name__)
        file = f"{PAGE}/<name>"
        routes.add_url_rule(PAGE, "get", self.get, methods=["GET"], provide_automatic_options=False)
        routes.add_url_rule(file, "file", self.get_file, methods=["GET"], provide_automatic_options=False)
        return routes

    async def get(self) -> Response:
        """The page. Its files are named relative to it, with a slash at its end or without."""
        return _answer(_html("" if request.path.endswith("/") else f"{PAGE[1:]}/"))

    async def get_file(self, name: str) -> Response:
        """One of its files."""
        if name not in NAMES:
            raise GatewayError(Reason.ROUTE_NOT_FOUND, "there is nothing at this path")
        return _answer(await run_sync(asset, name))


def _answer(file: Asset) -> Response:
    """The file, packed for whoever takes that; nothing for a browser that has it already."""
    packs = bool(request.accept_encodings["gzip"])
    tag = f"{file.tag}-gzip" if packs else file.tag
    headers = {**_HEADERS, "ETag": f'"{tag}"'}
    if request.if_none_match.contains(tag):
        return bodies.empty(304, headers)
    if packs:
        headers["Content-Encoding"] = "gzip"
    data = file.packed if packs else file.data
    return Response(data, headers=headers, content_type=file.content_type)
