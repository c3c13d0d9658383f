"""Who sends a request: the one place that turns what it presents into a `Who`.

All ways are on together, and whatever is valid admits. What proves two different principals is refused, for which of them
was meant nobody can know.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from common.config.auth import Auth
from gateway.errors import bad_request
from gateway.identity.credentials import (
    API_KEY_HEADER,
    Credentials,
    from_api_key,
    from_authorization,
    looks_like_a_token,
)
from gateway.identity.denied import Denied, unproved
from gateway.identity.known import Known
from gateway.identity.principal import ANONYMOUS, Principal
from gateway.identity.resource import resource_of
from gateway.identity.who import Who

if TYPE_CHECKING:
    from gateway.identity.tokens import Keyrings, Tokens

AUTHORIZATION: Final = "Authorization"


class Authenticator:
    """Decides, for one configuration. What it has remembered of passwords goes with it; fetched keys it passes on."""

    def __init__(self, auth: Auth, before: "Authenticator | None" = None) -> None:
        self.is_on = auth.is_on
        self.resource = resource_of(auth)
        """What clients are told who have to log in elsewhere first, where there are any."""
        self._reads_api_keys = auth.api_keys_are_on
        self._asks_for_basic = auth.basic_is_on
        self._known = Known(auth)
        self._keyrings: Keyrings | None = before._keyrings if before is not None else None
        self._tokens = self._checking_tokens(auth) if auth.jwt else None

    async def who(self, header: Callable[[str], Sequence[str]], address: str) -> Who:
        """Who sends a request with these headers from `address`: ANONYMOUS where nobody has to prove anything.

        Raises Denied where nothing proves anybody, and another GatewayError where too much does. May take as long as a
        password's check or a fetch of keys; cancelling it is safe.
        """
        presented = self._presented(header)
        if not self.is_on:
            return Who(header=header)
        found: list[Who] = []
        denied = unproved("there are no credentials")
        for credentials in presented:
            try:
                found.append(await self._proved(credentials, address))
            except Denied as error:
                denied = error
        if len({each.principal for each in found}) > 1:
            raise bad_request(f"the headers {AUTHORIZATION} and {API_KEY_HEADER} are of two; expected one of them")
        if not found:
            raise denied
        # Of two that prove the same one, that which does for longer.
        return replace(max(found, key=lambda each: each.until), header=header)

    def challenges(self, status: int, denied: Denied | None) -> list[str]:
        """What `WWW-Authenticate` says on an answer with `status`, each in a header of its own.

        Never Bearer without OAuth: a client would go and look for a login.
        """
        if status == 403:
            scope_is_missing = self.resource is not None and denied is not None and denied.told == "insufficient_scope"
            return [self.resource.challenge("insufficient_scope")] if self.resource and scope_is_missing else []
        if status != 401:
            return []
        basic = 'Basic realm="mcp-gateway"'
        if self.resource is not None:
            bearer = self.resource.challenge(denied.told if denied is not None else "")
            return [bearer, basic] if self._asks_for_basic else [bearer]
        return [basic if self._asks_for_basic else 'ApiKey realm="mcp-gateway"']

    def still_admits(self, principal: Principal) -> bool:
        """Whether `principal`, who was proved once, could be proved now."""
        if not self.is_on:
            return principal == ANONYMOUS
        own = Principal(principal.issuer, principal.subject)
        return own in self._known.principals or own.issuer in self._issuers

    def _checking_tokens(self, auth: Auth) -> "Tokens":
        # The cryptography behind it takes a while to import, and is for who needs it.
        from gateway.identity.tokens import Keyrings, Tokens

        self._keyrings = self._keyrings or Keyrings()
        return Tokens(auth.jwt, self._keyrings)

    @property
    def _issuers(self) -> frozenset[str]:
        return self._tokens.issuers if self._tokens is not None else frozenset()

    def _presented(self, header: Callable[[str], Sequence[str]]) -> list[Credentials]:
        """What the request presents. Raises GatewayError for a header that was sent twice."""
        found = [from_authorization(_only(header, AUTHORIZATION))]
        if self._reads_api_keys:
            found.append(from_api_key(_only(header, API_KEY_HEADER)))
        return [each for each in found if each is not None]

    async def _proved(self, credentials: Credentials, address: str) -> Who:
        """Whom these prove. Raises Denied.

        What looks like a token of an issuer is no password, and costs no slow check.
        """
        if (principal := self._known.quickly(credentials)) is not None:
            return Who(principal)
        if credentials.kind == "bearer" and self._tokens is not None and looks_like_a_token(credentials.secret):
            return await self._tokens.who(credentials.secret)
        if (principal := await self._known.slowly(credentials, address)) is not None:
            return Who(principal)
        if credentials.kind == "bearer":
            raise unproved("no token or key is the one that was presented", "invalid_token")
        raise unproved(f"nobody has the {'key' if credentials.kind == 'apikey' else 'password'} that was presented")


def _only(header: Callable[[str], Sequence[str]], name: str) -> str | None:
    """The header `name`, if it was sent; twice is as good as wrong."""
    values = header(name)
    if len(values) > 1:
        raise bad_request(f"the header {name} was sent {len(values)} times", header=name)
    return values[0] if values else None
