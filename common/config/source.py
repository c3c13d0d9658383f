"""Where in the configuration file something stands, and what is said of it there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where: `line` counts from 1, and 0 stands for the file as a whole."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}"


class ConfigError(Exception):
    """The file cannot be used; `problems` says why, a line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Origins:
    """A file that was translated into our own keys, as its author wrote it, and where what has our keys came from."""

    written: CommentedMap
    paths: Mapping[KeyPath, KeyPath]
    """From paths in our own keys to the author's; what is below one of them is below the other."""

    def of(self, path: KeyPath) -> KeyPath:
        """The author's name for what we call `path`: the longest beginning of it that came from somewhere."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.paths:
                return (*self.paths[path[:length]], *path[length:])
        return path


@dataclass(frozen=True)
class Source:
    """The parsed file, which knows the line of each of its keys."""

    file: str
    document: Mapping[str, Any] = field(repr=False)
    """In our own keys."""
    origins: Origins | None = field(default=None, repr=False)
    """Where the file was written in other keys than ours."""

    def problem(self, path: KeyPath, text: str) -> Problem:
        """`text` about the key at `path`, which the file's author may know by another name."""
        named = self.origins.of(path) if self.origins is not None else path
        named = tuple(part for part in named if part != "[key]")
        return Problem(self.file, self._line(named), dotted(named), text)

    def of_server(self, name: str, *path: str | int) -> KeyPath:
        """Where the key `path` of the server `name` stands: with itself, or with what the file says for all servers."""
        servers = self.document["servers"]
        entry = next(servers[each] for each in servers if str(each) == name)
        return ("servers", name, *path) if path[0] in entry or path[0] not in self.document else path

    def line(self, path: KeyPath) -> int:
        """The line of the deepest key of `path` that the file has; 1 where it has none of them."""
        return self._line(self.origins.of(path) if self.origins is not None else path)

    def _line(self, path: KeyPath) -> int:
        node: Any = self.origins.written if self.origins is not None else self.document
        line = 1
        for key in path:
            try:
                if isinstance(node, CommentedMap):
                    original = next(each for each in node if str(each) == str(key))
                    line, node = node.lc.key(original)[0] + 1, node[original]
                elif isinstance(node, CommentedSeq) and isinstance(key, int):
                    line, node = node.lc.item(key)[0] + 1, node[key]
                else:
                    break
            except (StopIteration, KeyError, IndexError):
                break
        return line


def dotted(path: KeyPath) -> str:
    """`servers.fs.args[0]` for ("servers", "fs", "args", 0)."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return "".join(each if each.isprintable() else "�" for each in text)
