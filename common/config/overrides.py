"""Where the gateway listens, from the environment: what wins over the file, whatever its dialect."""

from collections.abc import Iterator, Mapping
from typing import Final

PORT: Final = "MCP_GATEWAY_PORT"
HOST: Final = "MCP_GATEWAY_HOST"


def overrides(environ: Mapping[str, str]) -> dict[str, object]:
    """The keys of the file that `environ` has in its place. A variable without a value says nothing.

    Kubernetes gives every container of a namespace that has a service called mcp-gateway an MCP_GATEWAY_PORT of its own,
    such as tcp://10.0.0.1:80, which says where that service is: it is nothing to us.
    """
    found: dict[str, object] = {}
    if environ.get(HOST):
        found["hostname"] = environ[HOST]
    port = environ.get(PORT, "")
    if port and not port.startswith("tcp://"):
        found["port"] = int(port) if _is_port(port) else port
    return found


def mistakes_in(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that cannot be used, and why."""
    port = overrides(environ).get("port")
    if isinstance(port, str):
        yield PORT, "this environment variable wins over the file; expected a whole number from 0 to 65535"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
