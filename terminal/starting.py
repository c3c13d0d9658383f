"""A first configuration, with comments that explain it. Pure, but for the randomness of its tokens."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

_WIDTH: Final = 110

KNOWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "notepad": {"command": "mcp-notepad"},
    "filesystem": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem"]},
    "time": {"command": "uvx", "args": ["mcp-server-time"]},
    "memory": {
        "command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-memory"],
        "env": {"MEMORY_FILE_PATH": "${session.work}/memory.jsonl"},
    },
    "fetch": {"command": "uvx", "args": ["mcp-server-fetch"]},
    "git": {"command": "uvx", "args": ["mcp-server-git"]},
    "everything": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-everything"]},
}
"""Servers that people begin with."""

_EXPLAINED: Final = {
    "notepad": "comes with the gateway, needs nothing, and shows that each session has a process of its own",
    "filesystem": "all its sessions share these files",
    "memory": "each session has a graph of its own, which ends with it",
    "time": "needs uv",
    "fetch": "needs uv; it reads whatever page it is asked for, those of your own network included",
    "git": "needs uv; all its sessions share the repository",
    "everything": "for trying out what a client can do; needs Node",
}


class Audience(StrEnum):
    """Who may come in."""

    MACHINE = "machine"
    LIBRECHAT = "librechat"
    USERS = "users"


@dataclass(frozen=True)
class Plan:
    """What to write. No `repr` shows a hash."""

    audience: Audience
    port: int
    servers: Mapping[str, Mapping[str, Any]] = field(repr=False)
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By the name of its token, what stands for it."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """More keys at the top, which win."""
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    denied: Sequence[str] = ()


def text_of(plan: Plan) -> str:
    """The file."""
    top = CommentedMap()
    said: dict[str, str] = {}
    _where(plan, top, said)
    _who(plan, top, said)
    for key, value in plan.settings.items():
        top[key] = value
        if key == "hostname" or key == "port":
            said.pop(key, None)
    if plan.denied:
        rules = top.get("access") or [{"allow": "*", "to": ["*"]}]
        top["access"] = [*rules, {"deny": "*", "to": list(plan.denied)}]
        said["access"] = "Who may use what: these tools were switched off in the file that this one was made from."
    said["servers"] = (
        "Each session gets a process of its own of one of these. 'mcp-gateway check' starts each once.\n"
        "A process of one's own is not files of one's own: what a server keeps on disk, all its sessions share."
    )
    top["servers"] = _servers(plan)
    for key, text in said.items():
        top.yaml_set_comment_before_after_key(key, before=f"\n{text}")
    return _HEAD + _dumped(top) + "".join(f"# Left out: {one_line(each)}\n" for each in plan.left_out)


_HEAD: Final = """\
# mcp-gateway: who is served what. Every key, with its default, is in docs/configuration.md.
# A key that is not here has its default. Texts may hold ${VARIABLE}, taken from the environment of the gateway.
"""


def _where(plan: Plan, top: CommentedMap, said: dict[str, str]) -> None:
    alone = plan.audience is Audience.MACHINE
    top["hostname"] = "127.0.0.1" if alone else "0.0.0.0"  # noqa: S104 - those who come in prove who they are
    top["port"] = plan.port
    said["hostname"] = (
        "Only programs on this machine reach it. For others: 0.0.0.0, and 'auth', which says who may come in."
        if alone
        else "Whoever reaches it over the network must come in by 'auth', below. TLS is for a proxy in front."
    )


def _who(plan: Plan, top: CommentedMap, said: dict[str, str]) -> None:
    if not plan.hashes:
        return
    tokens = [{"name": name, "hash": hash_} for name, hash_ in plan.hashes.items()]
    top["auth"] = {"bearer": {"tokens": tokens}}
    said["auth"] = (
        "Who may come in, with 'Authorization: Bearer …'. A hash lets nobody in who reads it here;\n"
        "'mcp-gateway hash --new' makes another token with its hash."
    )
    if plan.audience is Audience.LIBRECHAT:
        top["trust_user_header"] = "X-Gateway-User"
        top["trusted_fronts"] = list(plan.hashes)
        top["require_user"] = True
        said["trust_user_header"] = (
            "LibreChat says for which of its users it asks, and nobody comes in for everybody: see docs/librechat.md."
        )


def _servers(plan: Plan) -> CommentedMap:
    servers = CommentedMap()
    for name, entry in plan.servers.items():
        servers[name] = _entry(entry)
        remarks = list(plan.remarks.get(name, ()))
        if not remarks and name in _EXPLAINED and _is_known(entry, KNOWN[name]):
            remarks = [_EXPLAINED[name]]
        if remarks:
            servers.yaml_set_comment_before_after_key(name, before="\n".join(map(one_line, remarks)), indent=2)
    return servers


def _is_known(entry: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether what is said of `known` is true of `entry`, which may have more arguments."""
    return all((entry.get(key) or empty) == (known.get(key) or empty) for key, empty in (("command", ""), ("env", {})))


def _entry(entry: Mapping[str, Any]) -> CommentedMap:
    written = CommentedMap(entry)
    for key, value in entry.items():
        if isinstance(value, list):
            written[key] = CommentedSeq(value)
            written[key].fa.set_flow_style()
    return written


def _dumped(top: CommentedMap) -> str:
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(top, out)
    return out.getvalue()


def one_line(text: str) -> str:
    """`text` as it may stand in a comment."""
    return "".join(each if each.isprintable() else "�" for each in " ".join(text.split()))
