"""How bytes that a child supplies are labelled, so that no browser makes more of them than a picture or a sound. No I/O.

What a child says is not believed: it may be somebody's page, with the gateway's own origin. So all but raster images and
audio are to be saved, not shown, and whatever is shown all the same gets a sandbox.
"""

import mimetypes
import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from gateway.rest.contents import OCTETS, Block

SHOWN: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"})
"""Images that are pixels alone; SVG is a document, with scripts."""

_PART_OF_A_PAGE: Final = re.compile("(?:java|ecma|live|j)script|/css")
"""Types of scripts and styles: neither sandbox nor attachment keeps a page from making use of one."""

SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"

LONGEST_NAME: Final = 100
"""Characters of a file's name."""

_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f-\x9f"\\/:*?<>|%\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
"""What one system or another takes for something else in a file's name, or what turns its letters round."""


def headers(block: Block, type_: str) -> dict[str, str]:
    """The headers with which `block` is sent, as `type_`."""
    if _PART_OF_A_PAGE.search(type_):
        type_ = OCTETS
    found = {
        "Content-Type": f"{type_}; charset=utf-8" if _is_text(block, type_) else type_,
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if not is_shown(type_):
        found["Content-Disposition"] = disposition(file_name(block))
    return found


def is_shown(type_: str) -> bool:
    """Whether a browser may show it, or play it."""
    return type_ in SHOWN or type_.startswith("audio/")


def file_name(block: Block) -> str:
    """What a file with it might be called: as the last part of its URI, if that is fit to be a name."""
    named = _last_part(block.uri)
    return named or f"content-{block.index}{mimetypes.guess_extension(block.type) or '.bin'}"


def disposition(name: str) -> str:
    """The value of `Content-Disposition` for a file `name` to be saved (RFC 6266, section 4.1, and RFC 8187)."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"


def _last_part(uri: str) -> str:
    try:
        path = urlsplit(uri).path or urlsplit(uri).netloc
    except ValueError:
        return ""
    last = unquote(path.rstrip("/").rpartition("/")[2], errors="replace")
    return _UNFIT.sub("_", last)[:LONGEST_NAME].strip(". ")


def _is_text(block: Block, type_: str) -> bool:
    return not block.is_base64 and type_.startswith("text/")
