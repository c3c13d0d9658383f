"""A server spec with a test's own differences, and settings of such servers."""

from typing import Any

from common.config.model import Debug, Graces, ServerSpec, SupervisorSettings


def server_spec(name: str = "fs", **differences: Any) -> ServerSpec:
    """A server that starts `cat` unless told otherwise; `differences` are fields of ServerSpec."""
    plain: dict[str, Any] = {
        "name": name,
        "as_written": "as written",
        "command": "/bin/cat",
        "args": (),
        "path": None,
        "env": {},
        "idle_timeout": 1000,
        "max_lifetime": 1000,
        "graces": Graces(stop=1, terminate=1, kill=1),
        "max_sessions": None,
    }
    return ServerSpec(**(plain | differences))


def supervisor_settings(*servers: ServerSpec, **differences: Any) -> SupervisorSettings:
    """The supervisor's part of a configuration with these servers; `differences` are its other fields."""
    plain: dict[str, Any] = {"debug": Debug(), "max_sessions": 9, "servers": {each.name: each for each in servers}}
    return SupervisorSettings(**(plain | differences))
