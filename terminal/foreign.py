"""Servers as other programs write them: what kind of file it is, and each entry in our own keys. Pure.

Claude Desktop, Cursor, mcpo, mcp-proxy, mcphub and MetaMCP have a map under `mcpServers`; VS Code has one under
`servers`, with `inputs` that it asks its user for; lucky-aeon's and trtyr's gateways have the map alone; HarrisonCN's
has a list; LibreChat's librechat.yaml has `mcpServers` with each user's own in double braces.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.config.dialects import listed
from common.config.source import dotted
from common.config.steering import steers
from common.config.values import RESERVED_NAMES, SERVER_NAME
from common.hashes import sha256_of
from common.redact import REDACTED, Redactor, secrets_of
from doctor.client import printable

_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
_OF_LIBRECHAT: Final = re.compile(r"\{\{(\w+)\}\}")
_OF_A_USER: Final = re.compile(r"\$\{input:([^}]+)\}|\{\{(\w+)\}\}")
"""What another program asks its user for, or puts there for each of them."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STDIO: Final = (None, "stdio", "local", "command")
_TAKEN: Final = frozenset(
    """command args env cwd type transport transportType enabled disabled disabledTools tools name tags
    request_timeout max_concurrency""".split()
)
_FOREIGN: Final = frozenset({"type", "url", "envFile", "transport", "gallery", "disabled", "cwd"})
"""Keys of an entry under `servers` that ours do not have."""


class Untakable(Exception):
    """Nothing can be made of the file; `lines` say why."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class AlreadyOurs(Exception):
    """The file is a configuration of this gateway as it is."""


@dataclass
class Taken:
    """What was made of a file. No `repr` shows a value."""

    servers: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    """Our keys besides `servers`."""
    remarks: dict[str, list[str]] = field(default_factory=dict)
    """By server, what to know of it."""
    left_out: list[str] = field(default_factory=list)
    """Servers that are not among them, and why."""
    variables: dict[str, str] = field(default_factory=dict)
    """What must be set where the gateway runs, and which server it is for."""
    denied: list[str] = field(default_factory=list)
    """Tools that were switched off, as SERVER:TOOL."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """The secrets that variables stand for."""


@dataclass(frozen=True)
class How:
    """How to take a file."""

    each_users_own: bool = False
    """Whether what VS Code asks its user for is to be each user's own here."""
    keep_secrets: bool = False
    """Whether secrets are copied, and not replaced by variables."""


def take(document: object, how: How) -> Taken:
    """The servers of `document`, a parsed file of any kind. Raises Untakable or AlreadyOurs."""
    if not isinstance(document, Mapping):
        raise Untakable("expected a map of keys to values, with servers in it")
    if listed.is_listed(document):
        return _of_list(document, how)
    entries = _entries(document)
    taken = Taken()
    for name, entry in entries.items():
        _Entry(taken, str(name), entry, how).take()
    if not taken.servers:
        raise Untakable("none of its servers can be taken over", *taken.left_out)
    return taken


