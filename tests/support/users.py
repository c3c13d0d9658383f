"""Two keys, of which one is a front's that many users share."""

from typing import Any

HEADER = "X-Gateway-User"
KEYS: dict[str, Any] = {
    "auth": {
        "bearer": {"tokens": [{"name": name, "token": f"s3cret-of-{name}"} for name in ("librechat", "ci")]},
    },
    "trust_user_header": HEADER,
    "trusted_fronts": ["librechat"],
}
"""Of a configuration."""

FRONT, OTHER = {"Authorization": "Bearer s3cret-of-librechat"}, {"Authorization": "Bearer s3cret-of-ci"}


def of(user: str) -> dict[str, str]:
    """The headers with which the front asks for `user`."""
    return {**FRONT, HEADER: user}
