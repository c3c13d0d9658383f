"""The whole configuration file as its author sees it: every key, its type, its default. Only the loader handles one."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, ByteSize, Field, model_validator

from common.config.access import AccessOfFile
from common.config.amounts import USER_CHILDREN, Amounts, check_amounts
from common.config.answers import Answers
from common.config.audit import Audit
from common.config.auth import Auth
from common.config.base import Model
from common.config.catalog import Labels, Publicity, check_some_are_enabled
from common.config.cors import Cors
from common.config.fronts import check_fronts
from common.config.model import (
    Debug,
    GatewaySettings,
    Graces,
    Isolation,
    Limits,
    Protocol,
    ServerPolicy,
    ServerSpec,
    SupervisorSettings,
)
from common.config.sharing import Sharing, check_users_are_known
from common.config.users import Users
from common.config.values import (
    Count,
    Directory,
    DrainTimeout,
    HostName,
    InstallTimeout,
    NodeName,
    NonEmpty,
    PersonalHeader,
    Port,
    ServerName,
    VariableName,
    WholeNumber,
    Word,
)
from common.config.warm import Warm, WarmMemory
from common.personal import placeholders
from common.units import Duration

DEFAULT_IDLE_TIMEOUT: Final = 30 * 60.0
"""Above LibreChat's own 15 minutes, so that its DELETE normally comes first."""


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


class ServerEntry(SessionLimits, Isolation, Protocol, Answers, Sharing, Warm, Labels):
    """One entry under `servers:`. A key of the groups that it is made of, and that it does not give, is the file's."""

    command: NonEmpty
    args: tuple[Word, ...] = ()
    path: Directory | None = None
    env: dict[VariableName, Word] = Field(default_factory=dict)
    headers: tuple[PersonalHeader, ...] = ()
    allow_shared_uid: bool = False
    zygote: bool = False
    max_sessions: Count | None = None
    max_user_sessions: Count | None = None
    max_concurrency: Annotated[
        Count | None, Field(validation_alias=AliasChoices("max_concurrency", "maxConcurrency"))
    ] = None
    request_timeout: Annotated[Duration, Field(validation_alias=AliasChoices("request_timeout", "timeout"))] = 300.0
    enabled: bool = True
    limits: Limits = Limits()


