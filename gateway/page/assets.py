"""The page's files: some of our own, beside this module, and those of Swagger UI, out of the package that carries it.

Nothing of that package is imported or run, and of its files those are served that the page names, and no other.
"""

import gzip
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PACKAGE: Final = "swagger_ui"
_OWN: Final = Path(__file__).parent

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".png": "image/png"}

_HERS: Final = {
    "swagger-ui.css": "swagger-ui.css",
    "swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "icon.png": "favicon-32x32.png",
}
"""What is Swagger UI's: our name for it, and hers."""

_OURS: Final = ("page.css", "page.js")

NAMES: Final = frozenset({*_HERS, *_OURS})
"""Every file below the page that there is."""


@dataclass(frozen=True)
class Asset:
    """One file, as it is and as gzip makes it; `tag` is another one whenever the content is."""

    content_type: str
    data: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    tag: str


@cache
def asset(name: str) -> Asset:
    """The file of that name, which is one of NAMES. Reads and packs it once: a tenth of a second for the largest."""
    path = _OWN / name if name in _OURS else _of_swagger_ui(_HERS[name])
    return _asset(_TYPES[path.suffix], path.read_bytes())


def html(below: str) -> Asset:
    """The page itself, whose files are reached at `below`, a path relative to the page's own: a prefix does no harm."""
    text = (_OWN / "page.html").read_text(encoding="utf-8")
    return _asset("text/html; charset=utf-8", text.replace("{below}", below).encode())


def _asset(content_type: str, data: bytes) -> Asset:
    return Asset(content_type, data, gzip.compress(data, mtime=0), sha256(data).hexdigest()[:24])


def _of_swagger_ui(name: str) -> Path:
    spec = find_spec(_PACKAGE)  # of a package that stands in no other, this imports nothing
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "static" / name
