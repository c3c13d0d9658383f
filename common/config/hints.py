"""What people mostly mean by what they wrote, where the configuration is no YAML, or a key stands at a wrong place."""

import re
from collections.abc import Mapping
from typing import Final

from common.config.file import ConfigFile, ServerEntry
from common.config.source import KeyPath

_OF_YAML: Final = {
    "expected <block end>": "what belongs to one list or map begins in the same column",
    "mapping values are not allowed": "is this line indented too far, or does a text with ': ' lack its quotes?",
    "found character '\\t'": "indent with spaces",
    "expected ',' or": "within { } and [ ] a text that holds ${…} must be in quotes, and each bracket closed",
}
_DUPLICATE: Final = re.compile(r'duplicate key "([A-Za-z_][\w.-]*)"')


def of_yaml(said: str) -> str:
    """What to add to what the parser says; empty where it is not known."""
    return next((f"; {hint}" for what, hint in _OF_YAML.items() if said.startswith(what)), "")


def of_duplicate(said: str) -> str:
    """Of a key that stands twice in a map, by what the parser says of it, which quotes its values, too."""
    found = _DUPLICATE.search(said)
    return f"'{found[1]}' stands here a second time; keep one of the two" if found else "the same key stands here twice"


def of_place(path: KeyPath, document: Mapping[str, object]) -> str | None:
    """Where the unknown key at `path` belongs; None where it is at home nowhere."""
    key, value = str(path[-1]), _at(path, document)
    if len(path) > 1:
        return "this key belongs at the top of the file, not here" if key in ConfigFile.model_fields else None
    if key == "mcpServers":
        return "this is how clients write it; 'mcp-gateway init --from' makes a configuration of such a file"
    if isinstance(value, Mapping) and "command" in value:
        return "unknown key; if it is a server, indent it, for servers stand under 'servers'"
    return "this key belongs in the entry of a server" if key in ServerEntry.model_fields else None


def _at(path: KeyPath, document: object) -> object:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document
