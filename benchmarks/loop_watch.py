"""How long a gateway's event loop does one thing, measured within it: by a module that stands in its PYTHONPATH.

A step is one callback, or what a task does between two waits, or what is done with what a connection brought. It is
measured on both loops: uvloop's, whose handles cannot be looked into, is one that wraps what it is given.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SIZE: Final = struct.calcsize("ddqd")

_WATCH: Final = '''
"""Notes the longest step, in seconds: of this thread's processor, on the clock; how many there were, and took in all."""
import asyncio.events, mmap, os, struct, sys, time
if "gateway" in sys.orig_argv:
    with open(os.environ["LOOP_WATCH"], "r+b") as file:
        noted = mmap.mmap(file.fileno(), struct.calcsize("ddqd"))
    def watched(step, *given):
        cpu, clock = time.thread_time(), time.perf_counter()
        try:
            return step(*given)
        finally:
            cpu, clock = time.thread_time() - cpu, time.perf_counter() - clock
            most_cpu, most_clock, steps, total = struct.unpack("ddqd", noted[:])
            noted[:] = struct.pack("ddqd", max(cpu, most_cpu), max(clock, most_clock), steps + 1, total + cpu)
    run = asyncio.events.Handle._run
    asyncio.events.Handle._run = lambda self: watched(run, self)
    try:
        import uvloop
    except ImportError:
        pass
    else:
        class Loop(uvloop.Loop):
            def call_soon(self, callback, *given, context=None):
                return super().call_soon(watched, callback, *given, context=context)
            def add_reader(self, fd, callback, *given):
                return super().add_reader(fd, watched, callback, *given)
            def add_writer(self, fd, callback, *given):
                return super().add_writer(fd, watched, callback, *given)
        uvloop.new_event_loop = Loop
        from gateway.lane.connection import Connection
        heard = Connection.data_received
        Connection.data_received = lambda self, data: watched(heard, self, data)
'''


@dataclass(frozen=True)
class Steps:
    """What a loop did; times in seconds."""

    cpu: float = 0.0
    """Of the processor, for the longest step: comparable also on a machine that others use."""
    clock: float = 0.0
    """For the longest one on the clock."""
    count: int = 0
    total: float = 0.0
    """Of the processor, for all of them."""


NONE: Final = Steps()


class Watch:
    """The steps of the gateway that is started with this `environment`."""

    def __init__(self, directory: Path) -> None:
        (directory / "sitecustomize.py").write_text(_WATCH)
        path = directory / "watched"
        path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._noted = mmap.mmap(file.fileno(), _SIZE)
        ours = os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))
        self.environment = {"PYTHONPATH": ours, "LOOP_WATCH": str(path)}

    def reset(self) -> None:
        """Begin anew."""
        self._noted[:] = bytes(_SIZE)

    def steps(self) -> Steps:
        """Those since then."""
        return Steps(*struct.unpack("ddqd", self._noted[:]))
