"""REST: what a server has beside its tools, its resources and its prompts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from quart import Blueprint

from common.reasons import Reason
from gateway.admittance import Use
from gateway.caller import Caller
from gateway.errors import GatewayError, bad_request
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies, contents, questions
from gateway.http.mcp import SESSION_QUERY, optional_id
from gateway.http.quarted import add, asked
from gateway.large import Result
from gateway.rest.lists import listed
from gateway.rest.parked import Parked
from gateway.session_sets import SessionSet
from gateway.sessions import Sessions
from gateway.specification import INVALID_PARAMS, METHOD_NOT_FOUND

RESOURCES, TEMPLATES, PROMPTS = "resources/list", "resources/templates/list", "prompts/list"
READ, GET = "resources/read", "prompts/get"

_NO_RESOURCE: Final = frozenset({-32002, INVALID_PARAMS, METHOD_NOT_FOUND})
"""What children answer with: the revisions with a handshake have the first (specification 2025-11-25: server,
Resources), later ones and many servers the second, for nothing but the URI can be wrong."""

_LONGEST_NAMED: Final = 256
_OURS: Final = frozenset({SESSION_QUERY, "questions"})
"""Query parameters that are no arguments of a prompt."""


class OfferDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions, parked: Parked) -> None:
        self._sessions = sessions
        self._parked = parked

    def blueprint(self) -> Blueprint:
        """All that is below `/api/v1/servers/{server}`."""
        routes = Blueprint("offers", __name__, url_prefix="/api/v1/servers/<server>")
        for path, name, handler in (
            ("/resources", "resources", self.resources),
            ("/resource-templates", "templates", self.templates),
            ("/resources/read", "read", self.read),
            ("/prompts", "prompts", self.prompts),
            ("/prompts/<path:name>", "prompt", self.prompt),
        ):
            add(routes, path, name, handler, "GET")
        add(routes, "/prompts/<path:name>", "prompt_with_body", self.prompt_with_body, "POST")
        return routes

    async def resources(self, server: str) -> Reply:
        """The resources."""
        return await self._listed(server, RESOURCES, "resources")

    async def templates(self, server: str) -> Reply:
        """The resource templates."""
        return await self._listed(server, TEMPLATES, "resourceTemplates")

    async def prompts(self, server: str) -> Reply:
        """The prompts."""
        return await self._listed(server, PROMPTS, "prompts")

    async def read(self, server: str) -> Reply:
        """The contents of one resource: as MCP gives them, or one of them as bytes."""
        wanted, uri = contents.wish(asked()), asked().query.get("uri")
        if not uri:
            raise bad_request("say which resource is to be read: ?uri=")
        return contents.response(asked(), await self._asked(server, READ, {"uri": uri}), wanted)

    async def prompt(self, server: str, name: str) -> Reply:
        """One prompt, with arguments from the query."""
        twice = next((key for key, values in asked().query.lists().items() if len(values) > 1), None)
        if twice is not None:
            raise bad_request(f"the argument '{twice[:64]}' stands twice in the query")
        return await self._prompt(
            server, name, {key: value for key, value in asked().query.items() if key not in _OURS}
        )

    async def prompt_with_body(self, server: str, name: str) -> Reply:
        """One prompt, with arguments from the body."""
        body = await bodies.read_json(asked(), self._policy_bytes(server))
        try:
            arguments = msgspec.json.decode(body, type=dict[str, str])
        except msgspec.ValidationError as error:
            raise bad_request(f"expected a JSON object of texts, the prompt's arguments: {error}") from None
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            raise GatewayError(
                Reason.INVALID_JSON, "expected a JSON object, but the body is not JSON in UTF-8"
            ) from None
        return await self._prompt(server, name, arguments)

    async def _prompt(self, server: str, name: str, arguments: dict[str, str]) -> Reply:
        params: dict[str, object] = {"name": name, **({"arguments": arguments} if arguments else {})}
        return bodies.json_reply(await self._asked(server, GET, params))

    async def _listed(self, server: str, method: str, key: str) -> Reply:
        async with self._session_set(server, method) as session_set:
            caller = await session_set.caller(server, asked().sender)

            async def ask(params: dict[str, str]) -> bytes:
                return bytes(await caller.fetch(method, params, asked().sender).answer())

            limit = self._policy_bytes(server)
            return bodies.json_reply(await listed(ask, key, asked().query.get("cursor"), limit))

    async def _asked(self, server: str, method: str, params: dict[str, Any]) -> Result:
        who, declines = asked().sender, questions.declines(asked())
        async with self._session_set(server, method) as session_set:
            caller = await session_set.caller(server, asked().sender)
            call = self._parked.attend(session_set, server, caller, declines=declines)

            async def told(error: GatewayError) -> GatewayError:
                return await _told_plainly(error, caller, params)

            return await call.answer_or_ask(lambda: caller.fetch(method, params, who, call.hear), told)

    @asynccontextmanager
    async def _session_set(self, server: str, method: str) -> AsyncIterator[SessionSet]:
        """The one that the request names, or else the caller's own. Raises GatewayError."""
        id_ = optional_id(asked())
        if id_ is not None:
            found = self._sessions.find_set(id_, asked().sender)
            await self._admit(server, method)
            yield found
            return
        self._sessions.check(asked().sender, server)
        await self._admit(server, method)
        async with self._sessions.own.using(asked().sender) as own:
            yield own

    async def _admit(self, server: str, method: str) -> None:
        self._sessions.check(asked().sender, server)
        await admitted.admit(asked(), Use(server, method))

    def _policy_bytes(self, server: str) -> int:
        return self._sessions.policy(server).max_message_bytes


async def _told_plainly(error: GatewayError, caller: Caller, params: dict[str, Any]) -> GatewayError:
    """A child's error; where there is no such thing, it says so: each child has a code of its own for that."""
    code, uri, name = error.about.get("code"), params.get("uri"), params.get("name")
    if code is None:
        return error
    about: dict[str, Any] = error.about
    if uri is not None and code in _NO_RESOURCE:
        return GatewayError(
            Reason.RESOURCE_NOT_FOUND, "the server has no such resource", **about, uri=uri[:_LONGEST_NAMED]
        )
    if name is not None and (code == METHOD_NOT_FOUND or await _lacks(caller, name)):
        return GatewayError(
            Reason.PROMPT_NOT_FOUND, "the server has no such prompt", **about, prompt=name[:_LONGEST_NAMED]
        )
    return error


async def _lacks(caller: Caller, prompt: str) -> bool:
    """Whether the child lists its prompts, and not that one."""
    try:
        return all(each.name != prompt for each in await caller.prompts())
    except GatewayError:
        return False