class ConfigFile(SessionLimits, Isolation, Protocol, Answers, Sharing, Warm, WarmMemory, Users, Amounts, Publicity):
    """The whole file, as its author sees it. Only the loader handles one."""

    hostname: NonEmpty = "127.0.0.1"
    port: Port = 3000
    node: NodeName = "gw"
    allowed_hosts: tuple[HostName, ...] = ()
    debug: Debug = Debug()
    auth: Auth = Auth()
    cors: Cors | None = None
    drain_timeout: DrainTimeout = 5.0
    max_sessions: Count = 200
    max_user_sessions: Count | None = None
    queue_max: Annotated[WholeNumber, Field(ge=0)] = 100
    queue_timeout: Duration = 10.0
    reaping: Literal["auto", "cgroup", "namespace", "tagged"] = "auto"
    wrapper: Literal["auto", "shim", "shells"] = "auto"
    reattach_grace: Duration = 30.0
    runtime_dir: Directory | None = None
    sessions_dir: Directory | None = None
    caches_dir: Directory | None = None
    install_timeout: InstallTimeout = 60.0
    limits: Limits = Limits()
    servers: dict[ServerName, ServerEntry] = Field(min_length=1)
    access: AccessOfFile = None
    """Behind the servers, for its rules name some of them."""
    audit: Audit | None = None

    def _limits(self, entry: ServerEntry) -> Limits:
        """The file's limits, with those that the server gives itself, null included, in their place."""
        return self.limits.model_copy(update=_given(entry.limits))

    def _session_limits(self, entry: ServerEntry) -> SessionLimits:
        return SessionLimits.model_construct(None, **self._either(entry, SessionLimits))

    def _isolation(self, entry: ServerEntry) -> Isolation:
        every = self._either(entry, Isolation)
        if entry.model_fields_set & {"user", "uid_range"}:  # the server's own say in the matter is all there is of it
            every |= {"user": entry.user, "uid_range": entry.uid_range}
        return Isolation.model_construct(None, **every)

    def _either(self, entry: ServerEntry, group: type[BaseModel]) -> dict[str, Any]:
        """The keys of `group`: what the server gives, null included, else what the file has."""
        return {key: getattr(entry if key in entry.model_fields_set else self, key) for key in group.model_fields}

    def _users(self) -> Users:
        return Users.model_construct(None, **{key: getattr(self, key) for key in Users.model_fields})

    def _amounts(self) -> Amounts:
        every = {key: getattr(self, key) for key in Amounts.model_fields}
        quotas = self.quotas.resolved(has_users=self.trust_user_header is not None)
        return Amounts.model_construct(None, **every | {"quotas": quotas})

    def _max_user_sessions(self) -> int | None:
        """For each user, all servers together; null is no limit, and so is nothing where there is no front."""
        if self.trust_user_header is None or "max_user_sessions" in self.model_fields_set:
            return self.max_user_sessions
        return USER_CHILDREN

    @model_validator(mode="after")
    def _fits_together(self) -> "ConfigFile":
        check_fronts(self._users(), self.auth)
        check_amounts(self, self.servers, self.auth.names())
        check_some_are_enabled(entry.enabled for entry in self.servers.values())
        entries = (("servers", name) for name, entry in self.servers.items() if entry.is_shared)
        check_users_are_known([*([()] if self.is_shared else []), *entries], auth_is_on=self.auth.is_on)
        return self

    @property
    def _enabled(self) -> dict[str, ServerEntry]:
        return {name: entry for name, entry in self.servers.items() if entry.enabled}

    def gateway(self) -> GatewaySettings:
        """The gateway's part."""
        policies = {}
        for name, entry in self._enabled.items():
            own = self._session_limits(entry)
            policies[name] = ServerPolicy(
                start_timeout=own.start_timeout,
                request_timeout=own.request_timeout,
                max_message_bytes=own.max_message_bytes,
                idle_timeout=own.idle_timeout,
                max_concurrency=entry.max_concurrency,
                name=entry.name,
                tags=entry.tags,
                personal=placeholders(*entry.env.values(), *entry.args, entry.path or ""),
                **self._either(entry, Protocol),
                **self._either(entry, Sharing),
                **self._either(entry, Answers),
            )
        return GatewaySettings(
            hostname=self.hostname,
            port=self.port,
            node=self.node,
            allowed_hosts=self.allowed_hosts,
            auth=self.auth,
            amounts=self._amounts(),
            users=self._users(),
            cors=self.cors,
            debug=self.debug,
            drain_timeout=self.drain_timeout,
            access=self.access,
            audit=self.audit,
            publicity=Publicity.model_construct(None, **{key: getattr(self, key) for key in Publicity.model_fields}),
            disabled=tuple(name for name in self.servers if name not in policies),
            servers=policies,
        )

    def supervisor(self, as_written: Mapping[str, str]) -> SupervisorSettings:
        """The supervisor's part. `as_written` has each server's command line before its variables were replaced."""
        specs = {name: self._spec(name, entry, as_written[name]) for name, entry in self._enabled.items()}
        return SupervisorSettings(
            debug=self.debug,
            max_sessions=self.max_sessions,
            max_user_sessions=self._max_user_sessions(),
            queue_max=self.queue_max,
            queue_timeout=self.queue_timeout,
            reaping=self.reaping,
            wrapper=self.wrapper,
            reattach_grace=self.reattach_grace,
            runtime_dir=self.runtime_dir,
            sessions_dir=self.sessions_dir,
            caches_dir=self.caches_dir,
            warm_memory_max=self.warm_memory_max,
            install_timeout=self.install_timeout,
            servers=specs,
        )

    def _spec(self, name: str, entry: ServerEntry, as_written: str) -> ServerSpec:
        own = self._session_limits(entry)
        return ServerSpec(
            name=name,
            as_written=as_written,
            command=entry.command,
            args=entry.args,
            path=entry.path,
            env=entry.env,
            allow_shared_uid=entry.allow_shared_uid,
            zygote=entry.zygote,
            idle_timeout=own.idle_timeout,
            max_lifetime=own.max_lifetime,
            graces=Graces(stop=own.stop_grace, terminate=own.terminate_grace, kill=own.kill_grace),
            max_sessions=entry.max_sessions,
            max_user_sessions=entry.max_user_sessions,
            limits=self._limits(entry),
            isolation=self._isolation(entry),
            warm=(entry if "warm" in entry.model_fields_set else self).warm,
        )


def _given(model: BaseModel) -> dict[str, object]:
    """What the file gives for `model`, null included."""
    return {key: getattr(model, key) for key in model.model_fields_set}
