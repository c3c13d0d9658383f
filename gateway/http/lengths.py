"""A request of which it can be doubted where it ends. No I/O.

With both a length and a chunked body, the chunks count (RFC 9112, section 6.3), and the HTTP library reads them so. A
proxy in front that counts otherwise would see one request where we see two, so such a one is refused, and its connection
carries no other (section 6.1).
"""

from werkzeug.datastructures import Headers

from gateway.errors import bad_request


def is_doubtful(headers: Headers) -> bool:
    """Whether the request says twice how long it is."""
    return "Transfer-Encoding" in headers and "Content-Length" in headers


def check_length(headers: Headers) -> None:
    """Raises GatewayError for a doubtful one."""
    if is_doubtful(headers):
        raise bad_request("expected either Content-Length or Transfer-Encoding, not both")
