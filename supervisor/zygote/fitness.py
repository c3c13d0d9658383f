"""Whether a server can have a zygote, as far as the configuration and this machine's files tell. Reads one file."""

import os

from common.config.model import ServerSpec
from common.config.session_paths import begins_with_mark
from common.personal import placeholders
from supervisor.environment import SpawnError, resolve_command
from supervisor.packages import Tool
from supervisor.packages import fetches as is_fetched
from supervisor.packages import understand as understand_package
from supervisor.zygote.programs import NoProgram, understand

_OR_ELSE = "; take 'zygote' away, or start it with a console script, 'python -m MODULE' or 'python FILE'"


def unfit(spec: ServerSpec, reaping: str) -> str | None:
    """Why there can be no zygote of `spec`, and what to do; None where nothing is known against it.

    `reaping` is what the configuration says of how trees are kept whole.
    """
    if spec.isolation.uid_range is not None:
        return (
            "a fork cannot take on a user id of its own, which 'uid_range' gives each session; take one of the two away"
        )
    if spec.isolation.sandbox is not None:
        return "a fork cannot enter a sandbox of its own; take either 'zygote' or 'sandbox' away"
    if reaping == "namespace":
        return "a fork cannot enter a PID namespace of its own; say 'reaping: cgroup' or 'reaping: tagged'"
    if is_fetched(spec.command) and spec.isolation.packages == "fetch":
        package = understand_package(spec.command, spec.args)
        return f"npx starts no Python{_OR_ELSE}" if package is not None and package.tool is Tool.NPM else None
    if spec.path is not None and (begins_with_mark(spec.path) or placeholders(spec.path)):
        return None
    search = spec.env.get("PATH", os.environ.get("PATH", os.defpath))
    try:
        understand(resolve_command(spec, search), spec.args, spec.path or "/", search)
    except SpawnError:  # of which the operator is told anyway
        return None
    except NoProgram as error:
        return f"{error}{_OR_ELSE}"
    return None
