"""What the specification of the protocol names: revisions, error codes, members of `_meta`, headers, kinds of methods.

The SDK has all of this, too, behind models of every message of every revision, which take most of a second to import.
`tests/gateway/test_specification.py` compares the two. No I/O.
"""

from collections.abc import Mapping
from typing import Final

HANDSHAKE_PROTOCOL_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions that begin with `initialize`, the oldest first."""

MODERN_PROTOCOL_VERSIONS: Final = ("2026-07-28",)
"""The revisions whose every request says all that it takes to answer it."""

LATEST_HANDSHAKE_VERSION: Final = HANDSHAKE_PROTOCOL_VERSIONS[-1]
LATEST_MODERN_VERSION: Final = MODERN_PROTOCOL_VERSIONS[-1]

# JSON-RPC 2.0, section 5.1.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

HEADER_MISMATCH: Final = -32020
"""2026-07-28: headers and body disagree."""
MISSING_REQUIRED_CLIENT_CAPABILITY: Final = -32021
"""2026-07-28: the client does not declare what it would take to answer."""
UNSUPPORTED_PROTOCOL_VERSION: Final = -32022
"""2026-07-28: the revision is not served."""
URL_ELICITATION_REQUIRED: Final = -32042
"""2025-11-25 alone: the user has to go somewhere first."""

ERROR_CODE_HTTP_STATUS: Final[Mapping[int, int]] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_REQUIRED_CLIENT_CAPABILITY: 400,
    UNSUPPORTED_PROTOCOL_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
"""2026-07-28: the status of an answer that is an error; of any other error it is 200."""

_PREFIX: Final = "io.modelcontextprotocol/"
PROTOCOL_VERSION_META_KEY: Final = f"{_PREFIX}protocolVersion"
CLIENT_CAPABILITIES_META_KEY: Final = f"{_PREFIX}clientCapabilities"
CLIENT_INFO_META_KEY: Final = f"{_PREFIX}clientInfo"
SERVER_INFO_META_KEY: Final = f"{_PREFIX}serverInfo"
LOG_LEVEL_META_KEY: Final = f"{_PREFIX}logLevel"
SUBSCRIPTION_ID_META_KEY: Final = f"{_PREFIX}subscriptionId"

# Names of headers, in small letters.
MCP_PROTOCOL_VERSION_HEADER: Final = "mcp-protocol-version"
MCP_METHOD_HEADER: Final = "mcp-method"
MCP_NAME_HEADER: Final = "mcp-name"
MCP_PARAM_HEADER_PREFIX: Final = "mcp-param-"

NAMED_BY: Final[Mapping[str, str]] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Which member of a method's params the header `Mcp-Name` repeats."""

CACHEABLE_METHODS: Final = frozenset(
    {
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "server/discover",
        "tools/list",
    }
)
"""2026-07-28: their results say how long they are fresh, and for whom."""

INPUT_REQUIRED_METHODS: Final = frozenset({"prompts/get", "resources/read", "tools/call"})
"""2026-07-28: their results may be questions."""


def is_at_least(version: str, oldest: str) -> bool:
    """Whether `version` is a revision that is known, and `oldest` or newer."""
    known = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
    return version in known and known.index(version) >= known.index(oldest)
