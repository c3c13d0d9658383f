"""What several servers offer, asked for at once, and for no longer than a caller may be kept waiting."""

from collections.abc import Collection
from contextlib import suppress
from typing import Final

import anyio

from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError
from gateway.identity.who import Who

PATIENCE: Final = 60.0
"""Seconds that all of them together may take to answer; of who takes longer is told what was known before."""


async def listings(
    catalog: Catalog,
    servers: Collection[str],
    who: Who,
    *,
    fresh: Collection[str] = (),
    within: float = PATIENCE,
) -> list[Listing]:
    """What each of `servers` offers `who`, in this order. Raises GatewayError for one that they may not use.

    A child is asked where the catalog finds that it should be, and of those that are to be `fresh`. Cancellation ends
    those children.
    """
    found = {server: catalog.known(server, who) for server in servers}

    async def ask(server: str) -> None:
        with suppress(GatewayError):  # a reload has taken it away meanwhile
            found[server] = await catalog.listing(server, who, fresh=server in fresh)

    with anyio.move_on_after(within):
        async with anyio.create_task_group() as tasks:
            for server in servers:
                tasks.start_soon(ask, server, name=f"catalog of {server}")
    return list(found.values())
