"""How often something was refused because there was too much of it, by reason, for `/health`. Nothing of whom."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from gateway.errors import GatewayError


@contextmanager
def counting(refusals: Counter[str]) -> Iterator[None]:
    """Count a refusal that is raised in here."""
    try:
        yield
    except GatewayError as error:
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            refusals[error.reason] += 1
        raise
