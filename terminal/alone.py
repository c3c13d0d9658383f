"""A gateway for one command: in this process, without a port, and for whoever may read the configuration.

Who that is may start the servers by hand as well, so nobody is asked for credentials, and no rule of `access` holds; nor
is what they do for the audit log, which is of those who come over the network.
"""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import msgspec
from loguru import logger

from common.config.amounts import Amounts
from common.config.auth import Auth
from common.config.model import GatewaySettings
from common.config.users import Users
from doctor.client import printable
from embedding.beside import CannotStart
from embedding.running import Running, running
from gateway.errors import GatewayError
from gateway.identity.who import Who
from terminal.client import Refusal
from terminal.doors import decoded

_SAID: Final = 5
"""Lines of the supervisor's that are shown where it could not be started."""


def for_the_operator(settings: GatewaySettings) -> GatewaySettings:
    """The same, for a gateway that only this program can reach."""
    return settings.model_copy(
        update={"auth": Auth(), "users": Users(), "amounts": Amounts(), "access": None, "audit": None, "cors": None}
    )


@asynccontextmanager
async def alone(config: Path) -> AsyncIterator[Running]:
    """The gateway on the configuration at `config`, which is good.

    Raises click.ClickException where there can be none. Cancellation ends every process that it started, and waits.
    """
    logger.remove()  # what went wrong is told by the command, once
    with tempfile.TemporaryFile() as log:
        try:
            async with running(config, stderr=log, adjust=for_the_operator) as gateway:
                yield gateway
        except CannotStart:
            raise click.ClickException(f"the servers cannot be started here: {_last_lines(log)}") from None
        except BaseExceptionGroup as group:
            raise _only(group) from None


def _only(error: BaseException) -> BaseException:
    """The one exception that task groups have wrapped up, or else the group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _last_lines(log: BinaryIO) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-_SAID:]
    return "; ".join(printable(line) for line in lines) or "the supervisor did not say why"


class Here:
    """The gateway in this process, for whoever has `headers`."""

    def __init__(self, gateway: Running, headers: Mapping[str, str]) -> None:
        self._sessions = gateway.sessions
        self._client = gateway.app.test_client()
        self._headers = dict(headers)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: object = None,
        timeout: float = 60.0,  # noqa: ARG002 - the server's own timeouts hold
    ) -> Any:
        """As the protocol says."""
        response = await self._client.open(
            path, method=method, query_string=dict(query), json=body, headers=self._headers
        )
        content = bytes(await response.get_data(as_text=False))
        answer = None
        with suppress(click.ClickException):
            answer = decoded(content)
        if response.status_code < 400:
            return answer
        error = answer.get("error", {}) if isinstance(answer, dict) else {}
        raise Refusal(response.status_code, str(error.get("code")), str(error.get("message")), error.get("about") or {})

    async def schema(self, session: str, server: str, tool: str) -> Mapping[str, Any] | None:
        """As the protocol says, of what the session's own child has: it is started now, and not a second time."""
        given = {name.lower(): [value] for name, value in self._headers.items()}
        who = Who(header=lambda name: given.get(name.lower(), []))
        try:
            caller = await self._sessions.find_set(session, who).caller(server, who)
            found = (await caller.tools()).get(tool)
            return msgspec.json.decode(found.input_schema, type=dict[str, Any]) if found is not None else None
        except (GatewayError, msgspec.MsgspecError, RecursionError):
            return None  # the call itself will say so
