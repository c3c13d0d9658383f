"""Results as a run leaves them, made up."""

from typing import Any


def calls(sessions: int, processor: float, children: int = 1, **more: Any) -> dict[str, Any]:
    """What 1,000 calls came to; `processor` is in seconds."""
    return {
        "sessions": sessions,
        "calls": 1000,
        "seconds": 0.5,
        "p50": 0.001,
        "p99": 0.004,
        "faults": {},
        "foreign": 0,
        "reconnects": 0,
        "processor": processor,
        "own": {"pss": 50 << 20, "uss": 40 << 20},
        "added": {"pss": (sessions - 1) * 30 * 1024, "uss": 0, "lasting": (sessions - 1) * 20 * 1024},
        "children": children,
        "child": {"pss": 6 << 20, "uss": 5 << 20},
        **more,
    }


def cell(way: str, number: int, processor: float, *, own: bool = True, **more: Any) -> dict[str, Any]:
    """A cell in which 1 and 10 sessions were called."""
    return {
        "round": number,
        "way": way,
        "child": "trivial",
        "open": {
            "alone": {"times": [0.010, 0.020, 0.060], "processor": 0.1},
            "four": {"times": [0.03], "processor": 0},
        },
        "calls": [calls(1, processor), calls(10, processor, children=10 if own else 1)],
        **more,
    }


def results(*cells: dict[str, Any], left: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A run of these cells."""
    facts = {"date": "2026-07-28", "kernel": "6.1", "python": "3.11", "cores": 2, "versions": {"supergateway": "4"}}
    return {"facts": facts, "cells": list(cells), "left": list(left)}
