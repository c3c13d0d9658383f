"""What a configuration file may say: every key, its type, its default.

The file has one owner, the supervisor, which gives each program its own part: `GatewaySettings` crosses the control
socket; `SupervisorSettings`, with the commands and their environment, never does.
"""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    model_validator,
)

from common.units import Duration

SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_NODE_NAME = re.compile(r"[A-Za-z0-9-]{1,16}")
RESERVED_NAMES: Final = frozenset(
    """api mcp sse ws message messages health metrics docs openapi.json openapi.yaml deploy admin dashboard static
    oauth favicon.ico v1 sessionid sessions""".split()
)
"""First segments of paths that the gateway's own routes use or will use."""

DEFAULT_IDLE_TIMEOUT: Final = 30 * 60.0
"""Above LibreChat's own 15 minutes, so that its DELETE normally comes first."""


class Model(BaseModel):
    """No unknown keys, no silent conversions of what matters, and no value in an error's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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


def _home(path: str) -> str:
    expanded = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises something else
    if expanded.startswith("~"):
        raise ValueError("expected a path; there is no user of that name")
    return expanded


Directory = Annotated[str, Field(min_length=1), AfterValidator(_home)]


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
    if match is None or not 0 < int(match[1]) <= int(match[2]) < 1 << 32:
        raise ValueError("expected a range of user ids such as 600000-665535, without 0")
    return int(match[1]), int(match[2])


DrainTimeout = Annotated[Duration, Field(le=30)]
"""Short enough for whoever waits for the gateway's end: the launcher, and the unit's TimeoutStopSec=."""

NodeName = Annotated[str, AfterValidator(_node_name)]
ServerName = Annotated[str, AfterValidator(_server_name)]
NonEmpty = Annotated[str, Field(min_length=1)]
Word = Annotated[str, BeforeValidator(_word)]
Secret = Annotated[SecretStr, Field(min_length=1), PlainSerializer(_secret_to_wire)]
Count = Annotated[int, BeforeValidator(_no_truth), Field(ge=1)]
Port = Annotated[int, BeforeValidator(_no_truth), Field(ge=0, le=65535)]


_LARGEST_SIZE: Final = 1 << 50
"""Bytes; what is above is a slip of the pen, or more than the kernel takes as a number."""


class Limits(Model):
    """`limits`: what one session's whole tree may use; null is no limit.

    A key that a server does not give has the value that the file gives for all.
    """

    memory_max: Annotated[ByteSize, Field(ge=1 << 20, le=_LARGEST_SIZE)] | None = ByteSize(1 << 30)
    tasks_max: Annotated[Count, Field(le=1 << 22)] | None = 512
    """Processes and threads."""
    cpu_max: Annotated[float, BeforeValidator(_cores), Field(gt=0, le=4096)] | None = None
    """Processors."""
    open_files_max: Annotated[int, BeforeValidator(_no_truth), Field(ge=16, le=1 << 30)] | None = 4096
    file_size_max: Annotated[ByteSize, Field(ge=1024, le=_LARGEST_SIZE)] | None = ByteSize(1 << 30)
    dir_size_max: Annotated[ByteSize, Field(ge=1 << 16, le=_LARGEST_SIZE)] | None = ByteSize(1 << 30)
    """Bytes in the session's own directory."""


class Sandbox(Model):
    """`sandbox: bubblewrap`, or this with its keys: the system read-only, what may be written, and the network."""

    kind: Literal["bubblewrap"] = "bubblewrap"
    writable: tuple[Directory, ...] = ()
    hidden: tuple[Directory, ...] = ()
    """Directories that look empty inside."""
    network: bool = True


def _sandbox(value: object) -> object:
    return {"kind": value} if isinstance(value, str) and value != "none" else None if value == "none" else value


class Isolation(Model):
    """What holds for every server, and may be given for one: as whom its children run, and what they see."""

    user: NonEmpty | None = None
    group: NonEmpty | None = None
    uid_range: Annotated[tuple[int, int], BeforeValidator(_uid_range)] | None = None
    no_new_privs: bool = True
    home: Literal["private", "inherit"] = "private"
    inherit_env: tuple[NonEmpty, ...] = ()
    sandbox: Annotated[Sandbox | None, BeforeValidator(_sandbox)] = None
    stderr_files: bool = False
    packages: Literal["fetch", "as_written"] = "fetch"
    """Whether npx and uvx are run once, by the supervisor, or for each session."""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Isolation":
        if self.user is not None and self.uid_range is not None:
            raise ValueError("expected either 'user' or 'uid_range', not both")
        return self


