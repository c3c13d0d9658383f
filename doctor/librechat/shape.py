"""What an entry must look like for LibreChat to take it as it is meant: its type, its keys, its times. No I/O."""

import difflib
import re
from collections.abc import Iterator
from typing import Final

from doctor.findings import Verdict
from doctor.librechat.context import GatewayFacts, Said
from doctor.librechat.document import Entry
from doctor.librechat.placeholders import ANY

KINDS: Final = ("stdio", "sse", "streamable-http", "http", "websocket")
_KEYS: Final = frozenset(
    """type title description iconPath startup chatMenu timeout initTimeout sseReadTimeout serverInstructions
    requiresOAuth oauth oauth_headers apiKey customUserVars oauthRefreshWaitTimeout oauthRefreshCoordination
    oauthPersistenceWaitTimeout command args env stderr cwd url headers requestHeaders obo proxy""".split()
)
_TITLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '-]*")
_TIMES: Final = ("timeout", "initTimeout", "sseReadTimeout")
_DEFAULT_INIT: Final = 30_000
"""Milliseconds, whatever LibreChat's own documentation says; where a chat connects again, more is not to be had."""

_COMMENT_EVERY: Final = 15
"""Seconds between two signs of life on an event stream of the gateway."""


def kind(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """`type`, which LibreChat guesses where it is left out, and `url`."""
    yield from _url(entry)
    written = entry.values.get("type")
    if written is not None and written not in KINDS:
        yield Said(("type",), Verdict.FAILED, "type", "LibreChat knows no such type", "write streamable-http")
        return
    door = entry.url.split("?")[0].rstrip("/").rpartition("/")[2]
    if entry.kind == "sse" and door == "mcp":
        said = "without `type` LibreChat speaks HTTP+SSE" if written is None else "`type: sse` speaks HTTP+SSE"
        yield Said(
            ("type",), Verdict.FAILED, "type", f"{said}, but this is a URL of Streamable HTTP", "type: streamable-http"
        )
    elif entry.kind == "streamable-http" and door == "sse" and gateway is not None and gateway.server_of(entry):
        yield Said(("type",), Verdict.FAILED, "type", "this is a URL of HTTP+SSE", "let the URL end in /mcp")
    elif written is None and entry.kind == "sse" and entry.url:
        text = "without `type` LibreChat speaks HTTP+SSE, which its own documentation advises against"
        yield Said((), Verdict.WARNING, "type", text, "type: streamable-http, and a URL that ends in /mcp")


def _url(entry: Entry) -> Iterator[Said]:
    if entry.kind == "stdio":
        for key in ("command", "args"):
            if key not in entry.values:
                yield Said((), Verdict.FAILED, "type", f"a stdio server needs `{key}`", f"add `{key}`")
        return
    if not entry.url:
        yield Said(("url",), Verdict.FAILED, "url", "expected a URL", "url: http://HOST:3000/SERVER/mcp")
    elif entry.url != entry.url.strip() or re.search(r"\s", entry.url):
        yield Said(("url",), Verdict.FAILED, "url", "there are blanks in the URL", "take them out")
    elif entry.kind == "websocket" and not _begins(entry.url, "ws"):
        yield Said(
            ("url",), Verdict.FAILED, "url", "a websocket server needs a URL of ws: or wss:", "change one of both"
        )
    elif entry.kind in ("sse", "streamable-http") and not _begins(entry.url, "http"):
        yield Said(("url",), Verdict.FAILED, "url", "this type needs a URL of http: or https:", "change one of both")


def _begins(url: str, scheme: str) -> bool:
    """Whether `url` is one of that scheme, secure or not; one that begins with a variable may be."""
    return url.startswith((f"{scheme}://", f"{scheme}s://", "${", "{{"))


def keys(entry: Entry, _: GatewayFacts | None) -> Iterator[Said]:
    """Keys that are misspelt, and a title that LibreChat refuses."""
    for key in entry.values:
        nearest = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.8) if key not in _KEYS else []
        if nearest:
            yield Said(
                (key,), Verdict.WARNING, "keys", f"LibreChat knows no key '{key}'", f"did you mean '{nearest[0]}'?"
            )
    title = entry.values.get("title")
    if isinstance(title, str) and not _TITLE.fullmatch(title):
        text = "LibreChat refuses such a title"
        yield Said(("title",), Verdict.FAILED, "title", text, "letters, digits, blanks, '-' and apostrophes alone")
    for name in entry.mapping("headers"):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            yield Said(
                ("headers", name), Verdict.FAILED, "keys", "no header can have this name", "take out blanks and colons"
            )


