"""A `librechat.yaml`, parsed: its `mcpServers` and `mcpSettings`, and the line of each key.

`${VAR}` stays as it is written: LibreChat has another environment than we, and most of such values are secrets.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from common.config.source import KeyPath, Source

_QUOTED = re.compile(r"""(["'])(.*?)\1""")


class Unusable(Exception):
    """The file cannot be read at all; the text says why, and quotes nothing of it."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {text}" if line else text)


@dataclass(frozen=True)
class Entry:
    """One server under `mcpServers`, `values` as they are written, merged keys included. No `repr` shows a value."""

    name: str
    values: Mapping[str, Any] = field(repr=False)
    source: Source = field(repr=False)

    @property
    def kind(self) -> str:
        """`stdio`, `sse`, `streamable-http` or `websocket`: what LibreChat takes it for, also without a `type`."""
        written = self.values.get("type")
        if isinstance(written, str):
            return "streamable-http" if written == "http" else written
        if "command" in self.values:
            return "stdio"
        return "websocket" if self.url.startswith(("ws:", "wss:")) else "sse"

    @property
    def url(self) -> str:
        """Its URL; empty where it has none."""
        url = self.values.get("url")
        return url if isinstance(url, str) else ""

    def mapping(self, key: str) -> dict[str, Any]:
        """The map under `key`; empty where there is none."""
        value = self.values.get(key)
        return {str(name): each for name, each in value.items()} if isinstance(value, Mapping) else {}

    def header(self, name: str) -> str | None:
        """The header `name`, whatever the case of its letters."""
        found = [str(value) for each, value in self.mapping("headers").items() if each.lower() == name.lower()]
        return found[-1] if found else None

    def line(self, *path: str | int) -> int:
        """The line where the key `path` stands, or its nearest parent."""
        return self.source.line(("mcpServers", self.name, *path))

    def texts(self, *keys: str) -> Iterator[tuple[KeyPath, str]]:
        """Every text under these keys, and where it stands."""
        for key in keys:
            yield from _texts(self.values.get(key), (key,))


@dataclass(frozen=True)
class Document:
    """The part of the file that is about MCP."""

    entries: tuple[Entry, ...]
    wrong: tuple[tuple[str, int, str], ...]
    """What is no entry at all: its name, its line, and what was expected."""
    settings: Mapping[str, Any]
    source: Source = field(repr=False)

    def setting(self, key: str) -> list[str] | None:
        """A list of `mcpSettings`; None where it is not there, or empty."""
        value = self.settings.get(key)
        return [str(each) for each in value] if isinstance(value, list) and value else None


def read(path: Path) -> Document:
    """The document at `path`. Raises Unusable."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unusable("it is no text in UTF-8") from None


def parse(text: str, file: str = "librechat.yaml") -> Document:
    """The document in `text`. Raises Unusable."""
    source = Source(file, _load(text))
    servers = source.document.get("mcpServers")
    if servers is not None and not isinstance(servers, CommentedMap):
        raise Unusable("'mcpServers' is no map of names to servers", source.line(("mcpServers",)))
    entries, wrong = [], []
    for name, values in (servers or {}).items():
        if isinstance(values, Mapping):
            entries.append(Entry(str(name), {str(key): value for key, value in values.items()}, source))
        else:
            wrong.append((str(name), source.line(("mcpServers", str(name))), "expected a map of keys to values"))
    settings = source.document.get("mcpSettings")
    return Document(tuple(entries), tuple(wrong), settings if isinstance(settings, Mapping) else {}, source)


def _load(text: str) -> CommentedMap:
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = "the same key stands there twice" if isinstance(error, DuplicateKeyError) else _said(error.problem)
        raise Unusable(said, mark.line + 1 if mark else 0) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise Unusable(_said(str(error))) from None
    if not isinstance(document, CommentedMap):
        raise Unusable("it is no map of keys to values")
    return document


def _said(problem: str | None) -> str:
    """What the parser says, on one line, without what it quotes of the file; a single character may stay."""
    text = " ".join((problem or "it cannot be parsed").split())
    return "bad YAML: " + _QUOTED.sub(lambda quoted: quoted[0] if len(quoted[2]) < 3 else "…", text)


def _texts(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, str(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each, (*path, str(key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _texts(each, (*path, index))
