"""From a file to a ConfigFile, or to one line for each thing that is wrong with it.

Every problem names the file, the line, the key, what was expected and, where a key is misspelt, the nearest right one.
No problem ever quotes a value: it might be a secret.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from common.config import hints
from common.config.catalog import OTHER_WORDS
from common.config.dialects import listed
from common.config.file import ConfigFile, ServerEntry
from common.config.model import GatewaySettings, SupervisorSettings
from common.config.overrides import mistakes_in, overrides
from common.config.parsing import parse
from common.config.personal import misplaced, mistakes
from common.config.session_paths import PREFIX, SESSION_PATHS, mark
from common.config.source import ConfigError, KeyPath, Origins, Problem, Source
from common.config.variables import Unreadable, look_up
from common.personal import is_personal

_PLACEHOLDER = re.compile(r"\$(\$?)\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_EXPECTED = {
    "missing": "this key is missing; expected {0}",
    "string_type": "expected a text; if this is one, put it in quotes",
    "string_too_short": "expected a text that is not empty",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "tuple_type": "expected a list",
    "dict_type": "expected a map of keys to values",
    "model_type": "expected a map of keys to values",
    "model_attributes_type": "expected a map of keys to values",
    "byte_size": "expected a size such as 512KiB or 16MiB",
    "byte_size_unit": "expected a size such as 512KiB or 16MiB",
    "too_short": "expected something here; it is empty",
}


@dataclass
class Settings:
    """The file's content, cut in two; no part of either program sees both. A reload changes it."""

    gateway: GatewaySettings
    supervisor: SupervisorSettings
    source: Source
    """For what only the machine can tell to be wrong."""
    notes: Sequence[Problem] = ()
    """What the file says, and nobody heeds: it was written for another gateway."""


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The checked content of the file at `path`, its `${VAR}`s taken from `environ` or its CREDENTIALS_DIRECTORY.

    A list under `servers` is another gateway's dialect, which is translated first. A relative path is relative to the
    file's directory, or to the working one where the file is a descriptor. Raises ConfigError, with every problem that
    was found and not just the first.
    """
    document = parse(path)
    reader = _Reader(str(path), document, environ)
    plain, notes = reader.in_our_keys(document)
    if problems := [*reader.problems, *(Problem(str(path), 0, *each) for each in mistakes_in(environ))]:
        raise ConfigError(problems)
    plain |= overrides(environ)
    try:
        config = ConfigFile.model_validate(plain, context=_directory_of(path))
    except ValidationError as error:
        described = {reader.describe(detail) for detail in error.errors(include_url=False, include_input=False)}
        raise ConfigError(sorted(described, key=_place)) from None
    if wrong := {reader.source.problem(*each) for each in mistakes(config)}:
        raise ConfigError(sorted(wrong, key=_place))
    return Settings(config.gateway(), config.supervisor(_command_lines(document)), reader.source, notes)


def _place(problem: Problem) -> tuple[int, str]:
    return problem.line, problem.key


def _directory_of(path: Path) -> Path:
    """Where the relative paths in it begin."""
    return Path.cwd() if path.is_relative_to("/dev/fd") else path.resolve().parent


class _Reader:
    """Turns the parsed document into plain data, and paths of keys back into lines."""

    def __init__(self, file: str, document: CommentedMap, environ: Mapping[str, str]) -> None:
        self.source = Source(file, document)
        self.environ = environ
        self.problems: list[Problem] = []

    def in_our_keys(self, document: CommentedMap) -> tuple[dict[str, Any], list[Problem]]:
        """The file as plain data in our own keys, and what fell away of it; problems are collected, not raised."""
        plain: Any = self.plain(document, ())
        if self.problems or not listed.is_listed(plain):
            return plain, []
        draft = listed.translate(plain, self.environ)
        self.problems = sorted({self.source.problem(*each) for each in draft.problems}, key=_place)
        notes = sorted({self.source.problem(*each) for each in draft.notes}, key=_place)
        self.source = Source(self.source.file, draft.document, Origins(document, draft.origins))
        return draft.document, notes

    def plain(self, node: object, path: KeyPath) -> object:
        """`node` without ruamel's own types, its variables replaced; problems are collected, not raised."""
        if isinstance(node, CommentedMap):
            named = {str(key): self.plain(value, (*path, str(key))) for key, value in node.items()}
            if len(named) < len(node):  # the parser takes 1 and "1" for two
                self._problem(path, "the same key stands here twice")
            return named
        if isinstance(node, CommentedSeq):
            return [self.plain(value, (*path, index)) for index, value in enumerate(node)]
        if isinstance(node, str):
            return self._expand(str(node), path)
        return node

    def _expand(self, text: str, path: KeyPath) -> str:
        self._check_characters(text, path)

        def replace(match: re.Match[str]) -> str:
            if match[1]:
                return match[0][1:]
            name = match[2]
            if is_personal(name):
                return mark(name)
            if name.startswith(PREFIX):
                return self._session_path(name, path, match)
            if not _VARIABLE.fullmatch(name):
                self._problem(
                    path, "expected the name of an environment variable in ${…}; write $${…} for the text itself"
                )
                return ""
            return self._look_up(name, path)

        expanded = _PLACEHOLDER.sub(replace, text)
        for wrong in misplaced(expanded, path):
            self._problem(path, wrong)
        return expanded

    def _session_path(self, name: str, path: KeyPath, match: re.Match[str]) -> str:
        """The mark that stands for a session's path, where there may be one."""
        key = path[2:3] if path[:1] == ("servers",) else ()
        if name not in SESSION_PATHS:
            known = ", ".join(f"${{{each}}}" for each in SESSION_PATHS)
            self._problem(path, f"a session has no such path; expected one of {known}")
        elif key not in (("args",), ("env",), ("path",)):
            self._problem(path, f"${{{name}}} may stand in a server's 'args', 'env' and 'path' alone")
        elif key == ("path",) and match.start() != 0:
            self._problem(path, f"expected ${{{name}}} at the beginning of the path")
        return mark(name)

    def _look_up(self, name: str, path: KeyPath) -> str:
        try:
            value = look_up(name, self.environ)
        except Unreadable as error:
            self._problem(path, str(error))
            return ""
        if value is None:
            self._problem(path, f"the environment has no variable {name}; set it, or write $${{{name}}} for the text")
        self._check_characters(value or "", path)
        return value or ""

    def _check_characters(self, text: str, path: KeyPath) -> None:
        """Tell of what no program can be given: zero bytes, which marks are made of, and halves of UTF-16's pairs."""
        if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
            self._problem(path, "expected a text without zero bytes and without what no UTF-8 has")

    def _problem(self, path: KeyPath, text: str) -> None:
        self.problems.append(self.source.problem(path, text))

    def describe(self, detail: ErrorDetails) -> Problem:
        """One of pydantic's errors, in the words of the file."""
        path: KeyPath = detail["loc"]
        if detail["type"] == "extra_forbidden" and (place := hints.of_place(path, self.source.document)):
            return self.source.problem(path, place)
        return self.source.problem(path, _sentence(detail, path))


