"""Peers that say anything: nothing crashes, mixes two messages or grows without bound."""
