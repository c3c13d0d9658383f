"""The query of a request, as `gateway.unified.parameters` takes it, and an answer's JSON."""

from collections.abc import Collection
from typing import Any

import msgspec
from quart import Response, request

from gateway.http import bodies
from gateway.unified.parameters import Query, check_names


def query(known: Collection[str]) -> Query:
    """Of this request. Raises GatewayError for a parameter that is not `known`."""
    found: dict[str, list[str]] = request.args.to_dict(flat=False)
    check_names(found, known)
    return found


def answer(value: Any) -> Response:
    """An answer with this value as JSON."""
    return bodies.json_response(msgspec.json.encode(value))
