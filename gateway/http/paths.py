"""What stands for a server in a path: no name that a route of the gateway's own has, or may get.

So a method that such a route has not is answered with a 405 there, and not taken for a message to a server 'health'.
"""

from typing import Final

from werkzeug.routing import BaseConverter, Map

from common.config.values import RESERVED_NAMES

PAGE: Final = "/docs"
"""The page on which the API is read and tried."""


def is_page(path: str) -> bool:
    """Whether `path` is the page's, or one of its files'."""
    return path == PAGE or path.startswith(f"{PAGE}/")


class ServerName(BaseConverter):
    """`<server:server>` in a route."""

    regex = rf"(?!(?:{'|'.join(name.replace('.', '[.]') for name in sorted(RESERVED_NAMES))})\Z)[^/]+"
    part_isolating = True


def install(paths: Map) -> None:
    """Let routes of `paths` name it. To be called before there are any."""
    paths.converters["server"] = ServerName
