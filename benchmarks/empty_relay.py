"""A relay that does nothing but pass on bytes: `python3 -I -S empty_relay.py COMMAND…`.

It starts COMMAND, listens on a port of this machine, which it prints, takes one connection, and from then on passes what
comes there to COMMAND's stdin, and its stdout back, up to 64 KiB at a time, until the connection ends. What others suffer
while it passes a large answer is what the processes at both its ends cost them, and no relay could do without.
"""

import os
import select
import socket
import subprocess
import sys


def main() -> None:
    """Pass on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
    ):
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
        assert child.stdin is not None
        assert child.stdout is not None
        there, back, here = child.stdin.fileno(), child.stdout.fileno(), connection.fileno()
        while True:
            ready, _, _ = select.select([back, here], [], [])
            if back in ready:
                connection.sendall(os.read(back, 65536))
            if here in ready:
                data = os.read(here, 65536)
                if not data:
                    child.stdin.close()
                    return
                os.write(there, data)


if __name__ == "__main__":
    main()
