"""A principal: who was authenticated. What a session is bound to, never the bytes of a credential."""

import hashlib
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Principal:
    """`issuer` says which way of authentication vouches for `subject`, and makes the two unique together."""

    issuer: str
    subject: str

    def __str__(self) -> str:
        return f"{self.issuer}:{self.subject}" if self.subject else self.issuer

    @property
    def handle(self) -> str:
        """What stands for it where sessions are counted for each: stable, and no name. Empty for the anonymous one."""
        if not self.subject:
            return ""
        return hashlib.sha256(f"handle\0{self.issuer}\0{self.subject}".encode()).hexdigest()[:16]


ANONYMOUS: Final = Principal("anonymous", "")
"""Everybody, where nobody has to say who they are. All anonymous callers are one principal."""
