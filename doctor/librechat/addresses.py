"""Where an entry's URL leads: LibreChat keeps away from private addresses that it is not allowed. No I/O, no DNS."""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, urlsplit

from doctor.findings import Verdict
from doctor.librechat.context import GatewayFacts, Said, port_of, split
from doctor.librechat.document import Document, Entry

_CHECK: Final = "address"
_SUFFIXES: Final = (".internal", ".local", ".localhost")
_BARE: Final = frozenset({"localhost", "api", "backend", "internal", "redis"})


def is_private(host: str) -> bool:
    """Whether LibreChat takes `host` for one of an inner network by its looks."""
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in _BARE or host.endswith(_SUFFIXES)
    return not address.is_global


def allowed(entry: Entry, document: Document) -> Iterator[Said]:
    """Whether `mcpSettings` lets LibreChat go there."""
    if entry.kind == "stdio" or not entry.url:
        return
    url = split(entry.url)
    if url is None:
        text = (
            "the host or the port of this URL is a variable, or it is no URL: whether LibreChat may go there is unknown"
        )
        yield Said(("url",), Verdict.UNKNOWN, _CHECK, text, "mcpSettings.allowedAddresses, if it is a private address")
        return
    domains, addresses = document.setting("allowedDomains"), document.setting("allowedAddresses")
    host = (url.hostname or "").lower()
    exact = f"[{host}]:{port_of(url)}" if ":" in host else f"{host}:{port_of(url)}"
    if domains is not None:
        if not any(_is_in(url, each) for each in domains):
            text = "mcpSettings.allowedDomains does not name this host, so LibreChat refuses it"
            also = "; next to it allowedAddresses are not looked at" if addresses is not None else ""
            yield Said(("url",), Verdict.FAILED, _CHECK, text + also, f"add '{host}' to allowedDomains")
    elif is_private(host) and exact not in {each.lower() for each in addresses or ()}:
        text = "LibreChat keeps away from this address, which is a private one"
        if host in {each.lower() for each in addresses or ()}:
            text = "allowedAddresses names this host without its port, which LibreChat does not understand"
        yield Said(("url",), Verdict.FAILED, _CHECK, text, f"mcpSettings: {{allowedAddresses: ['{exact}']}}")
    elif "." not in host and ":" not in host and exact not in {each.lower() for each in addresses or ()}:
        text = "a name without a dot is mostly one of an inner network, which LibreChat keeps away from"
        yield Said(("url",), Verdict.WARNING, _CHECK, text, f"mcpSettings: {{allowedAddresses: ['{exact}']}}")


def _is_in(url: SplitResult, pattern: str) -> bool:
    """Whether `url` is what `pattern` allows: a host, `*.` for those below it too, with a scheme and a port or not."""
    wanted = urlsplit(pattern.lower() if "://" in pattern else f"//{pattern.lower()}")
    try:
        port = wanted.port
    except ValueError:
        return False
    if (wanted.scheme and wanted.scheme != url.scheme) or (port is not None and port != port_of(url)):
        return False
    host, name = (url.hostname or "").lower(), wanted.hostname or ""
    if name.startswith("*."):
        return host == name[2:] or host.endswith(name[1:])
    return host == name


def route(entry: Entry, gateway: GatewayFacts | None) -> Iterator[Said]:
    """Whether the URL is one that the gateway serves."""
    found = gateway.server_of(entry) if gateway is not None else None
    if gateway is None or found is None:
        return
    if found[1] is not None:
        url = split(entry.url)
        if url is not None and (url.hostname or "").lower() in gateway.hosts and port_of(url) != gateway.port:
            text = f"the gateway listens on port {gateway.port}, and this URL has port {port_of(url)}"
            remedy = f"port {gateway.port}, unless something in between passes it on"
            yield Said(("url",), Verdict.WARNING, "url", text, remedy)
        return
    known = ", ".join(sorted(gateway.servers)) or "none"
    text = f"the gateway has no server '{found[0][:32]}'; it has {known}"
    yield Said(("url",), Verdict.FAILED, "url", text, "url: …/SERVER/mcp with one of these")
