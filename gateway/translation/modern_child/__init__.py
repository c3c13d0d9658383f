"""A child that speaks only revision 2026-07-28, as a legacy conversation wants to see it."""

from gateway.translation.modern_child.translator import ModernChild

__all__ = ["ModernChild"]
