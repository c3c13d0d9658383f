"""A principal: who was authenticated, and on whose behalf.

It is what a session is bound to, never the bytes of a credential.
"""

import hashlib
from typing import Final

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """`issuer` says which way of authentication vouches for `subject`, and makes the two unique together.

    `user` is the one whom the subject speaks for, where it may speak for others; each is a principal of their own.
    """

    issuer: str
    subject: str
    user: str = ""

    def __str__(self) -> str:
        own = f"{self.issuer}:{self.subject}" if self.subject else self.issuer
        return f"{own} for {self.user}" if self.user else own

    @property
    def handle(self) -> str:
        """What stands for it where sessions are counted for each: stable, and no name. Empty for the anonymous one."""
        if not self.subject:
            return ""
        whole = (self.issuer, self.subject, self.user) if self.user else (self.issuer, self.subject)
        return hashlib.sha256("\0".join(("handle", *whole)).encode()).hexdigest()[:16]


KEY_ISSUERS: Final = frozenset({"basic", "bearer", "apikey"})
"""Issuers whose subjects are the names of keys in the configuration. Whom a token's issuer calls so is somebody else."""

ANONYMOUS: Final = Principal("anonymous", "")
"""Everybody, where nobody has to say who they are. All anonymous callers are one principal."""
