"""Who sends a request: its principal, and what else is known of them, for this one request."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.identity.principal import ANONYMOUS, Principal


def _no_header(_: str) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Who:
    """A session is bound to the `principal` alone; the rest may be another with each request.

    No `repr` shows the claims or the headers: either may hold a secret.
    """

    principal: Principal = ANONYMOUS
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the token says of its subject, where it says anything and was verified."""
    header: Callable[[str], Sequence[str]] = field(default=_no_header, repr=False)
    """The values of a header of the request, one for each time that it was sent."""
    speaks_by: str = ""
    """The header in which it may say for whom it speaks, where it is a front that is believed."""
    until: float = math.inf
    """The instant (UNIX time) from which on what was presented proves nothing any more."""
