"""What is each user's own in how a server is started: values that the gateway sends with `Open`.

A gateway that was broken into may send anything. So nothing is filled in but the placeholders that the server's own
configuration has, and each value is looked at once more: whether it is a value at all, and whether it may stand where
it is to stand.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from loguru import logger

from common.config.model import ServerSpec
from common.personal import MAX_TOGETHER, are_too_long, fault, fill, placeholders, said
from common.reasons import Reason
from supervisor.environment import SpawnError

_LONGEST_NAME: Final = 255
"""Bytes of one component of a path: NAME_MAX of all that is in use."""


def asks_for(spec: ServerSpec) -> tuple[str, ...]:
    """The placeholders of a user's own that its configuration has."""
    return placeholders(*spec.env.values(), *spec.args, spec.path or "")


def for_user(spec: ServerSpec, values: Mapping[str, str]) -> ServerSpec:
    """`spec` with `values`, by placeholder, in the place of their marks. What is filled in is not looked at again.

    Raises SpawnError where a value is missing, or may not stand where it would. Its text quotes none.
    """
    declared = asks_for(spec)
    if unasked := len(values.keys() - set(declared)):
        logger.warning("server {}: {} values that it does not ask for came with a request for it", spec.name, unasked)
    if not declared:
        return spec
    own = {name: values[name] for name in declared if name in values}
    if (why := next(_faults(spec, own, values), None)) is not None:
        raise _refused(spec, Reason.CREDENTIAL_MALFORMED, why)
    if missing := [said(name) for name in declared if name not in own]:
        raise _refused(spec, Reason.CREDENTIAL_MISSING, f"{', '.join(missing)} did not come with the request")
    return spec.model_copy(
        update={
            "args": tuple(fill(each, own) for each in spec.args),
            "env": {name: fill(value, own) for name, value in spec.env.items()},
            "path": None if spec.path is None else fill(spec.path, own),
            "private": tuple(own.values()),
        }
    )


def _refused(spec: ServerSpec, reason: Reason, why: str) -> SpawnError:
    message = f"server '{spec.name}' cannot be started for this user: {why}"
    logger.warning("refused a child of {}: {}", spec.name, why)
    return SpawnError(reason, message, message)


def _faults(spec: ServerSpec, own: Mapping[str, str], values: Mapping[str, str]) -> Iterator[str]:
    for name, value in own.items():
        if (wrong := fault(value)) is not None:
            yield f"{said(name)} {wrong}"
    if are_too_long(values.values()):
        yield f"what came for it is longer than {MAX_TOGETHER} bytes together"
    for name in placeholders(*spec.args):
        if name in own and own[name].startswith("-"):
            yield f"{said(name)} begins with '-', and would be taken for an option"
    for name in placeholders(spec.path or ""):
        if name in own and not _is_component(own[name]):
            yield f"{said(name)} is no name that one directory may have"


def _is_component(name: str) -> bool:
    """Whether `name` is that of a directory right below another, and of one that is neither hidden nor an option."""
    return "/" not in name and not name.startswith((".", "-", "~")) and len(name.encode()) <= _LONGEST_NAME
