"""A stdio MCP server that misbehaves on purpose: `python -I -S rogue.py KIND LEDGER [--silent] [--bytes N] [--slots N]`.

It shakes hands like any server, and misbehaves once the client has said `notifications/initialized`. With `--silent` it
misbehaves as soon as it is asked to initialize, and never answers. Its kinds are the functions below `misbehave`.

How a test knows what it started, and that nothing of it is left, without asking the supervisor:

* **The ledger** is a file that the test made. Each process opens it, or inherits it open, and appends one line: lines
  are processes started. The first process takes a shared flock(2) on it. Such a lock belongs to the open file, which
  lives as long as any process has a descriptor of it *or a mapping*: so each process also maps it, and one that closes
  all its descriptors still holds the lock until it ends or executes another program; who executes one hands the
  descriptor on. There is no moment at which a forking tree does not hold it, which no scan of processes can say of
  itself, and no environment, session, user, limit or namespace makes a difference. "Nothing is left" is: the test can
  have the lock for itself alone.
* **The ledger's path is in each command line**, and a fork inherits the command line. That finds the shells around a
  server, too, which hold no lock, and gives whatever is left a name and a number in the machine's own /proc, also where
  a process lives in a PID namespace and knows itself by another number.

When a misbehaviour is in effect, its kind is written to the FIFO `news` beside the ledger.
"""

import contextlib
import fcntl
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys

KIND, LEDGER = sys.argv[1:3]
NEWS = os.path.join(os.path.dirname(LEDGER), "news")
HELD = None


def option(name, default):
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


# The ledger.


def hold(fd):
    """Hold the open ledger `fd` for as long as this process, or one that it forks, has this memory."""
    global HELD
    HELD = (fd, mmap.mmap(fd, 1, prot=mmap.PROT_READ))


def sign(role):
    """Append a line for this process; how many there are."""
    os.write(HELD[0], f"{KIND} {role}\n".encode())
    with open(LEDGER, "rb") as ledger:
        return ledger.read().count(b"\n") - 1


def in_effect():
    """Tell the test."""
    try:
        fd = os.open(NEWS, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, f"{KIND}\n".encode())
        os.close(fd)
    except OSError:
        os._exit(9)  # the test has gone


# What they do.


def for_ever():
    while True:
        signal.pause()


def go_deaf():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def start(role, act):
    """Fork a process that signs the ledger, and then does `act` for ever."""
    if os.fork() == 0:
        sign(role)
        act()
        for_ever()


def stay():
    """Ignore the end of stdin."""
    globals()["STAYS"] = True


def deaf():
    """Ignores signals and the end of its input."""
    go_deaf()
    stay()
    in_effect()


def forker():
    """Forks as many as there are slots, each of which does the same, and a new one the moment that one dies."""
    slots = option("--slots", 150)

    def take_slot():
        """An open file that holds a slot of its own; waits until there is one."""
        fd = os.open(LEDGER, os.O_RDWR)
        first = random.SystemRandom().randrange(slots)
        for place in range(first, first + slots):
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, slot(place % slots))
                return fd
            except OSError:
                continue
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, slot(first))
        return fd

    def slot(number):
        # struct flock, fcntl(2): one byte, far behind the end of the file
        return struct.pack("hhqqixxxx", fcntl.F_WRLCK, os.SEEK_SET, (1 << 30) + number, 1, 0)

    def fork_on(own):
        while True:
            fd = take_slot()
            if os.fork() != 0:
                os.close(fd)
                continue
            if own is not None:
                os.close(own)
            own = fd
            if fd % 2 or random.SystemRandom().random() < 0.2:
                os.setsid()  # some have a group of their own, some have their parent's
            if slots <= sign("fork") < slots + 10:
                in_effect()

    start("fork", lambda: fork_on(None))


def detach(escape):
    """Double fork, a session of its own, and another program, with no environment and no descriptor."""
    if os.fork() != 0:
        os.wait()
        return
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.chdir("/")
    fd = HELD[0]
    os.set_inheritable(fd, True)  # noqa: FBT003
    os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, KIND, LEDGER, "--detached", str(fd), escape], {})


def detached():
    """The program that `detach` executes."""
    hold(option("--detached", -1))
    sign("detached")
    go_deaf()
    if "escape" in sys.argv:
        hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
        with contextlib.suppress(OSError, ValueError):  # there may be a seal on it
            resource.setrlimit(resource.RLIMIT_RTTIME, (hard, hard))
        os.setpgid(0, 0)
    in_effect()
    os.closerange(0, 4096)
    for_ever()


def daemon():
    """Starts a process that has left everything behind but its limits."""
    detach("stay")


def escapee():
    """Starts a process that has left its limits behind as well."""
    detach("escape")


def flood(fd):
    line = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 4000}})
    data = (line + "\n").encode() * 16
    in_effect()
    try:
        while True:
            os.write(fd, data)
    except OSError:
        for_ever()


def flood_stdout():
    """Logs without end to its client."""
    flood(1)


def flood_stderr():
    """Logs without end to its stderr."""
    flood(2)


def mute():
    """Neither reads nor writes."""
    in_effect()
    for_ever()


def never_ready():
    """Reads, and never answers."""
    in_effect()


def exits_at_once():
    """Leaves a process behind that ignores signals, and exits."""
    ready, tell = os.pipe()
    start("helper", lambda: (go_deaf(), os.setsid(), in_effect(), os.close(tell)))
    os.close(tell)
    os.read(ready, 1)  # where it ends with us, it is to have lived before
    os._exit(3)


def hog():
    """Uses memory."""
    globals()["MEMORY"] = memory = bytearray(option("--bytes", 300 << 20))
    for page in range(0, len(memory), 4096):
        memory[page] = 1
    in_effect()


def closes_stdout():
    """Closes its stdout, and lives on."""
    os.close(1)
    stay()
    in_effect()


def wrapper():
    """Starts a helper in a session of its own that ignores signals; the server itself is a shell's child."""
    start("helper", lambda: (go_deaf(), os.setsid(), in_effect()))


AT_START = {"mute": mute, "exits-at-once": exits_at_once}
KINDS = {
    "deaf": deaf,
    "forker": forker,
    "daemon": daemon,
    "escapee": escapee,
    "flood-stdout": flood_stdout,
    "flood-stderr": flood_stderr,
    "never-ready": never_ready,
    "hog": hog,
    "closes-stdout": closes_stdout,
    "wrapper": wrapper,
    **AT_START,
}
STAYS = False
SILENT = "--silent" in sys.argv or KIND == "never-ready"


def answer(request, result):
    os.write(1, (json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n").encode())


def handle(message):
    method = message.get("method")
    if method == "initialize" and SILENT:
        KINDS[KIND]()
    elif SILENT:
        return
    elif method == "initialize":
        version = message["params"]["protocolVersion"]
        info = {"name": "rogue", "version": "1"}
        answer(message, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
    elif method == "tools/list":
        answer(message, {"tools": [{"name": "rogue", "inputSchema": {"type": "object"}}]})
    elif method == "notifications/initialized":
        KINDS[KIND]()
    elif "id" in message:
        answer(message, {"content": []})


def main():
    if "--detached" in sys.argv:
        detached()
    fd = os.open(LEDGER, os.O_RDWR | os.O_APPEND)
    fcntl.flock(fd, fcntl.LOCK_SH)
    hold(fd)
    sign("server")
    if KIND in AT_START:
        AT_START[KIND]()
    for line in sys.stdin:
        handle(json.loads(line))
    if STAYS:
        for_ever()


main()
