"""Who may use what, and what is recorded of it: the rules and the audit log, for all sessions."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.config.audit import STDERR
from common.config.model import GatewaySettings
from common.logs import masked
from common.reasons import Reason
from gateway.access import Access, Permission
from gateway.audit import Audit, SessionAudit, Value
from gateway.auditfile import Appender, AuditFile
from gateway.errands import Errands
from gateway.errors import GatewayError, no_server
from gateway.identity.who import Who
from gateway.jsonrpc import Request
from gateway.session import Session
from gateway.toollists import called


class Oversight:
    """The rules that hold now, and the audit log."""

    def __init__(self, access: Access | None = None, audit: Audit | None = None) -> None:
        self.audit = audit or Audit()
        self._access = access or Access()

    def __repr__(self) -> str:
        return f"<Oversight: {self._access!r}, {self.audit!r}>"

    def take_over(self, settings: GatewaySettings) -> None:
        """These rules hold from now on, for whatever live sessions ask next, too."""
        self._access = access_of(settings)

    def permission(self, who: Who, server: str) -> Permission:
        """What `who` may use of `server`, with this request."""
        return self._access.permission(who, server)

    def check_server(self, who: Who, server: str) -> None:
        """Raises GatewayError where `who` may not use `server`: there is none of that name."""
        if not self.permission(who, server).server:
            raise no_server(server)

    def errands(self, session: Session, pid: int) -> Errands:
        """For the requests of `session`, whose child is `pid`, until it is another."""
        server = session.server

        def current() -> int:
            return session.relay.pid if session.relay is not None else pid

        def audit() -> SessionAudit:
            secrets = session.personal.values.values()
            return self.audit.of_session(session.id, server, session.door.value, current, secrets)

        return Errands(server, lambda who: self.permission(who, server), audit if self.audit.is_on else None)

    def denied(self, who: Who, server: str, message: Request, error: GatewayError) -> None:
        """`who` may not use what `message` asks for of `server`, and has no session yet."""
        about = {"server": server, "method": message.method, "tool": called(message.params)[0]}
        self.audit.refused(who.principal, error, **about)

    def opened(self, session: Session) -> None:
        """There is one more session."""
        self.audit.record("session_open", session.principal, _about(session))

    def ended(self, session: Session, reason: Reason) -> None:
        """There is one less."""
        relay = session.relay
        pid = relay.pid if relay is not None else None
        self.audit.record("session_end", session.principal, {**_about(session), "pid": pid, "reason": reason})


def access_of(settings: GatewaySettings) -> Access:
    """The rules, and where the groups that they name are found."""
    groups = {each.issuer: each.groups_claim for each in settings.auth.jwt if each.groups_claim is not None}
    return Access(settings.access, groups)


@contextmanager
def overseeing(settings: GatewaySettings) -> Iterator[Oversight]:
    """What `settings` say. On leaving, what was recorded is written. Raises CannotWrite."""
    access = access_of(settings)
    if settings.audit is None:
        yield Oversight(access)
        return
    file = AuditFile(Appender(settings.audit.file if settings.audit.file != STDERR else None))
    try:
        yield Oversight(access, Audit(file.put, arguments=settings.audit.arguments))
    finally:
        file.close()


def _about(session: Session) -> dict[str, Value]:
    return {"session": masked(session.id), "door": session.door.value, "server": session.server}
