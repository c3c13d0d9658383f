"""How often Python looks for cycles of objects that nobody uses any more. Only a process of our own is told that."""

import gc
from typing import Final

THRESHOLDS: Final = (5_000, 20, 20)
"""Objects that are made, less those that are gone, before the youngest are looked at; how many such looks come before one
at those that have outlived it; and how many of those before one at all.
"""


def look_seldom() -> None:
    """Spare what there is by now, and look at the rest seldom. Called once a program has started.

    Nearly all that a request makes is gone with its last reference, without the collector. But with Python's thresholds
    (700, 10, 10) it looks at the youngest every few calls, and what the modules and the sessions are made of is looked at
    again and again: with 500 sessions that was a fifth to a third of the time that a call took. What is frozen is never
    looked at again; cycles that are made later are found as before, at most 5,000 objects later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
