"""Which keys are believed when they say on whose behalf they ask, and what becomes of the others who say so."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from loguru import logger
from msgspec import structs

from common.config.users import Users
from common.once import Once
from gateway.identity.principal import KEY_ISSUERS, Principal
from gateway.identity.user import denied, read_user
from gateway.identity.who import Who

_NAME_THE_KEY: Final = "name the key in 'trusted_fronts' of the gateway's configuration"


class Fronts:
    """The trusted fronts, for one configuration."""

    def __init__(self, users: Users) -> None:
        self._header = users.trust_user_header
        self._names = frozenset(users.trusted_fronts)
        self._require = users.require_user
        self._told = Once()

    def trusts(self, principal: Principal) -> bool:
        """Whether it is one of the keys that are believed."""
        return self._header is not None and principal.issuer in KEY_ISSUERS and principal.subject in self._names

    def still_believe(self, principal: Principal) -> bool:
        """Whether `principal` is itself, or on behalf of a user whom its key may name."""
        return not principal.user or self.trusts(principal)

    def who(self, who: Who) -> Who:
        """`who`, as its request says whom it speaks for. Raises GatewayError, as `speaking` does."""
        if self._header is None:
            return who
        speaks_by = self._header or "" if self.trusts(who.principal) else ""
        return replace(who, principal=self.speaking(who.principal, who.header), speaks_by=speaks_by)

    def speaking(self, principal: Principal, header: Callable[[str], Sequence[str]]) -> Principal:
        """`principal` as its request says: on behalf of the user that a trusted front names, else as it is.

        From anybody else the header is not heeded, and the log says so once for each key. Raises GatewayError for a
        user that cannot be one; where users are required, also for none, and for a header that would not be heeded.
        """
        values = header(self._header) if self._header is not None else ()
        if self._header is None or not (values or self.trusts(principal)):
            return principal
        if self.trusts(principal):
            if values:
                return structs.replace(principal, user=read_user(self._header, values))
            if self._require:
                raise denied(self._header, "is missing, and 'require_user' is on")
            return principal
        if self._require:
            raise denied(self._header, "is not heeded from this key, and 'require_user' is on", _NAME_THE_KEY)
        if self._told.is_first(principal):
            logger.warning(
                "{} sent {}, which is not heeded: 'trusted_fronts' of the configuration does not name this key",
                principal,
                self._header,
            )
        return principal
