"""A legacy child, which wants a handshake and asks its client by requests, behind a modern conversation."""

from gateway.translation.legacy_child.handshake import askable
from gateway.translation.legacy_child.translator import LegacyChild

__all__ = ["LegacyChild", "askable"]
