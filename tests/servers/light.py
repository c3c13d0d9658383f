"""A stdio MCP server without the SDK: it starts in milliseconds, costs little, and does what a test tells it to.

Run it with `python -I -S light.py`. Its tools, by name, are the functions below that take `arguments`. What only some of
them need is imported there: it would double the time that a child takes to start, of which the tests start thousands.
"""

import json
import os
import signal
import sys

INSTANCE = os.urandom(4).hex()
NOTES = []
HELD = {}
CANCELLED = []
ASKED = {}
GREETING = {}


def send(message):
    data = json.dumps(message)
    if "--content-length" in sys.argv:
        sys.stdout.write(f"Content-Length: {len(data)}\r\n\r\n{data}")
    else:
        sys.stdout.write(data + "\n")
    sys.stdout.flush()


def answer(request_id, result):
    send({"jsonrpc": "2.0", "id": request_id, "result": result})


def text(value):
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def echo(arguments, request):
    return text(arguments.get("text", ""))


def whoami(arguments, request):
    return text({"pid": os.getpid(), "instance": INSTANCE, "cwd": os.getcwd(), "ppid": os.getppid()})


def environment(arguments, request):
    return text(dict(os.environ))


def add(arguments, request):
    NOTES.append(arguments["text"])
    return text(str(len(NOTES)))


def notes(arguments, request):
    return text(NOTES)


def greeting(arguments, request):
    """What the client said in `initialize`."""
    return text(GREETING)


def hold(arguments, request):
    """Answers when `release` is called, with a text or with so many bytes."""
    HELD[request["id"]] = arguments.get("text", "x" * arguments.get("bytes", 0))
    complain({"text": "holding"}, request)


def release(arguments, request):
    for held, said in HELD.items():
        answer(held, text(said))
    count = len(HELD)
    HELD.clear()
    return text(str(count))


def fail_held(arguments, request):
    """Every call that is held fails."""
    for held in HELD:
        send({"jsonrpc": "2.0", "id": held, "error": {"code": -32000, "message": "failed on purpose"}})
    HELD.clear()
    return text("failed")


def held(arguments, request):
    """How many calls are held, and how many were cancelled."""
    return text({"held": len(HELD), "cancelled": len(CANCELLED)})


def progress(arguments, request):
    token = request["params"]["_meta"]["progressToken"]
    for step in range(arguments.get("steps", 3)):
        params = {"progressToken": token, "progress": step}
        send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    return text("done")


