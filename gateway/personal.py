"""What a child is given of its user's own: values that its server's configuration asks for, by placeholder. No I/O.

The gateway knows the names of the placeholders, and nothing of where they stand; the supervisor fills them in.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from common.config.model import ServerPolicy
from gateway.identity.who import Who


@dataclass(frozen=True, slots=True)
class Personal:
    """The `values` of the placeholders, such as `header:X-GitHub-Token` or `user.id`. No `repr` shows one."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> bytes:
        """What two of them have in common where they are the same, and nothing can be learned from."""
        parts = (part for pair in sorted(self.values.items()) for part in pair)
        return hashlib.sha256("\0".join(parts).encode()).digest()


def personal(who: Who, policy: ServerPolicy) -> Personal:
    """What `policy` says that a child is given of its user's own, as `who` asks with this request."""
    return Personal(dict.fromkeys(policy.personal, who.principal.user or who.principal.subject))


NOTHING: Final = Personal()
"""A child that is the same for everybody."""