def _entries(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The map of servers, wherever this kind of file has it. Raises Untakable or AlreadyOurs."""
    inner = document.get("mcp")
    if isinstance(inner, Mapping) and isinstance(inner.get("servers"), Mapping):
        document = inner  # VS Code's settings.json
    found = document.get("mcpServers")
    if isinstance(found, Mapping):
        return found
    found = document.get("servers")
    if isinstance(found, Mapping):
        if "inputs" in document or any(_is_foreign(each) for each in found.values()):
            return found
        raise AlreadyOurs
    if "McpServiceMgrConfig" in document or "WorkspacePath" in document:
        raise Untakable("its servers are in another file: give mcp_servers.json of its 'WorkspacePath' to --from")
    if document and all(isinstance(each, Mapping) and {"command", "url"} & set(each) for each in document.values()):
        return document
    raise Untakable("expected servers in it: 'mcpServers', or 'servers', or a map of names to entries with a 'command'")


def _is_foreign(entry: object) -> bool:
    return isinstance(entry, Mapping) and (
        bool(_FOREIGN & set(entry)) or any("${input:" in text or "${env:" in text for text in _texts(entry))
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def allowed_name(name: str, taken: Mapping[str, object]) -> str:
    """`name`, or the nearest to it that may stand in a path here and is not among `taken`."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "server"
    if plain.lower() in RESERVED_NAMES:
        plain += "-server"
    plain = plain[:32].rstrip("-._")
    found, number = plain, 1
    while found in taken or not SERVER_NAME.fullmatch(found):
        number += 1
        found = f"{plain[:28]}-{number}"
    return found


class _Entry:
    """One server of the file, on its way into `taken`."""

    def __init__(self, taken: Taken, name: str, entry: object, how: How) -> None:
        self.taken = taken
        self.written = name
        self.entry: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
        self.how = how
        self.name = allowed_name(name, taken.servers)
        self.headers: list[str] = []

    def take(self) -> None:
        """Put it where it belongs."""
        if (why := self._unusable()) is not None:
            self.taken.left_out.append(f"{printable(self.written)}: {why}")
            return
        ours: dict[str, Any] = {}
        self.taken.servers[self.name] = ours
        self._labels(ours)
        ours["command"], args = self._command_line()
        if args:
            ours["args"] = [self._argument(args, number) for number in range(len(args))]
        if self.entry.get("cwd"):
            ours["path"] = self._placeholders(str(self.entry["cwd"]))
        if env := {str(key): self._variable(str(key), value) for key, value in self._env() if value is not None}:
            ours["env"] = env
        if self.headers:
            ours["headers"] = self.headers
        if self.entry.get("disabled") is True or self.entry.get("enabled") is False:
            ours["enabled"] = False
        self._switched_off()
        left = sorted(str(key) for key in self.entry if key not in _TAKEN)
        if left:
            self._remark(f"not taken over: {printable(', '.join(left))}")

    def _labels(self, ours: dict[str, Any]) -> None:
        if self.name != self.written:
            self._remark(f"'{printable(self.written)}' in the file it came from; a name here stands in paths")
            ours["name"] = self.written
        if isinstance(self.entry.get("name"), str) and self.entry["name"]:
            ours["name"] = self.entry["name"]
        tags = self.entry.get("tags")
        if isinstance(tags, list) and tags and all(isinstance(each, str) and each for each in tags):
            ours["tags"] = list(tags)

    def _unusable(self) -> str | None:
        entry = self.entry
        if entry.get("url") or entry.get("type", entry.get("transport", entry.get("transportType"))) not in _STDIO:
            where = Redactor({})(str(entry.get("url", "")).partition("?")[0])
            at = f" at {printable(where)}" if where else ""
            return (
                f"it is elsewhere{at}, and this gateway starts processes; a program such as mcp-remote can speak to it"
            )
        if not isinstance(entry.get("command"), str) or not entry["command"].strip():
            return "it has no 'command'"
        if not isinstance(entry.get("args") or [], list) or not isinstance(entry.get("env") or {}, Mapping):
            return "its 'args' are no list, or its 'env' is no map"
        return None

    def _command_line(self) -> tuple[str, list[str]]:
        """The program and its arguments, on this system."""
        args = [str(each) for each in self.entry.get("args") or []]
        command = self.entry["command"].strip()
        if not args and " " in command and "\\" not in command:
            try:
                command, *args = shlex.split(command)
                self._remark("its command line was written as one text")
            except ValueError:
                pass
        if command.lower() in ("cmd", "cmd.exe") and len(args) > 1 and args[0].lower() == "/c":
            self._remark("'cmd /c' is for Windows, and was left away")
            command, *args = args[1:]
        return self._placeholders(command), args

    def _env(self) -> list[tuple[object, object]]:
        return list((self.entry.get("env") or {}).items())

    def _argument(self, args: list[str], number: int) -> str:
        text = args[number]
        before = args[number - 1] if number else ""
        if not _is_filled_in(text) and not self.how.keep_secrets and _holds_secret(before, text):
            option, equals, value = text.partition("=")
            own = option if equals and option.startswith("-") else before if before.startswith("-") else "SECRET"
            name = self._stand_in(
                re.sub(r"\W+", "_", own.strip("-")).upper(), value if equals and own == option else text
            )
            self._remark(
                "everybody on the machine can read a program's arguments: better if it takes secrets from 'env'"
            )
            return f"{option}={name}" if equals and own == option else name
        return self._placeholders(text)

    def _variable(self, key: str, value: object) -> str:
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        whole = _OF_A_USER.fullmatch(text)
        if whole and self.how.each_users_own and not steers(key):
            return self._each_users_own(whole[1] or whole[2])
        if not _is_filled_in(text) and not self.how.keep_secrets and is_secret(key, text):
            return self._stand_in(key, text)
        return self._placeholders(text)

    def _each_users_own(self, name: str) -> str:
        if name == "LIBRECHAT_USER_ID":
            return "${user.id}"
        header = "X-" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").title()[:60]
        if header not in self.headers:
            self.headers.append(header)
            self._remark(f"each user's own, which their client sends in the header {header}")
        return f"${{header:{header}}}"

    def _stand_in(self, key: str, secret: str) -> str:
        """A variable in place of `secret`; one for all servers that have the same under the same name."""
        name = key if _VARIABLE.fullmatch(key) else "SECRET"
        if self.taken.secrets.get(name, secret) != secret:
            name = re.sub(r"\W+", "_", f"{self.name}_{name}").upper()
            name = name if _VARIABLE.fullmatch(name) else f"_{name}"
        self.taken.secrets[name] = secret
        self._needs(name)
        return f"${{{name}}}"

    def _needs(self, name: str) -> None:
        servers = self.taken.variables.get(name)
        if servers is None or self.name not in servers.split(", "):
            self.taken.variables[name] = f"{servers}, {self.name}" if servers else self.name

    def _placeholders(self, text: str) -> str:
        """`text` with other programs' placeholders as ours, or as the text that they are."""

        def ours(match: re.Match[str]) -> str:
            name = match[1].removeprefix("env:").partition(":-")[0]
            if name.startswith("input:"):
                name = re.sub(r"\W+", "_", name.removeprefix("input:")).upper()
            if name in ("/", "pathSeparator"):
                return "/"
            name = {"userHome": "HOME"}.get(name, name)
            if not _VARIABLE.fullmatch(name):
                return f"${match[0]}"
            self._needs(name)
            return f"${{{name}}}"

        return _PLACEHOLDER.sub(ours, _OF_LIBRECHAT.sub(r"${\1}", text))

    def _switched_off(self) -> None:
        disabled = self.entry.get("disabledTools")
        names = [each for each in disabled if isinstance(each, str)] if isinstance(disabled, list) else []
        tools = self.entry.get("tools")
        if isinstance(tools, Mapping):
            names += [str(k) for k, v in tools.items() if isinstance(v, Mapping) and v.get("enabled") is False]
        literal = [re.sub(r"([*?[])", r"[\1]", name) for name in names if name]
        self.taken.denied += [f"{self.name}:{name}" for name in literal]

    def _remark(self, text: str) -> None:
        remarks = self.taken.remarks.setdefault(self.name, [])
        if text not in remarks:
            remarks.append(text)


def _is_filled_in(text: str) -> bool:
    """Whether something else is to stand in place of a part of it."""
    return "${" in text or _OF_LIBRECHAT.search(text) is not None


def is_secret(name: str, value: str) -> bool:
    """Whether the variable `name` seems to hold one."""
    return bool(secrets_of({name: value})) or REDACTED in Redactor({})(value)


def _holds_secret(before: str, text: str) -> bool:
    """Whether an argument seems to be one, by itself or by the option before it."""
    line = f"{before} {text}" if before.startswith("-") else text
    return not Redactor({})(line).endswith(text)


def _of_list(document: Mapping[str, Any], how: How) -> Taken:
    """HarrisonCN's: what has no counterpart is no reason to open a door, so all of it must be put right first."""
    entries = document["servers"]
    local = [each for each in entries if not _is_elsewhere(each)]
    draft = listed.translate({**document, "servers": local}, {})
    if draft.problems:
        raise Untakable(*(f"{dotted(path)}: {text}" for path, text in draft.problems))
    taken = Taken(settings={key: value for key, value in draft.document.items() if key != "servers"})
    for name, entry in draft.document["servers"].items():
        _Entry(taken, name, entry, how).take()
        kept = {
            key: value for key, value in entry.items() if key in ("request_timeout", "max_concurrency", "tags", "name")
        }
        taken.servers[next(reversed(taken.servers))] |= kept
    taken.left_out += [f"{printable(str(each.get('id')))}: it is elsewhere" for each in entries if _is_elsewhere(each)]
    taken.left_out += [f"{dotted(path)}: {text}" for path, text in draft.notes]
    _without_secrets(taken, how)
    return taken


def _is_elsewhere(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("transport") not in (None, "stdio")


def _without_secrets(taken: Taken, how: How) -> None:
    """Keys as their hashes, and what else is secret as variables."""
    auth = taken.settings.get("auth", {})
    for entry in auth.get("api_keys", {}).get("keys", ()):
        if "key" in entry and "${" not in entry["key"]:
            entry["hash"] = sha256_of(entry.pop("key"))
        _note_variables(taken, entry.get("key", ""), "auth")
    for entry in auth.get("jwt", ()):
        if "secret" in entry and "${" not in entry["secret"] and not how.keep_secrets:
            taken.secrets["MCP_GATEWAY_JWT_SECRET"] = entry["secret"]
            entry["secret"] = "${MCP_GATEWAY_JWT_SECRET}"  # noqa: S105 - the name of one
        _note_variables(taken, entry.get("secret", ""), "auth")
    url = taken.settings.get("rate_limit_storage")
    if isinstance(url, str) and "@" in url and "${" not in url and not how.keep_secrets:
        taken.secrets["MCP_GATEWAY_REDIS_URL"] = url
        url = taken.settings["rate_limit_storage"] = "${MCP_GATEWAY_REDIS_URL}"
    _note_variables(taken, url if isinstance(url, str) else "", "rate_limit_storage")


def _note_variables(taken: Taken, text: str, what: str) -> None:
    for name in _PLACEHOLDER.findall(text):
        taken.variables.setdefault(name, what)
