"""What stands for a server in a path: no name that a route of the gateway's own has, or may get.

So a method that such a route has not is answered with a 405 there, and not taken for a message to a server 'health'.
"""

from werkzeug.routing import BaseConverter, Map

from common.config.values import RESERVED_NAMES


class ServerName(BaseConverter):
    """`<server:server>` in a route."""

    regex = rf"(?!(?:{'|'.join(name.replace('.', '[.]') for name in sorted(RESERVED_NAMES))})\Z)[^/]+"
    part_isolating = True


def install(paths: Map) -> None:
    """Let routes of `paths` name it. To be called before there are any."""
    paths.converters["server"] = ServerName