class SessionLimits(Model):
    """What holds for every session, and may be given for one server too."""

    idle_timeout: Duration = DEFAULT_IDLE_TIMEOUT
    max_lifetime: Duration = 24 * 3600.0
    start_timeout: Duration = 24.0
    request_timeout: Duration = 300.0
    stop_grace: Duration = 2.0
    terminate_grace: Duration = 3.0
    kill_grace: Duration = 5.0
    max_message_bytes: Annotated[ByteSize, Field(ge=1024, le=1 << 30)] = ByteSize(16 * 1024 * 1024)
    resumable: bool = True
    """Whether a client whose event stream broke may come back for the rest of it."""


class _LimitOverrides(Model):
    """The same keys as SessionLimits, each of them unset: a server's own say in the matter."""

    idle_timeout: Duration | None = None
    max_lifetime: Duration | None = None
    start_timeout: Duration | None = None
    request_timeout: Duration | None = None
    stop_grace: Duration | None = None
    terminate_grace: Duration | None = None
    kill_grace: Duration | None = None
    max_message_bytes: Annotated[ByteSize, Field(ge=1024, le=1 << 30)] | None = None
    resumable: bool | None = None


class ServerEntry(_LimitOverrides, Isolation):
    """One entry under `servers:`."""

    command: NonEmpty
    args: tuple[Word, ...] = ()
    path: Directory | None = None
    env: dict[NonEmpty, Word] = Field(default_factory=dict)
    max_sessions: Count | None = None
    max_user_sessions: Count | None = None
    limits: Limits | None = None


class BasicCredentials(Model):
    """One user of HTTP Basic authentication."""

    username: Annotated[str, Field(min_length=1), AfterValidator(_without_colon)]
    password: Secret


class BasicAuth(Model):
    """`auth.basic`."""

    enabled: bool = True
    credentials: tuple[BasicCredentials, ...] = ()

    @model_validator(mode="after")
    def _has_credentials(self) -> "BasicAuth":
        if self.enabled and not self.credentials:
            raise ValueError("enabled without any credentials; expected at least one under 'credentials'")
        return self


class BearerAuth(Model):
    """`auth.bearer`."""

    enabled: bool = True
    tokens: tuple[Annotated[Secret, AfterValidator(_without_blanks)], ...] = ()

    @model_validator(mode="after")
    def _has_tokens(self) -> "BearerAuth":
        if self.enabled and not self.tokens:
            raise ValueError("enabled without any token; expected at least one under 'tokens'")
        return self


class Auth(Model):
    """`auth`: whatever is on, anything valid admits."""

    basic: BasicAuth | None = None
    bearer: BearerAuth | None = None

    @property
    def is_on(self) -> bool:
        return self.basic_is_on or self.bearer_is_on

    @property
    def basic_is_on(self) -> bool:
        return self.basic is not None and self.basic.enabled

    @property
    def bearer_is_on(self) -> bool:
        return self.bearer is not None and self.bearer.enabled


class Debug(Model):
    """`debug`."""

    level: Literal["error", "warn", "info", "debug", "verbose"] = "info"


class ServerPolicy(Model):
    """What the gateway may know of a server: nothing of how it is started."""

    start_timeout: float
    request_timeout: float
    max_message_bytes: int
    resumable: bool = True


class GatewaySettings(Model):
    """The gateway's part of the file."""

    hostname: str
    port: int
    node: str
    allowed_hosts: tuple[str, ...]
    auth: Auth
    debug: Debug
    drain_timeout: float = 5.0
    servers: dict[str, ServerPolicy]


class Graces(Model):
    """The bounded waits, in seconds, between two steps of ending a child."""

    stop: float
    terminate: float
    kill: float


class ServerSpec(Model):
    """How to start a server, and how long its children may live."""

    name: str
    as_written: str
    """The command line as the file has it, variables not replaced: the one that a log may show."""
    command: str
    args: tuple[str, ...] = Field(repr=False)
    path: str | None
    env: dict[str, str] = Field(repr=False)
    idle_timeout: float
    max_lifetime: float
    graces: Graces
    max_sessions: int | None
    max_user_sessions: int | None = None
    limits: Limits = Limits()
    isolation: Isolation = Isolation()


