"""All that is looked at of a running gateway: first the gateway, then each server."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from common.config.load import Settings
from doctor import surroundings
from doctor.client import http_client, printable
from doctor.findings import Finding, Verdict
from doctor.librechat.context import GatewayFacts, ServerFacts
from doctor.pair import Pair
from doctor.rows import Server
from doctor.trial import Trial

_LOCAL: Final = GatewayFacts().hosts


@dataclass
class Examination:
    """Of the gateway at `url` that runs with `settings`. What was learned on the way is for the LibreChat rules."""

    settings: Settings
    url: str
    pair: Pair
    patience: float
    tools: dict[str, tuple[str, ...]] = field(default_factory=dict)
    challenges_bearer: bool = False

    async def run(self, names: Sequence[str] = ()) -> AsyncIterator[Finding]:
        """Look at everything, or at the servers named; each finding as soon as it is there."""
        yield surroundings.exposure(self.settings.gateway)
        for spec in self.settings.supervisor.servers.values():
            if finding := surroundings.command(spec, os.environ.get("PATH", os.defpath)):
                yield finding
        reachable = False
        async for finding in self._gateway():
            reachable = reachable or finding.verdict is Verdict.OK
            yield finding
        if reachable:
            yield self._users()
            for server in surroundings.servers(self.settings):
                if not names or server.name in names:
                    for finding in await self._try(server):
                        yield finding

    def _users(self) -> Finding:
        if self.pair.are_two:
            return Finding("users", "", Verdict.OK, self.pair.who)
        return Finding("users", "", Verdict.WARNING, f"{self.pair.who}: {self.pair.why_one}", self.pair.remedy)

    async def _gateway(self) -> AsyncIterator[Finding]:
        async with http_client(self.url, self.pair.a, self.patience) as http:
            try:
                answer = await http.get("/health")
            except httpx2.HTTPError as error:
                text = f"the gateway cannot be reached: {printable(str(error) or type(error).__name__)}"
                yield Finding("gateway", "", Verdict.FAILED, text, "is it running? --url says where it listens")
                return
            report = _object(answer)
            if answer.status_code not in (200, 503) or "status" not in report:
                text = f"what is there answers /health with {answer.status_code}, and is no gateway"
                yield Finding("gateway", "", Verdict.FAILED, text, "--url says where it listens")
                return
            yield Finding("gateway", "", Verdict.OK, "it answers")
            if found := surroundings.clock(answer.headers.get("Date"), datetime.now(UTC)):
                yield found
            known, has_rules = set(self.settings.gateway.servers), self.settings.gateway.access is not None
            for finding in surroundings.health(report, known, rules=has_rules):
                yield finding
        self.challenges_bearer = await self._asks_for_bearer()

    async def _asks_for_bearer(self) -> bool:
        """Whether who comes without credentials, as LibreChat's probe does, is sent to an OAuth login."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=self.patience, trust_env=False) as http:
            name = next(iter(self.settings.gateway.servers))
            try:
                answer = await http.post(f"/{name}/mcp", json={})
            except httpx2.HTTPError:
                return False
            return answer.headers.get("WWW-Authenticate", "").lower().startswith("bearer")

    async def _try(self, server: Server) -> list[Finding]:
        outcome = await Trial(server, self.pair, self.url, self.patience).run()
        if outcome.tools is not None:
            self.tools[server.name] = outcome.tools
        return outcome.findings

    def facts(self) -> GatewayFacts:
        """What the rules for a `librechat.yaml` are to know of the gateway."""
        return gateway_facts(self.settings, self.url, self.tools, challenges_bearer=self.challenges_bearer)


def gateway_facts(
    settings: Settings,
    url: str | None = None,
    tools: dict[str, tuple[str, ...]] | None = None,
    *,
    challenges_bearer: bool = False,
) -> GatewayFacts:
    """The gateway as its configuration has it, with the `tools` of those servers that were asked."""
    gateway = settings.gateway
    parts = urlsplit(url or "")
    names = {each.lower().partition(":")[0] for each in gateway.allowed_hosts}
    hosts = _LOCAL | names | {gateway.hostname.lower(), parts.hostname or gateway.hostname.lower()}
    return GatewayFacts(
        port=parts.port or gateway.port,
        hosts=frozenset(hosts),
        servers={
            name: ServerFacts(
                policy.start_timeout,
                policy.request_timeout,
                surroundings.headers_of(policy.personal),
                (tools or {}).get(name),
            )
            for name, policy in gateway.servers.items()
        },
        user_header=gateway.users.trust_user_header,
        needs_credentials=gateway.auth.is_on,
        challenges_bearer=challenges_bearer,
    )


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        report = answer.json()
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}
