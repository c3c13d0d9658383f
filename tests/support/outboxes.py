"""What is in an outbox."""

import anyio

from gateway.outbox import Outbox


async def left(outbox: Outbox) -> list[bytes]:
    """All that may be taken of an outbox that has ended."""
    messages = []
    try:
        while True:
            data = await outbox.take(0)
            assert data is not None, "it has not ended"
            messages.append(bytes(data))
    except anyio.EndOfStream:
        return messages
