"""Two keys, of which one is a front's that many users share."""

import base64
from typing import Any

HEADER = "X-Gateway-User"


def basic(name: str) -> str:
    """The header with which the key `name` proves itself."""
    return "Basic " + base64.b64encode(f"{name}:{name}-has-a-password".encode()).decode()


KEYS: dict[str, Any] = {
    "auth": {
        "basic": {"credentials": [{"username": n, "password": f"{n}-has-a-password"} for n in ("librechat", "ci")]},
    },
    "trust_user_header": HEADER,
    "trusted_fronts": ["librechat"],
}
"""Of a configuration."""

FRONT, OTHER = {"Authorization": basic("librechat")}, {"Authorization": basic("ci")}


def of(user: str) -> dict[str, str]:
    """The headers with which the front asks for `user`."""
    return {**FRONT, HEADER: user}