def oauth_probe(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """Whether LibreChat asks the URL, without its headers, if it wants an OAuth login."""
    if entry.kind not in ("sse", "streamable-http") or "requiresOAuth" in entry.values or ANY.search(entry.url):
        return
    if entry.mapping("oauth") or not entry.url:
        return
    ours = gateway is not None and gateway.server_of(entry) is not None
    if ours and gateway is not None and gateway.challenges_bearer:
        text = "LibreChat asks this URL without credentials, and takes the 401 for a wish for an OAuth login"
        yield Said((), Verdict.FAILED, "OAuth probe", text, "requiresOAuth: false, or true if users are to log in")
    else:
        text = "LibreChat asks this URL, without these headers, whether it wants an OAuth login"
        yield Said((), Verdict.WARNING, "OAuth probe", text, "requiresOAuth: false")


def times(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """The timeouts, which are in milliseconds."""
    for key in _TIMES:
        value = entry.values.get(key)
        if value is not None:
            yield from _milliseconds(entry, key, value)
    if gateway is None or not (found := gateway.server_of(entry)) or found[1] is None:
        return
    server = found[1]
    patience = _number(entry, "initTimeout") or _DEFAULT_INIT
    if server.start_timeout * 1000 >= min(patience, _DEFAULT_INIT):
        text = (
            f"LibreChat waits {min(patience, _DEFAULT_INIT) / 1000:g} s for a session, and the gateway "
            f"{server.start_timeout:g} s for the server ('start_timeout')"
        )
        remedy = "a larger initTimeout, up to 30000" if patience < _DEFAULT_INIT else "a smaller start_timeout"
        yield Said(
            ("initTimeout",), Verdict.WARNING, "timeout", text, f"{remedy}: a start must end before LibreChat does"
        )
    timeout = _number(entry, "timeout")
    if timeout > server.request_timeout * 1000:
        text = f"LibreChat waits {timeout / 1000:g} s for a tool, and the gateway {server.request_timeout:g} s"
        yield Said(("timeout",), Verdict.WARNING, "timeout", text, "a larger 'request_timeout' of this server")


def _milliseconds(entry: Entry, key: str, value: object) -> Iterator[Said]:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        yield Said((key,), Verdict.FAILED, "timeout", f"{key}: expected milliseconds, a whole number", "such as 60000")
    elif value == 0:
        text = f"{key}: 0 does not mean for ever; every call times out at once"
        yield Said((key,), Verdict.FAILED, "timeout", text, "leave it out, or write milliseconds")
    elif value < 1000:
        text = f"{key}: {value} is {value} milliseconds"
        yield Said((key,), Verdict.WARNING, "timeout", text, f"{value * 1000} if seconds were meant")
    elif value <= _COMMENT_EVERY * 1000 and key == ("timeout" if entry.kind == "sse" else "sseReadTimeout"):
        text = (
            f"{key}: a stream that is silent for {value / 1000:g} s is broken off, and it may be for {_COMMENT_EVERY}"
        )
        yield Said((key,), Verdict.WARNING, "timeout", text, "30000 or more")


def _number(entry: Entry, key: str) -> int:
    value = entry.values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
