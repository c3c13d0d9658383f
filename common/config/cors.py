"""Which pages of other sites may use the gateway from a browser."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from common.config.base import Model
from common.units import Duration

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_EXPECTED: Final = "expected an origin as browsers send it, such as https://app.example or http://localhost:6274"


def normal_origin(origin: str) -> str:
    """`origin` as it is compared: in lower case, without its scheme's own port. Raises ValueError where it is none."""
    if " " in origin or not origin.isprintable():  # which urlsplit would overlook
        raise ValueError(_EXPECTED)
    parts = urlsplit(origin.lower())
    rest = (parts.username, parts.password, parts.query, parts.fragment)
    if not parts.hostname or any(rest) or parts.path or "*" in origin or not _SCHEME.fullmatch(parts.scheme):
        raise ValueError(_EXPECTED)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        port = parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _DEFAULT_PORTS.get(parts.scheme)) else "")


Origin = Annotated[str, AfterValidator(normal_origin)]


class Cors(Model):
    """`cors`: origins, each by its whole name; there is no wildcard."""

    origins: Annotated[tuple[Origin, ...], Field(min_length=1)]
    max_age: Duration = 600.0
    """Seconds for which a browser may remember that it may."""
