"""Takes secrets out of what a child says. No I/O.

Two kinds are found: the values of the child's own environment that are secrets by their name or by what is in them, and
strings of well-known shapes. It is a net, not a wall: a child can always write a secret in a way that nobody knows.

Every expression here takes linear time: each begins with a literal or behind a look-behind, and no two unbounded
repetitions that follow each other can match the same character.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"

SHORTEST: Final = 6
"""Characters: what is shorter is no secret worth the name, and would be found in ordinary words."""

_SECRET_NAME: Final = re.compile(
    r"TOKEN|KEY|SECRET|PASS|PWD|AUTH|CRED|COOKIE|SESSION|DSN|PRIVATE|SIGNATURE|BEARER|JWT|WEBHOOK", re.IGNORECASE
)

# First a set of characters, for which `re` skips ahead some twenty times as fast as for words in either case.
_NAMES: Final = r"""[pstacPSTAC](?i:(?<=p)(?:assword|asswd|assphrase|wd|rivate[_-]?key)|(?<=s)ecret|(?<=t)oken
    |(?<=a)(?:pi|ccess)[_-]?key|(?<=c)redentials?)""".replace("\n    ", "")
_VALUE: Final = r"""(?:"(?P<double>[^"\n]+)"|'(?P<single>[^'\n]+)'|(?P<bare>[^\s,;&"']+))"""
# With backslashes where JSON stands in a string of JSON.
_NAMED: Final = re.compile(rf"""{_NAMES}\\{{0,3}}["']?[ \t]{{0,3}}[=:][ \t]{{0,3}}\\{{0,3}}{_VALUE}""")
_OPTION: Final = re.compile(rf"(?<![A-Za-z0-9_-])--[A-Za-z0-9_-]{{0,40}}{_NAMES}[ \t]{{1,3}}(?![-\s]){_VALUE}")
"""On a command line."""
_USERINFO: Final = re.compile(r"(?<=://)(?P<user>[^\s/@:?#]*):(?P<password>[^\s/]+)(?=@)")
_SHAPES: Final = (
    re.compile(r"[bB](?<!\w[bB])(?i:earer|asic)[ \t]{1,3}(?P<scheme>[A-Za-z0-9._~+/=:-]{6,})"),
    re.compile(r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{8,}"),
    re.compile(
        r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}"
    ),
    re.compile(r"xox[a-z]-[A-Za-z0-9-]{8,}"),
    re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"),
    _NAMED,
    _OPTION,
    _USERINFO,
)
KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
KEY_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_Span = tuple[int, int]


def secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    """What must not be shown of a child's own environment, each in the ways in which it may be written."""
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET_NAME.search(name) or _USERINFO.search(value) or _NAMED.search(value):
            # A key of many lines is written line by line.
            found.update((value, *value.splitlines()))
        for match in (*_USERINFO.finditer(value), *_NAMED.finditer(value)):
            found.update(part for part in (match[group] for group in _inner_groups(match)) if part)
    return _written(found)


def _written(secrets: Iterable[str]) -> frozenset[str]:
    """Each in the ways in which it may be written."""
    written = {form for secret in secrets for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])}
    return frozenset(each for each in written if len(each) >= SHORTEST)


class Redactor:
    """Takes secrets out of text, for one child with its own environment."""

    def __init__(self, environment: Mapping[str, str], private: Iterable[str] = ()) -> None:
        """`private` are values of which it is known that they are secrets, whatever their variables are called."""
        self._secrets = sorted(secrets_of(environment) | _written(private))

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        return _replace(text, [*self._of_environment(text), *_of_shapes(text), *_of_keys(text)])

    def lines(self, lines: Iterable[str]) -> list[str]:
        """The same for lines that belong together: a private key takes many."""
        return self("\n".join(lines)).split("\n")

    def end(self, text: str) -> str:
        """`text`, whose end was cut off, without the beginning of a secret there; the rest is not looked at."""
        return _replace(text, [(at, len(text)) for secret in self._secrets for at in _begun(secret, text)])

    def _of_environment(self, text: str) -> Iterator[_Span]:
        for secret in self._secrets:
            at = text.find(secret)
            while at >= 0:
                yield at, at + len(secret)
                at = text.find(secret, at + 1)  # not behind it: a secret may overlap itself


def _begun(secret: str, text: str) -> Iterator[int]:
    """Where in `text` a beginning of `secret` stands that goes on to the end of `text`."""
    head = secret[:SHORTEST]
    at = text.find(head, max(0, len(text) - len(secret) + 1))
    while at >= 0:
        if secret.startswith(text[at:]):
            yield at
        at = text.find(head, at + 1)


def _inner_groups(match: re.Match[str]) -> list[str]:
    """The groups of a shape that are the secret in it; the rest of it may be shown."""
    return [name for name in match.re.groupindex if name != "user"]


def _of_shapes(text: str) -> Iterator[_Span]:
    for shape in _SHAPES:
        for match in shape.finditer(text):
            group = next((name for name in _inner_groups(match) if match[name] is not None), 0)
            yield match.span(group)


def _of_keys(text: str) -> Iterator[_Span]:
    """Private keys, and what may be one: without its end, one goes on to the end of the text."""
    at = 0
    while (begin := KEY_BEGINS.search(text, at)) is not None:
        end = KEY_ENDS.search(text, begin.end())
        at = len(text) if end is None else end.end()
        yield begin.start(), at


def _replace(text: str, spans: list[_Span]) -> str:
    """`text` with each run of spans that touch or overlap replaced by one mark."""
    parts: list[str] = []
    at = 0
    covered = -1
    for begin, end in sorted(spans):
        if begin > covered:
            parts += (text[at:begin], REDACTED)
        covered = at = max(covered, end)
    return "".join((*parts, text[at:]))
