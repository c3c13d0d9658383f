"""What is known of several servers, and of those of which nothing is, after they were asked."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import anyio

from gateway.catalog.catalog import Catalog
from gateway.catalog.offers import Listing
from gateway.errors import GatewayError
from gateway.identity.who import Who

PATIENCE: Final = 60.0
"""Seconds that all of them together may take to answer; of who takes longer nothing is known, for now."""


async def listings(
    catalog: Catalog, servers: Iterable[str], who: Who, *, fresh: bool = False, within: float = PATIENCE
) -> list[Listing]:
    """What each of `servers` offers `who`, in this order. Raises GatewayError for one that they may not use.

    A child is asked of those of which nothing is known yet, neither what they offer nor why they cannot be asked; of all
    if `fresh`. Cancellation ends those children.
    """
    found = {server: catalog.known(server, who) for server in servers}

    async def ask(server: str) -> None:
        with suppress(GatewayError):  # a reload has taken it away meanwhile
            found[server] = await catalog.listing(server, who, fresh=fresh)

    with anyio.move_on_after(within):
        async with anyio.create_task_group() as tasks:
            for server, listing in found.items():
                if fresh or not is_known(listing):
                    tasks.start_soon(ask, server, name=f"catalog of {server}")
    return list(found.values())


def is_known(listing: Listing) -> bool:
    """Whether anybody has tried to find out."""
    return listing.offer is not None or listing.failure is not None