class SupervisorSettings(Model):
    """The supervisor's part of the file."""

    debug: Debug
    max_sessions: int
    max_user_sessions: int | None = None
    queue_max: int = 100
    queue_timeout: float = 10.0
    reaping: Literal["auto", "cgroup", "namespace", "tagged"] = "auto"
    reattach_grace: float = 30.0
    runtime_dir: str | None = None
    sessions_dir: str | None = None
    caches_dir: str | None = None
    servers: dict[str, ServerSpec]


class ConfigFile(SessionLimits, Isolation):
    """The whole file, as its author sees it. Only the loader handles one."""

    hostname: NonEmpty = "127.0.0.1"
    port: Port = 3000
    node: NodeName = "gw"
    allowed_hosts: tuple[NonEmpty, ...] = ()
    debug: Debug = Debug()
    auth: Auth = Auth()
    drain_timeout: DrainTimeout = 5.0
    max_sessions: Count = 200
    max_user_sessions: Count | None = None
    queue_max: Annotated[int, BeforeValidator(_no_truth), Field(ge=0)] = 100
    queue_timeout: Duration = 10.0
    reaping: Literal["auto", "cgroup", "namespace", "tagged"] = "auto"
    reattach_grace: Duration = 30.0
    runtime_dir: Directory | None = None
    sessions_dir: Directory | None = None
    caches_dir: Directory | None = None
    limits: Limits = Limits()
    servers: dict[ServerName, ServerEntry] = Field(min_length=1)

    def _limit(self, entry: ServerEntry, key: str) -> float:
        own = getattr(entry, key)
        return float(getattr(self, key) if own is None else own)

    def _limits(self, entry: ServerEntry) -> Limits:
        """The file's limits, with those that the server gives itself, null included, in their place."""
        own = entry.limits
        return self.limits if own is None else self.limits.model_copy(update=_given(own))

    def _isolation(self, entry: ServerEntry) -> Isolation:
        given = _given(entry)
        own = {key: given[key] for key in Isolation.model_fields if key in given}
        if "user" in own or "uid_range" in own:  # the server's own say in the matter is all there is of it
            own = {"user": None, "uid_range": None} | own
        every = {key: getattr(self, key) for key in Isolation.model_fields} | own
        return Isolation.model_construct(None, **every)

    def gateway(self) -> GatewaySettings:
        """The gateway's part."""
        policies = {
            name: ServerPolicy(
                start_timeout=self._limit(entry, "start_timeout"),
                request_timeout=self._limit(entry, "request_timeout"),
                max_message_bytes=int(self._limit(entry, "max_message_bytes")),
                resumable=self.resumable if entry.resumable is None else entry.resumable,
            )
            for name, entry in self.servers.items()
        }
        return GatewaySettings(
            hostname=self.hostname,
            port=self.port,
            node=self.node,
            allowed_hosts=self.allowed_hosts,
            auth=self.auth,
            debug=self.debug,
            drain_timeout=self.drain_timeout,
            servers=policies,
        )

    def supervisor(self, as_written: Mapping[str, str]) -> SupervisorSettings:
        """The supervisor's part. `as_written` has each server's command line before its variables were replaced."""
        specs = {
            name: ServerSpec(
                name=name,
                as_written=as_written[name],
                command=entry.command,
                args=entry.args,
                path=entry.path,
                env=entry.env,
                idle_timeout=self._limit(entry, "idle_timeout"),
                max_lifetime=self._limit(entry, "max_lifetime"),
                graces=Graces(
                    stop=self._limit(entry, "stop_grace"),
                    terminate=self._limit(entry, "terminate_grace"),
                    kill=self._limit(entry, "kill_grace"),
                ),
                max_sessions=entry.max_sessions,
                max_user_sessions=entry.max_user_sessions,
                limits=self._limits(entry),
                isolation=self._isolation(entry),
            )
            for name, entry in self.servers.items()
        }
        return SupervisorSettings(
            debug=self.debug,
            max_sessions=self.max_sessions,
            max_user_sessions=self.max_user_sessions,
            queue_max=self.queue_max,
            queue_timeout=self.queue_timeout,
            reaping=self.reaping,
            reattach_grace=self.reattach_grace,
            runtime_dir=self.runtime_dir,
            sessions_dir=self.sessions_dir,
            caches_dir=self.caches_dir,
            servers=specs,
        )


def _given(model: BaseModel) -> dict[str, object]:
    """What the file gives for `model`, null included."""
    return {key: getattr(model, key) for key in model.model_fields_set}
