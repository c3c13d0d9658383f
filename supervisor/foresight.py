"""What an operator should know of the servers before anybody asks for one. Warnings: the other servers work."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common.config.model import ServerSpec
from common.config.session_paths import begins_with_mark
from common.personal import placeholders, said
from supervisor.environment import SpawnError, resolve_command
from supervisor.passage import in_the_way
from supervisor.personal import asks_for
from supervisor.sandbox import hides


def warnings(specs: Iterable[ServerSpec], is_there: Callable[[ServerSpec], bool] = lambda _: False) -> Iterator[str]:
    """A line for each thing that will go wrong, or is unwise.

    `is_there` says of a server whether its package was fetched before, so that npx or uvx need not be.
    """
    specs = list(specs)
    for spec in specs:
        yield from _of_one(spec, is_there)
    as_root = [spec.name for spec in specs if _runs_as_root(spec)]
    if as_root:
        names = ", ".join(as_root)
        yield f"sessions of {names} run as root; give them a user each with 'uid_range', or one with 'user'"


def _of_one(spec: ServerSpec, is_there: Callable[[ServerSpec], bool]) -> Iterator[str]:
    if spec.warm != 0 and (own := asks_for(spec)):
        what = ", ".join(map(said, own))
        yield (
            f"servers.{spec.name}.warm: it is started with each user's own ({what}), so no child of it can stand ready; "
            "only its package does"
        )
    elif spec.zygote and spec.warm not in (0, "auto"):
        yield f"servers.{spec.name}.warm: its sessions are forked from its zygote, so none stands ready; take 'warm' away"
    if spec.path is not None and (begins_with_mark(spec.path) or placeholders(spec.path)):
        return  # it is there when its session is, or when its user comes
    if spec.path is not None and not os.path.isdir(spec.path):  # noqa: PTH112 - nor is it one where nobody may look
        yield f"servers.{spec.name}.path: {spec.path} is not a directory; no session of it can be started"
        return
    try:
        search = spec.env.get("PATH", os.environ.get("PATH", os.defpath))
        command = resolve_command(spec, search)
    except SpawnError as error:
        if not is_there(spec):
            yield f"servers.{spec.name}.command: {error.detail}; no session of it can be started"
        return
    if spec.isolation.sandbox is not None and (directory := hides(spec.isolation.sandbox, Path(command))):
        yield f"servers.{spec.name}.sandbox: {command} is not seen in it, for {directory} looks empty there"
    if spec.isolation.uid_range is not None and (closed := in_the_way(Path(command), search)) is not None:
        yield (
            f"servers.{spec.name}.command: the users of 'uid_range' cannot start {command}, because {closed} is closed "
            "to them; have the program, and what interprets it, in a place that all users may enter, such as /opt"
        )


def _runs_as_root(spec: ServerSpec) -> bool:
    return os.geteuid() == 0 and spec.isolation.user in (None, "root", "0") and spec.isolation.uid_range is None
