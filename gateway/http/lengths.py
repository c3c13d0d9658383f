"""A request of which it can be doubted where it ends. No I/O.

With both a length and a chunked body, the chunks count (RFC 9112, section 6.3), and the HTTP library reads them so. A
proxy in front that counts otherwise would see one request where we see two, so such a one is refused, and its connection
carries no other (section 6.1).
"""

from collections.abc import Callable

from gateway.errors import bad_request

Header = Callable[[str], str | None]
"""The first value of a header of the request, by its name in lower case."""


def is_doubtful(header: Header) -> bool:
    """Whether the request says twice how long it is."""
    return header("transfer-encoding") is not None and header("content-length") is not None


def check_length(header: Header) -> None:
    """Raises GatewayError for a doubtful one."""
    if is_doubtful(header):
        raise bad_request("expected either Content-Length or Transfer-Encoding, not both")
