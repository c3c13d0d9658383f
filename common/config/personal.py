"""Where the placeholders of a user's own may stand in the configuration, and what must be said besides. Pure.

`misplaced` looks at one text, as the loader reads it; `mistakes` at a server as a whole, once all is known to be of the
right kind.
"""

import re
from collections.abc import Iterator
from typing import Final

from common.config.evaluating import evaluates
from common.config.file import ConfigFile, ServerEntry
from common.config.session_paths import mark
from common.config.source import KeyPath
from common.config.steering import steers
from common.personal import CLAIM, HEADER, USER_ID, placeholders

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_CLAIM_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")

_KNOWN: Final = f"expected ${{{HEADER}NAME}}, ${{{USER_ID}}} or ${{{CLAIM}NAME}}"


def misplaced(text: str, path: KeyPath) -> Iterator[str]:
    """What is wrong with the marks in `text`, which stands at `path`."""
    names = placeholders(text)
    key = path[2] if path[:1] == ("servers",) and len(path) > 2 else None
    for name in names:
        if not _is_known(name):
            yield _KNOWN
        elif key not in ("env", "args", "path"):
            yield f"${{{name}}} may stand in a server's 'env', 'args' and 'path' alone, and a header's value in 'env'"
        elif name.startswith(HEADER) and key != "env":
            yield "a header's value may stand in 'env' alone: everybody on the machine can read arguments and paths"
    if names and key == "args" and text != mark(names[0]):
        yield f"expected ${{{names[0]}}} as one whole element of the list"
    if key == "path" and any(own and part != mark(own[0]) for part in _parts(text) if (own := placeholders(part))):
        yield f"expected ${{{names[0]}}} as one whole component of the path, between two slashes"


def mistakes(config: ConfigFile) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with the servers of `config`, and where."""
    for name, entry in config.servers.items():
        for path, text in (*_of_headers(entry, config.trust_user_header), *_of_env(entry), *_of_args(entry)):
            yield ("servers", name, *path), text


def _is_known(name: str) -> bool:
    if name.startswith(HEADER):
        return _HEADER_NAME.fullmatch(name.removeprefix(HEADER)) is not None
    return name == USER_ID or (name.startswith(CLAIM) and _CLAIM_NAME.fullmatch(name.removeprefix(CLAIM)) is not None)


def _parts(path: str) -> Iterator[str]:
    """The components of a path; what stands between a mark's NULs is not looked into, for a claim's name may be a URL."""
    yield from (match[0] for match in re.finditer(r"(?:\0[^\0]*\0|[^/\0])+", path))


def _headers_in(value: str) -> list[str]:
    return [name.removeprefix(HEADER) for name in placeholders(value) if name.startswith(HEADER)]


def _of_headers(entry: ServerEntry, names_user: str | None) -> Iterator[tuple[KeyPath, str]]:
    used = {header.lower() for value in entry.env.values() for header in _headers_in(value)}
    seen: set[str] = set()
    for number, header in enumerate(entry.headers):
        if header.lower() in seen:
            yield ("headers", number), "the same header stands here twice"
        elif names_user is not None and header.lower() == names_user.lower():
            yield ("headers", number), f"this header says who the user is; write ${{{USER_ID}}} instead"
        elif header.lower() not in used:
            yield (
                ("headers", number),
                f"no variable under 'env' holds ${{{HEADER}{header}}}; write one, or take this away",
            )
        seen.add(header.lower())


def _of_env(entry: ServerEntry) -> Iterator[tuple[KeyPath, str]]:
    allowed = {header.lower() for header in entry.headers}
    for variable, value in entry.env.items():
        if placeholders(value) and steers(variable):
            yield ("env", variable), "this variable says what is loaded or run, so no user's own value may be in it"
        for header in _headers_in(value):
            if header.lower() not in allowed:
                yield ("env", variable), f"the server's 'headers' do not allow it; add {header} to them"


def _of_args(entry: ServerEntry) -> Iterator[tuple[KeyPath, str]]:
    if (why := evaluates((entry.command, *entry.args), lambda word: bool(placeholders(word)))) is not None:
        first = next(number for number, word in enumerate(entry.args) if placeholders(word))
        yield ("args", first), why
