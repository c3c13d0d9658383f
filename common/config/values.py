"""What one value of a configuration file may be: names, numbers, sizes, paths, secrets; the checks, and their words."""

import os
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationInfo,
)

from common.config.session_paths import begins_with_mark
from common.units import Duration

SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_NODE_NAME = re.compile(r"[A-Za-z0-9-]{1,16}")
RESERVED_NAMES: Final = frozenset(
    """api mcp sse ws message messages health metrics docs openapi.json openapi.yaml deploy admin dashboard static
    oauth favicon.ico v1 sessionid sessions actions certificates""".split()
)
"""First segments of paths that the gateway's own routes use or will use."""


_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADERS_WITH_A_MEANING: Final = frozenset(
    """accept authorization cache-control connection content-length content-type cookie forwarded host last-event-id
    mcp-method mcp-name mcp-protocol-version mcp-session-id origin te trailer transfer-encoding upgrade""".split()
)

_HEADERS_WITH_THE_GATEWAYS_SECRETS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})

NO_ID: Final = 2**32 - 1
"""The user or group id by which the kernel means nobody: who is to become it stays who it is."""


class WrittenInt(int):
    """A whole number that still knows its digits."""

    written: str

    def __str__(self) -> str:
        return self.written


class WrittenFloat(float):
    """A number that still knows its digits."""

    written: str

    def __str__(self) -> str:
        return self.written


def _server_name(name: str) -> str:
    if not SERVER_NAME.fullmatch(name):
        raise ValueError(
            "expected a server name of 1 to 32 letters, digits, '.', '_' or '-' that begins with a letter or a digit"
        )
    if name.lower() in RESERVED_NAMES:
        raise ValueError("this name is taken by a route of the gateway; expected another one")
    return name


def _word(value: object) -> object:
    """A number that was written without quotes is a word too, as it was written: 8080, 3.10, 0755."""
    return str(value) if isinstance(value, WrittenInt | WrittenFloat) else value


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    return value


def _secret_to_wire(value: SecretStr, info: SerializationInfo) -> str:
    return value.get_secret_value() if info.context == REVEAL_SECRETS else str(value)


REVEAL_SECRETS: Final = "reveal secrets"
"""The serialization context in which the supervisor hands the gateway its settings; elsewhere secrets are stars."""


def _node_name(name: str) -> str:
    if not _NODE_NAME.fullmatch(name):
        raise ValueError("expected 1 to 16 letters, digits or '-'")
    return name


def _absolute(path: str, info: ValidationInfo) -> str:
    """`path` without a tilde, and below the directory that the context of the validation names, if it is relative."""
    expanded = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises something else
    if expanded.startswith("~"):
        raise ValueError("expected a path; there is no user of that name")
    if info.context is None or begins_with_mark(expanded):
        return expanded
    return str(Path(info.context, expanded))


def _variable(name: str) -> str:
    if "=" in name or not name.isprintable():
        raise ValueError("expected the name of a variable, without '='")
    return name


def _host(host: str) -> str:
    if "/" in host:
        raise ValueError("expected a name, with or without a port, and nothing before or after them")
    return host


def _header(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("expected the name of a header: letters, digits and '-'")
    if name.lower() in _HEADERS_WITH_A_MEANING:
        raise ValueError("this header has a meaning of its own; expected another one")
    return name


def _header_of_users_own(name: str) -> str:
    if name.lower() in _HEADERS_WITH_THE_GATEWAYS_SECRETS:
        raise ValueError("this header holds what admits to the gateway, which no server is given; expected another one")
    return _header(name)


def _without_colon(username: str) -> str:
    if ":" in username:
        raise ValueError("expected a name without a colon, which ends the name in HTTP Basic authentication")
    return username


def _without_blanks(token: SecretStr) -> SecretStr:
    if token.get_secret_value() != token.get_secret_value().strip():
        raise ValueError("expected a token without blanks around it, which no header can carry")
    return token


def _cores(value: object) -> object:
    """Cores from a share of one such as 50% or 150%, or from a number of them."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        return float(match[1]) / 100
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a share of one processor such as 50%, or a number of processors such as 1.5")
    return float(value)


def _uid_range(value: object) -> object:
    match = re.fullmatch(r"(\d+)-(\d+)", value.strip()) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) <= int(match[2]) < NO_ID:
        raise ValueError("expected a range of user ids such as 600000-665535, without 0")
    return int(match[1]), int(match[2])


def _at_most(longest: float) -> AfterValidator:
    """For a duration of `longest` seconds, or less."""

    def check(value: float) -> float:
        if value > longest:
            raise ValueError(f"expected {longest:g}s or less")
        return value

    return AfterValidator(check)


LEAST_LOOK: Final = 10
"""Seconds between two looks at a server, at the least."""

LookInterval = Annotated[Duration, Field(ge=LEAST_LOOK)]
"""Long enough that looking at a server is no load: each look costs a start of it."""

DrainTimeout = Annotated[Duration, _at_most(30), Field(le=30)]
"""Short enough for whoever waits for the gateway's end: the launcher, and the unit's TimeoutStopSec=."""

InstallTimeout = Annotated[Duration, _at_most(600), Field(le=600)]
"""Who waits for the gateway's start may wait for that long, too."""

NodeName = Annotated[str, AfterValidator(_node_name)]
ServerName = Annotated[str, AfterValidator(_server_name)]
NonEmpty = Annotated[str, Field(min_length=1)]
Word = Annotated[str, BeforeValidator(_word)]
NameOrId = Annotated[Word, Field(min_length=1)]
VariableName = Annotated[str, Field(min_length=1), AfterValidator(_variable)]
HostName = Annotated[str, Field(min_length=1), AfterValidator(_host)]
HeaderName = Annotated[str, AfterValidator(_header)]
PersonalHeader = Annotated[str, AfterValidator(_header_of_users_own)]
"""The name of a header whose value a server may be given."""
Directory = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
"""A path; a relative one is relative to the configuration file's directory."""
Secret = Annotated[SecretStr, Field(min_length=1), PlainSerializer(_secret_to_wire)]
UserName = Annotated[str, Field(min_length=1), AfterValidator(_without_colon)]
Token = Annotated[Secret, AfterValidator(_without_blanks)]
WholeNumber = Annotated[int, BeforeValidator(_no_truth)]
Count = Annotated[WholeNumber, Field(ge=1)]
Port = Annotated[WholeNumber, Field(ge=0, le=65535)]
Cores = Annotated[float, BeforeValidator(_cores), Field(gt=0, le=4096)]
UidRange = Annotated[tuple[int, int], BeforeValidator(_uid_range)]
Size = Annotated[ByteSize, Field(le=1 << 50)]
"""Bytes; what is above is a slip of the pen, or more than the kernel takes as a number."""
