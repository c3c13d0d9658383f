"""A principal: who was authenticated. What a session is bound to, never the bytes of a credential."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Principal:
    """`issuer` says which way of authentication vouches for `subject`, and makes the two unique together."""

    issuer: str
    subject: str

    def __str__(self) -> str:
        return f"{self.issuer}:{self.subject}" if self.subject else self.issuer


ANONYMOUS: Final = Principal("anonymous", "")
"""Everybody, where nobody has to say who they are. All anonymous callers are one principal."""
