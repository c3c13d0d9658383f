"""A gateway for one command: in this process, without a port, and for whoever may read the configuration.

Who that is may start the servers by hand as well, so nobody is asked for credentials, and no rule of `access` holds; nor
is what they do for the audit log, which is of those who come over the network.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
from loguru import logger

from common.config.amounts import Amounts
from common.config.auth import Auth
from common.config.model import GatewaySettings
from common.config.users import Users
from doctor.client import printable
from embedding.beside import CannotStart
from embedding.running import Running, running

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
            async with running(config, log=log, adjust=for_the_operator) as gateway:
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
