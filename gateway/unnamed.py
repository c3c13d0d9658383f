"""Sessions that many users would share without anybody's knowing, and the one line in the log that says so.

LibreChat opens one session for all its users where an entry of `mcpServers` holds nothing that is each user's own. A
child for each session then separates nobody. It looks like any other client, but for its name, and its key's.
"""

from typing import Final

from loguru import logger

from common.once import Once
from gateway.identity.principal import ANONYMOUS, KEY_ISSUERS
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.rawjson import members, text

LIBRECHAT: Final = "@librechat/api-client"
"""What it calls itself in `clientInfo`."""

HEADER: Final = "X-Gateway-User"
"""What the header is called where the configuration names none yet."""


class UnnamedUsers:
    """Looks at how sessions are opened; says what it found once for each key and server."""

    def __init__(self) -> None:
        self._told = Once()

    def look(self, who: Who, server: str, message: Request) -> None:
        """`who` sends `message` to `server`: if it opens a session that many may share, the operator is told."""
        if message.method != "initialize" or not may_be_shared(who, message):
            return
        if self._told.is_first((who.principal, server)):
            logger.warning(
                "{} has opened a session with '{}' and named no user, so all its users may share one child; {}",
                who.principal,
                server,
                remedy(who),
            )


def may_be_shared(who: Who, message: Request) -> bool:
    """Whether many may stand behind `who`, who opens a session with `message`, and does not say for whom of them."""
    principal = who.principal
    if principal.user or (principal != ANONYMOUS and principal.issuer not in KEY_ISSUERS):
        return False  # the subject of an issuer's token is one user
    return bool(who.speaks_by) or _client(message) == LIBRECHAT


def remedy(who: Who) -> str:
    """What to write where, for each user to have a session of their own."""
    line = f"write {who.speaks_by or HEADER}: '{{{{LIBRECHAT_USER_ID}}}}' under its 'headers' in librechat.yaml"
    if who.speaks_by:
        return line
    return f"{line}, and 'trust_user_header: {HEADER}' with the name of its key under 'trusted_fronts' here"


def _client(message: Request) -> str | None:
    return text(members(members(message.params).get("clientInfo", b"")).get("name", b""))
