"""`GET /health`: alive, and whether the supervisor answers."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final, cast

import anyio
import msgspec
from quart import Blueprint

from gateway.catalog.catalog import Catalog
from gateway.hot.exchange import Reply
from gateway.http import bodies
from gateway.http.quarted import add, asked
from gateway.identity.who import Who
from gateway.ratelimits import RateLimits
from gateway.sessions import Sessions
from supervisor.client import SupervisorClient, SupervisorLost
from supervisor.protocol import Answer

PATIENCE: Final = 2.0
"""Seconds that the supervisor may take to answer."""


class HealthDoor:
    """The handler."""

    def __init__(self, sessions: Sessions, supervisor: SupervisorClient, rates: RateLimits, catalog: Catalog) -> None:
        self._catalog = catalog
        self._sessions = sessions
        self._supervisor = supervisor
        self._rates = rates

    def blueprint(self) -> Blueprint:
        """`/health`, which the unified API has, too."""
        routes = Blueprint("health", __name__)
        add(routes, "/health", "get", self.get, "GET")
        add(routes, "/api/v1/health", "v1", self.get, "GET")
        return routes

    async def get(self) -> Reply:
        """200 while the supervisor answers, else 503. Who has no credentials learns no more than whether all is well."""
        answer = await self._ask()
        report: dict[str, object] = {"status": "ok" if answer is not None and not answer.outlived else "degraded"}
        if asked().who is not None:
            counts = self._sessions.counts()
            report |= {
                "version": version("mcp-gateway"),
                "supervisor": {"answers": answer is not None},
                "sessions": counts.sessions,
                **self._of_servers(answer, asked().sender),
                "droppedMessages": dict(self._sessions.dropped_messages()),
            }
            if refusals := self._sessions.quotas.refusals:
                report["refusals"] = dict(refusals)
            if self._rates.is_on:
                report["rateLimits"] = self._rates.report()
        return bodies.json_reply(msgspec.json.encode(report), 200 if answer is not None else 503)

    def _of_servers(self, answer: Answer | None, who: Who) -> dict[str, object]:
        """What is said of the servers, but not of those that `who` may not know of."""
        report = {**supervision(answer), "eras": self._sessions.eras.report()}
        for name in ("servers", "eras"):
            known = cast("Mapping[str, dict[str, object]]", report[name]).items()
            report[name] = {server: each for server, each in known if self._may_know(who, server)}
        for server, each in cast("Mapping[str, dict[str, object]]", report["servers"]).items():
            if (offer := self._catalog.condition(server, who)) is not None:
                each["offer"] = offer
        if disabled := [server for server in self._catalog.disabled if self._may_know(who, server)]:
            report["disabled"] = disabled
        return report

    def _may_know(self, who: Who, server: str) -> bool:
        return self._sessions.oversight.permission(who, server).server

    async def _ask(self) -> Answer | None:
        try:
            with anyio.fail_after(PATIENCE):
                return await self._supervisor.ask()
        except (TimeoutError, SupervisorLost):
            return None


def supervision(answer: Answer | None) -> dict[str, object]:
    """What the supervisor says of itself, its children and each server; a server that is given a rest says why."""
    if answer is None:
        return {"children": {}, "servers": {}}
    return {
        "children": {"running": answer.running, "ending": answer.ending, "waiting": answer.waiting},
        "reaping": answer.reaping,
        "outlived": answer.outlived,
        "servers": {
            name: {
                "running": report.running,
                "waiting": report.waiting,
                **({"warm": report.warm} if report.warm is not None else {}),
                **({"zygote": report.zygote} if report.zygote is not None else {}),
                **({"failing": report.failing} if report.failing else {}),
            }
            for name, report in answer.servers.items()
        },
    }
