"""Looks at one tree without looking at the others, so that an end costs the same however many sessions there are.

`/proc/PID/task/TID/children` lists the children of a thread (proc(5), CONFIG_PROC_CHILDREN). A look is at what is below
the leader, and then at the supervisor's **own orphans**: its direct children that are no leader and no helper, and what
is below those. Why that is the whole tree, and why "nothing found" means that nothing is left:

* Whoever belongs to a tree was forked below its leader. A process gets another parent only when its own has died, and
  then it is that one's nearest ancestor that is a subreaper: one in the same tree, or the supervisor. So above each
  living member stands either the leader, or an own orphan.
* What a process leaves is given away before it becomes a zombie. So whoever is dead when looked at has nobody below it.
* Only this thread reaps, and it does not while it looks. So nobody leaves the list of our children while it is read, and
  who joins it joins at its end: the kernel, which goes on from the entry that it gave last, skips nobody. An orphan that
  is dead when looked at may have left others after the list was read; then the list is read again, for who is new.
* The leader is looked at before that list is read: when it is dead by then, what it left is in the list.

Where the kernel has no such file, where somebody cannot be looked at, or where dying orphans come without end, there is
the census of the whole machine.

Two ways lead out of this, both for what means to get away. Who joins the PID namespace of another session's, and has its
parent die, is given to the init of that namespace; and where tags are not sealed, a process may put on the tag of another
tree. Both are found by the tag in the census that `supervisor.meter` takes, and end there: see `supervisor.strays`.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from supervisor.linux import Census, look
from supervisor.tree import CensusTaker

_PASSES: Final = 5
"""How often the list of our own children is read for one look."""

_MANY: Final = 1000
"""Processes below one orphan after which a look at the whole machine is no dearer."""


class Unlisted(Exception):
    """It cannot be known who is below a process."""


class Nearby:
    """`known` says the pids of our own children that are leaders or helpers; `everywhere` takes the census of all."""

    def __init__(self, everywhere: CensusTaker, known: Callable[[], Collection[int]]) -> None:
        self._everywhere = everywhere
        self._orphans = CensusTaker(partial(orphans, known))

    def __repr__(self) -> str:
        return "<Nearby>"

    async def fresh(self, leader: int) -> Census:
        """All of the tree of `leader`, as it is after this call, and perhaps others; see CensusTaker.fresh."""
        below = tree_below(leader)
        found = await self._orphans.fresh()
        if not (below.complete and found.complete):
            return await self._everywhere.fresh()
        return Census(below | found) if below else found


def tree_below(leader: int) -> Census:
    """`leader`, where it is a child of ours, dead or alive, and all below it; not `complete` where none are listed."""
    census = Census()
    seen = look(leader)
    if seen is not None and seen.ppid == os.getpid():
        census[leader] = seen
        with _known_to_be_incomplete(census):
            _descend(census, leader)
    return census


def orphans(known: Callable[[], Collection[int]]) -> Census:
    """Our own children but the `known` ones, dead or alive, and all below them; `complete` as said above."""
    census = Census()
    listed: set[int] = set()  # nobody else can have got the pid of one of these: it is ours to reap
    with _known_to_be_incomplete(census):
        for _ in range(_PASSES):
            new = set(children_of(os.getpid())).difference(known(), listed)
            listed |= new
            alive = [_is_alive_with_all_below(census, pid) for pid in new]
            if all(alive):
                return census
        census.complete = False
    return census


@contextmanager
def _known_to_be_incomplete(census: Census) -> Iterator[None]:
    try:
        yield
    except Unlisted:
        census.complete = False


def _is_alive_with_all_below(census: Census, orphan: int) -> bool:
    """Add `orphan`, and all below it; whether it lives."""
    seen = look(orphan)
    if seen is None:
        raise Unlisted(f"{orphan} is hidden")  # it cannot have gone: nobody has reaped it
    census[orphan] = seen
    _descend(census, orphan)
    return seen.alive


def _descend(census: Census, root: int) -> None:
    """Add all below `root`. Who comes meanwhile is not missed for good: while anybody above lives, one looks again."""
    left = list(children_of(root))
    while left:
        if len(census) > _MANY:
            raise Unlisted("there are too many")
        pid = left.pop()
        if pid not in census and (seen := look(pid)) is not None:
            census[pid] = seen
            left.extend(children_of(pid))


def children_of(pid: int) -> Iterable[int]:
    """The children of all threads of `pid`; none where it has gone. Raises Unlisted."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - the quickest way
    except (FileNotFoundError, ProcessLookupError):
        return ()
    except PermissionError as error:
        raise Unlisted(str(error)) from None
    return [child for thread in threads for child in _children_of_thread(pid, thread)]


def _children_of_thread(pid: int, thread: str) -> Iterable[int]:
    path = f"/proc/{pid}/task/{thread}"
    try:
        fd = os.open(f"{path}/children", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists(path):  # noqa: PTH110 - as above
            raise Unlisted("this kernel has no list of children") from None
        return ()
    except PermissionError as error:
        raise Unlisted(str(error)) from None
    try:
        return [int(each) for each in _read_all(fd).split()]
    except ProcessLookupError:
        return ()
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, 65536):
        pieces.append(piece)
    return b"".join(pieces)
