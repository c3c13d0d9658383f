"""What each program is told of the configuration file.

The file has one owner, the supervisor, which gives each program its own part: `GatewaySettings` crosses the control
socket; `SupervisorSettings`, with the commands and their environment, never does.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    ValidationInfo,
    field_validator,
)

from common.config.access import AccessRules
from common.config.amounts import Amounts
from common.config.answers import Answers
from common.config.audit import Audit
from common.config.auth import Auth
from common.config.base import Model as Model
from common.config.catalog import Labels, Publicity
from common.config.cors import Cors
from common.config.sharing import Sharing
from common.config.users import Users
from common.config.values import (
    Cores,
    Count,
    Directory,
    HeaderName,
    NameOrId,
    Size,
    UidRange,
    VariableName,
    WholeNumber,
)
from common.config.warm import Warm, WarmMemory


class Limits(Model):
    """`limits`: what one session's whole tree may use; null is no limit.

    A key that a server does not give has the value that the file gives for all.
    """

    memory_max: Annotated[Size, Field(ge=1 << 20)] | None = ByteSize(1 << 30)
    tasks_max: Annotated[Count, Field(le=1 << 22)] | None = 512
    """Processes and threads."""
    cpu_max: Cores | None = None
    """Processors."""
    open_files_max: Annotated[WholeNumber, Field(ge=16, le=1 << 30)] | None = 4096
    file_size_max: Annotated[Size, Field(ge=1024)] | None = ByteSize(1 << 30)
    dir_size_max: Annotated[Size, Field(ge=1 << 16)] | None = ByteSize(1 << 30)
    """Bytes in the session's own directory."""


class Sandbox(Model):
    """`sandbox: bubblewrap`, or this with its keys: the system read-only, what may be written, and the network."""

    kind: Literal["bubblewrap"] = "bubblewrap"
    writable: tuple[Directory, ...] = ()
    hidden: tuple[Directory, ...] = ()
    """Directories that look empty inside."""
    network: bool = True


def _sandbox(value: object) -> object:
    if value is None or value == "none":
        return None
    if value == "bubblewrap":
        return {}
    if not isinstance(value, Mapping | Sandbox):
        raise ValueError("expected 'bubblewrap', 'none', or a map of its keys")
    return value


class Isolation(Model):
    """What holds for every server, and may be given for one: as whom its children run, and what they see."""

    user: NameOrId | None = None
    group: NameOrId | None = None
    uid_range: UidRange | None = None
    no_new_privs: bool = True
    home: Literal["private", "inherit"] = "private"
    inherit_env: tuple[VariableName, ...] = ()
    sandbox: Annotated[Sandbox | None, BeforeValidator(_sandbox)] = None
    stderr_files: bool = False
    packages: Literal["fetch", "as_written"] = "fetch"
    """Whether npx and uvx are run once, by the supervisor, or for each session."""

    @field_validator("uid_range")
    @classmethod
    def _is_one_of_both(cls, value: tuple[int, int] | None, info: ValidationInfo) -> tuple[int, int] | None:
        if value is not None and info.data.get("user") is not None:
            raise ValueError("expected either 'user' or 'uid_range', not both")
        return value


class Debug(Model):
    """`debug`."""

    level: Literal["error", "warn", "info", "debug", "verbose"] = "info"


class Protocol(Model):
    """What holds for every server, and may be given for one: which revisions are spoken with its clients, and how.

    A client of the modern era has no session of its own, so the rest says which child it gets.
    """

    resumable: bool = True
    """Whether a client may take up a broken stream where it broke."""
    modern: Literal["auto", "off", "relay"] = "auto"
    """Whether revision 2026-07-28 is served: always, never, or only where the child itself speaks it."""
    era: Literal["auto", "legacy", "modern", "dual"] = "auto"
    """What the child speaks, where that need not be found out."""
    anonymous: Literal["ephemeral", "shared", "reject"] = "ephemeral"
    """What a modern client gets that nothing tells apart from others: a child for one request, one for all, or none."""
    affinity_header: HeaderName | None = None
    """The header by which one principal's modern clients are told apart."""
    affinity_cookie: bool = True
    """Whether an anonymous modern client that sends our cookie back has a child of its own from then on."""
    handles: Literal["off", "inject"] = "off"
    """Whether a model may open sessions of its own by a handle, which is put into the schema of every tool."""


class ServerPolicy(Protocol, Answers, Sharing, Labels):
    """What the gateway may know of a server: nothing of how it is started."""

    start_timeout: float
    request_timeout: float
    max_message_bytes: int
    idle_timeout: float = 1800.0
    max_concurrency: int | None = None
    """Calls of tools that may be in flight at once, in all its sessions."""
    personal: tuple[str, ...] = ()
    """The placeholders of its configuration that are each user's own, such as `header:X-GitHub-Token`."""
    generation: int = 0
    """Another one after each reload that has changed how it is started, which the gateway is not told otherwise."""


class GatewaySettings(Model):
    """The gateway's part of the file."""

    hostname: str
    port: int
    node: str
    allowed_hosts: tuple[str, ...]
    auth: Auth
    users: Users = Users()
    amounts: Amounts = Amounts()
    cors: Cors | None = None
    debug: Debug
    drain_timeout: float = 5.0
    access: AccessRules | None = None
    audit: Audit | None = None
    publicity: Publicity = Publicity()
    disabled: tuple[str, ...] = ()
    """The servers that stand in the file and are not there."""
    servers: dict[str, ServerPolicy]


class Graces(Model):
    """The bounded waits, in seconds, between two steps of ending a child."""

    stop: float
    terminate: float
    kill: float


class ServerSpec(Warm):
    """How to start a server, how long its children may live, and how many stand ready."""

    name: str
    as_written: str
    """The command line as the file has it, variables not replaced: the one that a log may show."""
    command: str
    args: tuple[str, ...] = Field(repr=False)
    path: str | None
    env: dict[str, str] = Field(repr=False)
    allow_shared_uid: bool = False
    """Whether what is each user's own may be where others of its user can read it."""
    private: tuple[str, ...] = Field((), repr=False)
    """What of this is one user's own, once it is filled in: in no log, and in no core."""
    zygote: bool = False
    """Whether its sessions are forked from a process that has imported its modules."""
    idle_timeout: float
    max_lifetime: float
    graces: Graces
    max_sessions: int | None
    max_user_sessions: int | None = None
    limits: Limits = Limits()
    isolation: Isolation = Isolation()

    def is_started_like(self, other: "ServerSpec") -> bool:
        """Whether a child of the one may serve as a child of the other: how many stand ready is no part of that."""
        return self.model_copy(update={"warm": 0}) == other.model_copy(update={"warm": 0})


class SupervisorSettings(WarmMemory):
    """The supervisor's part of the file."""

    debug: Debug
    max_sessions: int
    max_user_sessions: int | None = None
    queue_max: int = 100
    queue_timeout: float = 10.0
    reaping: Literal["auto", "cgroup", "namespace", "tagged"] = "auto"
    wrapper: Literal["auto", "shim", "shells"] = "auto"
    reattach_grace: float = 30.0
    runtime_dir: str | None = None
    sessions_dir: str | None = None
    caches_dir: str | None = None
    install_timeout: float = 60.0
    """Seconds for which a start, and a reload, wait for packages that are not there yet."""
    servers: dict[str, ServerSpec]
