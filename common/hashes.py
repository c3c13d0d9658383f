"""How a secret may stand in the configuration without being there: the two kinds of hash, and how each is checked.

`argon2id` is for what people choose. It is slow, so that who has the file cannot try a dictionary on it. A long text of a
machine's choosing is in no dictionary, so `sha256:` is as safe for it, and a thousand times as fast.
"""

import hashlib
import re
from typing import Final

SHA256_PREFIX: Final = "sha256:"
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ARGON2: Final = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>\d{1,8}),t=(?P<time>\d{1,4}),p=\d{1,3}\$[A-Za-z0-9+/]{11,90}\$[A-Za-z0-9+/]{22,90}"
)
MEMORY_MAX: Final = 1 << 18
"""KiB that checking one password may take. Each is checked alone, so this is all that passwords ever take."""
TIME_MAX: Final = 32

LONG_ENOUGH: Final = 22
"""Characters: 128 bits in base64, the least for which a plain SHA-256 will do."""
VARIED_ENOUGH: Final = 8
"""Different characters: a random text of that length has fewer once in billions of times."""


def is_hash(text: str) -> bool:
    """Whether `text` is a hash of either kind, and one that may be checked here."""
    return is_sha256(text) or is_argon2(text)


def is_sha256(text: str) -> bool:
    """Whether `text` is a hash of the fast kind."""
    return _SHA256.fullmatch(text) is not None


def is_argon2(text: str) -> bool:
    """Whether `text` is a hash of the slow kind, and does not ask for more than the gateway is willing to spend."""
    match = _ARGON2.fullmatch(text)
    return match is not None and int(match["memory"]) <= MEMORY_MAX and 0 < int(match["time"]) <= TIME_MAX


def sha256_of(secret: str) -> str:
    """The fast hash of `secret`."""
    return SHA256_PREFIX + hashlib.sha256(secret.encode()).hexdigest()


def looks_random(secret: str) -> bool:
    """Whether `secret` may be of a machine's choosing: the fast hash is for no other."""
    return len(secret) >= LONG_ENOUGH and len(set(secret)) >= VARIED_ENOUGH
