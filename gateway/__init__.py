"""The gateway: it faces the network, and never forks, signals or sees a command line.

For a program that is to have one within itself, `create_app` and `Gateway` are here. They stand above the gateway, and
are imported when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.config.source import ConfigError
    from embedding.application import create_app
    from embedding.beside import CannotStart
    from embedding.served import Gateway

_ELSEWHERE = {
    "CannotStart": "embedding.beside",
    "ConfigError": "common.config.source",
    "Gateway": "embedding.served",
    "create_app": "embedding.application",
}

__all__ = ["CannotStart", "ConfigError", "Gateway", "create_app"]


def __getattr__(name: str) -> object:
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
