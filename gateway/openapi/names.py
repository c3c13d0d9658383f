"""What tools are called in a document: a segment of a path, an operation's id, a component. No I/O.

Names of tools come from children, and may be anything. Whoever generates a client makes names of its own out of ids,
for which `getUser`, `get-user` and `get_user` are often one: so ids are unique without regard to case, `_` and `-`, too.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

LONGEST: Final = 256
"""Characters in a name that is still told."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SLUG: Final = 64
_DIGEST: Final = 6


def has_a_path(tool: str) -> bool:
    """Whether `tool` can be called by a path: clients take `..` for a step up, and a slash at an end is no one's."""
    is_told = 0 < len(tool) <= LONGEST and not _CONTROL.search(tool)
    return is_told and tool not in (".", "..") and tool.strip("/") == tool


def segment(name: str) -> str:
    """`name` as one segment of a path. Braces, too, are encoded: they would be a template's."""
    return quote(name, safe="")


def slug(name: str) -> str:
    """What of `name` an id can hold. Never with `__`, which parts a server's name from its tool's; may be empty."""
    return re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_-]", "_", name)).strip("_-")


def folded(name: str) -> str:
    """What `name` has in common with those that a generator takes for the same."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def digest(name: str, length: int = _DIGEST) -> str:
    """A few characters that stand for exactly this name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def unique_slugs(names: Iterable[str]) -> dict[str, str]:
    """For each of `names` its slug, with a digest behind it where another has the same, or where it does not tell all."""
    slugs = {name: slug(name) for name in names}
    times = Counter(folded(each) for each in slugs.values())
    taken = Names()
    return {
        name: taken.take(_marked(each, name) if times[folded(each)] > 1 or not _is_enough(each) else each, name)
        for name, each in slugs.items()
    }


def _is_enough(each: str) -> bool:
    return bool(folded(each)) and len(each) <= _SLUG


def _marked(each: str, name: str) -> str:
    return f"{each[: _SLUG - _DIGEST - 1].rstrip('_-') or 'x'}_{digest(name)}"


class Names:
    """Names that are taken, as `folded`."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {folded(each) for each in taken}

    def take(self, wanted: str, whose: str) -> str:
        """`wanted`, or what is nearest to it that nobody has: with a digest of `whose`, the longer the more are alike."""
        found, length = wanted, _DIGEST
        while folded(found) in self._taken:
            found = f"{wanted}_{digest(f'{whose} {length}', length)}"
            length += 2
        self._taken.add(folded(found))
        return found
