"""Death certificates: what ended a child, for the principal whose child it was, and for nobody else.

The supervisor names a certificate when a child's end begins (`Ending`), and brings it when the whole tree is gone
(`Gone`). In between it is being written, and its owner may wait for it. The newest are kept, in memory, within two
bounds.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import anyio

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from supervisor.protocol import Certificate

KEPT: Final = 1_000
"""Certificates that are kept."""

KEPT_ASIDE: Final = 100
"""Of children that were no session's, which come and go by themselves: they are kept apart from those that were."""

KEPT_BYTES: Final = 16 * 1024 * 1024
"""Characters of stderr that all of them together may hold."""

WRITTEN_WITHIN: Final = 10.0
"""Seconds for which an owner may wait for a certificate whose child is still being ended."""


@dataclass(eq=False)
class _Owned:
    """Whose child it was, and its certificate, once there is one."""

    owner: Principal
    id: str = ""
    certificate: Certificate | None = None
    written: anyio.Event | None = None
    """Set once there is a certificate, where somebody waits for it."""

    @property
    def size(self) -> int:
        return sum(len(line) for line in self.certificate.stderr) if self.certificate is not None else 0


class Certificates:
    """The register: by lease until the child is gone, and then by the certificate's id."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._by_lease: dict[int, _Owned] = {}
        self._by_id: OrderedDict[str, _Owned] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Certificates: {len(self._by_id)}, for {len(self._by_lease)} children to come>"

    def expect(self, lease: int, owner: Principal) -> None:
        """The child of `lease` is `owner`'s, and so will be its certificate."""
        self._by_lease[lease] = _Owned(owner)

    def announce(self, lease: int, id_: str) -> None:
        """The child of `lease` is being ended, and its certificate will be `id_`."""
        owned = self._by_lease.get(lease)
        if owned is not None and id_:
            owned.id = id_
            self._by_id[id_] = owned
            self._shrink()

    def file(self, lease: int, certificate: Certificate) -> None:
        """The child of `lease` is gone. Dropped where it was nobody's: a spawn that was given up."""
        owned = self._by_lease.pop(lease, None)
        if owned is None:
            return
        self._by_id.pop(owned.id, None)
        owned.id, owned.certificate = certificate.id, certificate
        self._bytes += owned.size
        self._by_id[owned.id] = owned
        self._shrink()
        if owned.written is not None:
            owned.written.set()

    async def find(self, id_: str, principal: Principal) -> Certificate:
        """The certificate `id_`, if it is `principal`'s; waits for one that is being written, WRITTEN_WITHIN at most.

        Raises GatewayError, always the same, for an unknown one and somebody else's.
        """
        owned = self._by_id.get(id_)
        if owned is not None and owned.owner == principal:
            if owned.certificate is None:
                owned.written = owned.written or anyio.Event()
                with anyio.move_on_after(WRITTEN_WITHIN):
                    await owned.written.wait()
            if owned.certificate is not None:
                return owned.certificate
        raise GatewayError(Reason.CERTIFICATE_NOT_FOUND, "there is no such certificate, or it is no longer kept")

    def _shrink(self) -> None:
        """Forget the oldest. What is still being written holds nothing yet, and is bounded by the living children."""
        while len(self._by_id) > self._kept or (self._bytes > KEPT_BYTES and len(self._by_id) > 1):
            _, oldest = self._by_id.popitem(last=False)
            self._bytes -= oldest.size


def as_json(certificate: Certificate) -> dict[str, object]:
    """What its owner is shown."""
    shown: dict[str, object] = {
        "id": certificate.id,
        "server": certificate.server,
        "reason": certificate.reason,
        "limit": certificate.limit,
        "livedSeconds": round(certificate.lived, 3),
        "stderr": certificate.stderr,
    }
    if certificate.exit.signal is not None:
        shown["signal"] = certificate.exit.signal
    elif certificate.exit.code is not None:
        shown["exitCode"] = certificate.exit.code
    return shown
