"""A stdio MCP server without the SDK whose tools have schemas, and that says what it does: for calls over REST.

Run it with `python -I -S strict.py`. Its tools, by name, are the functions below that take `arguments`.
"""

import json
import sys

COUNTS = {}
HELD = {}
CANCELLED = []


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(request_id, said):
    send({"id": request_id, "result": {"content": [{"type": "text", "text": json.dumps(said)}]}})


def say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def log(text):
    send({"method": "notifications/message", "params": {"level": "info", "data": text}})


def plan(arguments, request):
    """Everything that comes here has passed the gateway."""
    return arguments


def anything(arguments, request):
    return arguments


def count(arguments, request):
    """How often this was called with that name."""
    name = arguments.get("name", "")
    COUNTS[name] = COUNTS.get(name, 0) + 1
    return COUNTS[name]


def work(arguments, request):
    """Report progress, log a line, and answer; with `hold` only when released."""
    token = request["params"].get("_meta", {}).get("progressToken")
    for step in range(arguments.get("steps", 2)):
        if token is not None:
            params = {"progressToken": token, "progress": step, "message": f"step {step}"}
            send({"method": "notifications/progress", "params": params})
        log("x" * arguments.get("bytes", 0) or f"line {step}")
    if arguments.get("hold"):
        return hold(arguments, request)
    return "worked"


def murmur(arguments, request):
    """Log a line that nobody may want."""
    log("murmured")
    return "murmured"


def hold(arguments, request):
    """Answered when `release` is called."""
    count(arguments, request)
    HELD[request["id"]] = arguments.get("name", "")
    say(f"holding {arguments.get('name', '')}")


def release(arguments, request):
    for held, name in HELD.items():
        answer(held, f"released {name}")
    HELD.clear()
    return "released"


def held(arguments, request):
    return {"held": sorted(HELD.values()), "cancelled": CANCELLED, "counts": COUNTS}


def refuse(arguments, request):
    """A JSON-RPC error, which says how many there were."""
    said = count(arguments, request)
    code = arguments.get("code", -32000)
    send({"id": request["id"], "error": {"code": code, "message": f"refused {said} times"}})


def big(arguments, request):
    count(arguments, request)
    return "x" * arguments["bytes"]


PLAN = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "days": {"type": "array", "items": {"type": "object", "properties": {"a/b": {"type": "integer"}}}},
        "kind": {"enum": ["short", "long"]},
        "secret": {"type": "integer"},
        "code": {"type": "string", "pattern": "^(a+)+$"},
    },
    "required": ["title"],
    "additionalProperties": False,
}
SCHEMAS = {
    "plan": PLAN,
    "strange": {"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:9/never-fetched"}}},
    "invalid": {"type": "objekt", "required": "n"},
}
TOOLS = {
    each.__name__: each for each in (plan, anything, count, work, murmur, hold, release, held, refuse, big)
}  # fmt: skip
TOOLS["strange"] = TOOLS["invalid"] = anything


def change(arguments, request):
    """From now on `plan` wants nothing in particular."""
    SCHEMAS["plan"] = {"type": "object"}
    send({"method": "notifications/tools/list_changed"})
    return "changed"


TOOLS["change"] = change


def handle(message):
    method, params = message.get("method"), message.get("params") or {}
    if method == "initialize":
        info = {"name": "strict", "version": "1"}
        capabilities = {"tools": {"listChanged": True}, "logging": {}}
        result = {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": info}
        send({"id": message["id"], "result": result})
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": SCHEMAS.get(name, {"type": "object"})} for name in TOOLS]
        send({"id": message["id"], "result": {"tools": tools}})
    elif method == "tools/call":
        said = TOOLS[params["name"]](params.get("arguments") or {}, message)
        if said is not None:
            answer(message["id"], said)
    elif method == "notifications/cancelled":
        name = HELD.pop(params["requestId"], None)
        CANCELLED.append(name)
        say(f"cancelled {name}")
    elif "id" in message:
        send({"id": message["id"], "error": {"code": -32601, "message": "no such method"}})


for line in sys.stdin:
    handle(json.loads(line))