def _sentence(detail: ErrorDetails, path: KeyPath) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return _EXPECTED[kind].format(_what_is_missing(path))
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    return detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected a value")


def _what_is_missing(path: KeyPath) -> str:
    wanted = {"command": "the program to start", "servers": "at least one server under it"}
    return wanted.get(str(path[-1]), "a value for it")


def _unknown_key(path: KeyPath) -> str:
    if path[:1] == ("servers",) and len(path) == 3 and (own := OTHER_WORDS.get(str(path[2]))):
        return f"another word for '{own}', which is here, too; keep one of the two"
    known = _known_keys(path[:-1])
    nearest = difflib.get_close_matches(str(path[-1]), known, n=1)
    if nearest:
        return f"unknown key; did you mean '{nearest[0]}'?"
    return f"unknown key; expected one of {', '.join(sorted(known))}"


def _known_keys(path: KeyPath) -> list[str]:
    """The keys that the model allows at `path`."""
    model: type[BaseModel] = ConfigFile
    if path[:1] == ("servers",):
        model, path = ServerEntry, path[2:]
    for key in path:
        if isinstance(key, str) and key in model.model_fields:  # else it is a name in a map of names to models
            model = _model_in(model.model_fields[key].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that `annotation` holds, however deep in its optional, tuple or dict."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for each in get_args(annotation) if (model := _model_in(each))), None)


def _command_lines(document: CommentedMap) -> dict[str, str]:
    """Each server's command line as its author wrote it."""
    servers = document["servers"]
    named = servers.items() if isinstance(servers, Mapping) else ((each["id"], each) for each in servers)
    return {
        str(name): " ".join(map(str, (entry["command"], *(entry.get("args") or ()))))
        for name, entry in named
        if "command" in entry  # a server that is elsewhere, and not used, has none
    }
