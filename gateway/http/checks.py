"""What every request passes before a door has it, and what every answer gets on its way out, whoever carries them.

A server is looked at in one place, before any door has a request: there is the same answer, at the same point, for one
that is denied and for one that there is not.
"""

from http import HTTPStatus

from loguru import logger

from common.reasons import Reason
from gateway.admittance import Admittance
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply, put
from gateway.http import admitted, audited, bodies, spared
from gateway.http.asked import Asked
from gateway.http.audited import Recorder
from gateway.http.guards import Guards
from gateway.identity.who import Who
from gateway.sessions import Sessions


class Checks:
    """The checks, for one gateway."""

    def __init__(self, guards: Guards, admittance: Admittance, sessions: Sessions) -> None:
        self.guards = guards
        self.admittance = admittance
        self.record = Recorder(sessions)
        """Records an error that is about to be the answer, where it means that somebody was refused."""
        self._sessions = sessions

    async def check(self, asked: Asked) -> Reply | None:
        """Raises GatewayError where the request may not pass; an answer, where no door has to give it."""
        reply = await self.guards.check(asked)
        if reply is None and asked.server is not None:
            self._sessions.check(asked.who or Who(), asked.server)
        return reply

    def mark(self, asked: Asked, status: int, headers: list[tuple[str, str]]) -> None:
        """Have the `headers` of an answer with `status` hold what every answer bears.

        Every answer of a gateway that is leaving is the last one on its connection, and says so. Else a client sends its
        next request on a connection that is about to be closed, and cannot know what became of it: LibreChat then gives
        up the session, which the next gateway would have gone on with.
        """
        if self._sessions.is_leaving and asked.head.http_version.startswith("1"):  # HTTP/2 has no such header
            put(headers, "Connection", "close")
        admitted.mark(asked, headers)
        self.guards.mark(asked, status, headers)

    def failed(self, asked: Asked, error: GatewayError) -> Reply:
        """The answer that `error` is."""
        audited.refused(asked, error)
        if asked.speaks_json_rpc:
            return bodies.json_reply(error.rpc_body(), spared.status(asked, error, error.status), error.headers)
        return bodies.json_reply(error.rest_body(), HTTPStatus.OK if asked.is_action else error.status, error.headers)

    def faulty(self, asked: Asked, error: Exception) -> Reply:
        """The answer to our own fault: the traceback is for the log, a sentence for the client."""
        logger.opt(exception=error).error("a request to {} failed", asked.endpoint)
        return self.failed(asked, GatewayError(Reason.INTERNAL_ERROR, "the gateway failed; its log says how"))