def log(arguments, request):
    params = {"level": "info", "data": arguments.get("text", "")}
    send({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    return text("logged")


def change(arguments, request):
    """Say that the tools have changed."""
    send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    return text("changed")


def ask(arguments, request):
    """Ask the client, and answer with its answer."""
    ASKED["q1"] = request["id"]
    send({"jsonrpc": "2.0", "id": "q1", "method": arguments["method"], "params": arguments.get("params", {})})


def wonder(arguments, request):
    """Ask the client, and go on; its answer goes to stderr."""
    send({"jsonrpc": "2.0", "id": arguments.get("id", "w1"), "method": "roots/list"})
    return text("asked")


def give_up(arguments, request):
    """Wait no longer for the answer to `wonder`."""
    params = {"requestId": arguments.get("id", "w1")}
    send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    return text("given up")


def write(arguments, request):
    """Write anything on stdout."""
    sys.stdout.write(arguments["text"])
    sys.stdout.flush()
    return text("written")


def write_bytes(arguments, request):
    """Write any bytes on stdout."""
    sys.stdout.buffer.write(bytes.fromhex(arguments["hex"]))
    sys.stdout.buffer.flush()
    return text("written")


def complain(arguments, request):
    """Write anything on stderr."""
    sys.stderr.write(arguments["text"] + "\n")
    sys.stderr.flush()
    return text("written")


def big(arguments, request):
    return text("x" * arguments["bytes"])


def flood(arguments, request):
    """Log lines of 1 KiB each, then the answer."""
    for _ in range(arguments["lines"]):
        params = {"level": "info", "data": "x" * 1024}
        send({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    return text("flooded")


def die(arguments, request):
    if "signal" in arguments:
        os.kill(os.getpid(), getattr(signal, arguments["signal"]))
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(arguments.get("code", 0))


def begin_and_die(arguments, request):
    """Write the beginning of a line on stdout."""
    sys.stdout.write(arguments["text"])
    sys.stdout.flush()
    os._exit(1)


def close_stdout(arguments, request):
    os.close(1)


def fail(arguments, request):
    return {**text("it did not work"), "isError": True}


def refuse(arguments, request):
    error = {"code": arguments.get("code", -32000), "message": "refused on purpose"}
    send({"jsonrpc": "2.0", "id": request["id"], "error": error})


def helper(arguments, request):
    """Start a helper in a session of its own that ignores SIGTERM and does not end by itself."""
    import subprocess

    script = "trap '' TERM HUP INT; echo ready; while :; do sleep 1000; done"
    process = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    return text(str(process.pid))


def hog(arguments, request):
    """Take memory, and keep it."""
    NOTES.append(bytearray(b"x") * arguments["bytes"])
    return text("taken")


def breed(arguments, request):
    """Start so many helpers that do nothing."""
    import subprocess

    for _ in range(arguments["count"]):
        subprocess.Popen(["/bin/sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return text("bred")


def grow(arguments, request):
    """Write a file of so many bytes, as programs do that do not ask how large it may become."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with open(arguments["path"], "wb") as file:
        file.write(b"x" * arguments["bytes"])
    return text("grown")


def spin(arguments, request):
    """Start a helper that uses a whole processor."""
    import subprocess

    process = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL)
    return text(str(process.pid))


def stray(arguments, request):
    """Start a helper that has no parent, and takes off every mark by which it could be known that it can."""
    import subprocess

    script = "echo $$; trap '' TERM; exec >/dev/null; while :; do sleep 1000; done"
    get_away = 'prlimit --pid $$ --rttime=unlimited: 2>/dev/null; exec setsid --fork env -i /bin/sh -c "$0"'
    process = subprocess.Popen(["sh", "-c", get_away, script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    pid = process.stdout.readline().decode()
    process.wait()
    return text(pid)


def run(arguments, request):
    """Run a shell's script, and answer with its status and all that it says."""
    import subprocess

    done = subprocess.run(["/bin/sh", "-c", arguments["script"]], stdin=subprocess.DEVNULL, capture_output=True)
    return text({"status": done.returncode, "out": done.stdout.decode(), "err": done.stderr.decode()})


def forker(arguments, request):
    """Start something that starts helpers without end, each in a session of its own."""
    import subprocess

    script = "while :; do setsid sleep 1000 & sleep 0.01; done"
    subprocess.Popen(["setsid", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return text("forking")


def rabbit(arguments, request):
    """Start something that is another process every few milliseconds."""
    import subprocess

    run = 'exec setsid --fork sh -c "$RUN"'
    command = ["setsid", "--fork", "sh", "-c", run]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, "RUN": run})
    return text("running")


def deaf(arguments, request):
    """From now on, ignore SIGTERM and the end of stdin."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    globals()["DEAF"] = True
    return text("deaf")


TOOLS = {
    function.__name__: function
    for function in (
        echo, whoami, environment, greeting, add, notes, hold, release, fail_held, held, progress, log, change, ask,
        wonder, give_up, write, write_bytes, complain, big, flood, die, close_stdout, fail, refuse, helper, hog, breed,
        grow, spin, stray, run, forker, rabbit, deaf,
    )
}  # fmt: skip
TOOLS["path/like tool"] = echo
DEAF = False


def handle(message):
    method = message.get("method")
    if method is None:
        if message.get("id") in ASKED:
            answer(ASKED.pop(message["id"]), text(message.get("result", message.get("error"))))
        else:
            complain({"text": "answered: " + json.dumps(message.get("result", message.get("error")))}, message)
    elif method == "initialize":
        if "--mute" in sys.argv:
            return
        if "--refuse" in sys.argv:
            send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32000, "message": "not today"}})
            return
        if "--chatty" in sys.argv:
            params = {"level": "info", "data": "about to answer"}
            send({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
        GREETING.update(message["params"])
        info = {"name": "light", "version": "1"}
        version = message["params"]["protocolVersion"]
        answer(message["id"], {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
    elif method == "tools/list":
        schema = {"type": "object"}
        if "--region" in sys.argv:
            schema["properties"] = {"text": {"type": "string", "x-mcp-header": "Region"}}
        tools = [{"name": name, "inputSchema": schema} for name in TOOLS]
        half = len(tools) // 2
        cursor = (message.get("params") or {}).get("cursor")
        answer(message["id"], {"tools": tools[half:]} if cursor else {"tools": tools[:half], "nextCursor": "2"})
    elif method == "tools/call":
        result = TOOLS[message["params"]["name"]](message["params"].get("arguments") or {}, message)
        if result is not None:
            answer(message["id"], result)
    elif method == "notifications/cancelled":
        CANCELLED.append(message["params"])
        HELD.pop(message["params"]["requestId"], None)
        complain({"text": "cancelled"}, message)
    elif "id" in message:
        error = {"code": -32601, "message": "no such method"}
        send({"jsonrpc": "2.0", "id": message["id"], "error": error})


def main():
    if "--banner" in sys.argv:
        print("Welcome to the light server, version 1!", flush=True)
    if "--die-at-start" in sys.argv:
        sys.stderr.write("cannot start: no license\n")
        sys.exit(3)
    for line in sys.stdin:
        try:
            message = json.loads(line)
        except ValueError:
            if "--lenient" not in sys.argv:
                raise
            sys.stderr.write("that was no message\n")
            continue
        handle(message)
    while DEAF:
        signal.pause()


main()
