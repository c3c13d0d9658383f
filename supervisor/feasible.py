"""Whether this machine has what the configuration asks for: users, groups, directories, a working sandbox, a Python
program for a zygote.

What it has not is told like any mistake in the file, all at once, with file, line and remedy: at the start, at a reload,
and by --check.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from common.config.load import Settings, load
from common.config.model import Sandbox, ServerSpec, SupervisorSettings
from common.config.source import ConfigError, KeyPath
from supervisor import sandbox
from supervisor.exposure import certainly_exposed
from supervisor.reaping import find_programs, probe
from supervisor.users import AllInUse, Identities, UserError
from supervisor.wrapper import Inside, Wrapping, wrap
from supervisor.zygote.fitness import unfit


def load_for_here(path: Path) -> Settings:
    """The content of the file at `path`, which this machine can do. Raises ConfigError.

    May start a process or two, and waits for them.
    """
    settings = load(path)
    problems = {settings.source.problem(where, text) for where, text in _infeasible(settings)}
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.line, problem.key)))
    return settings


def _infeasible(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Where something cannot be had, and what to do."""
    source = settings.source
    for server, text in certainly_exposed(settings.supervisor):
        yield source.of_server(server, "headers"), text
    specs = settings.supervisor.servers.values()
    for spec in specs:
        if spec.zygote and (why := unfit(spec, settings.supervisor.reaping)) is not None:
            yield ("servers", spec.name, "zygote"), why
    missing = [(spec.name, *each) for spec in specs for each in _missing(spec.isolation.sandbox)]
    for name, key, number, text in missing:
        yield (*source.of_server(name, "sandbox"), key, number), text
    try:
        identities = Identities(settings.supervisor)
    except UserError as error:
        for mistake in error.mistakes:
            yield source.of_server(mistake.server, mistake.key), mistake.text
    else:
        if not missing:
            for name, text in _broken_sandboxes(settings.supervisor, identities):
                yield source.of_server(name, "sandbox"), text


def _missing(wanted: Sandbox | None) -> Iterator[tuple[str, int, str]]:
    """Keys of the sandbox, which item, and what is wrong with it."""
    if wanted is None:
        return
    for number, path in enumerate(wanted.writable):
        if not Path(path).exists():
            yield "writable", number, "there is nothing of that name; make the directory, or take it out of the list"
    for number, path in enumerate(wanted.hidden):
        if not Path(path).is_dir() and not sandbox.is_hidden_anyway(Path(path)):
            yield "hidden", number, "there is no such directory; make it, or take it out of the list"


def _broken_sandboxes(settings: SupervisorSettings, identities: Identities) -> Iterator[tuple[str, str]]:
    """Servers whose sandbox cannot be made, each tried as the user that its sessions have."""
    tried: dict[object, str | None] = {}
    for spec in settings.servers.values():
        own = spec.isolation
        if own.sandbox is not None:
            kind = (own.sandbox, own.user, own.uid_range)
            if kind not in tried:
                tried[kind] = _try(own.sandbox, spec, identities)
            if (text := tried[kind]) is not None:
                yield spec.name, text


def _try(wanted: Sandbox, spec: ServerSpec, identities: Identities) -> str | None:
    """What is wrong with it, if anything is."""
    programs = find_programs()
    if "bwrap" not in programs:
        return "bubblewrap is not installed; on Debian, 'apt-get install bubblewrap' does it"
    if "setpriv" not in programs:
        return "setpriv is not installed; on Debian, 'apt-get install util-linux' does it"
    try:
        identity = identities.acquire(spec)
    except AllInUse:
        return None
    wrapping = Wrapping(
        uid=identity.uid if identity is not None else None,
        gid=identity.gid if identity is not None else None,
        no_new_privs=spec.isolation.no_new_privs,
        inside=Inside.BUBBLEWRAP,
        sandbox=sandbox.options(wanted, None, ()),
    )
    result = probe(wrap(["true"], wrapping, os.getpid(), programs))
    if result is None:
        return "bubblewrap did not make it in time; try again, or take the key away"
    if result.returncode == 0:
        return None
    said = " ".join(result.stderr.decode(errors="replace").split())
    return (
        f"bubblewrap cannot make it here ({said}); where it says 'Permission denied' or 'Operation not permitted', "
        "allow user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
    )
