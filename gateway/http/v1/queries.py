"""The query of a request, as `gateway.unified.parameters` takes it, and an answer's JSON."""

from collections.abc import Collection
from typing import Any

import msgspec

from gateway.hot.exchange import Reply
from gateway.http import bodies
from gateway.http.quarted import asked
from gateway.unified.parameters import Query, check_names


def query(known: Collection[str]) -> Query:
    """Of this request. Raises GatewayError for a parameter that is not `known`."""
    found = asked().query.lists()
    check_names(found, known)
    return found


def answer(value: Any) -> Reply:
    """An answer with this value as JSON."""
    return bodies.json_reply(msgspec.json.encode(value))
