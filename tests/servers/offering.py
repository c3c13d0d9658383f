"""A stdio MCP server without the SDK that offers what a file says, and misbehaves as it says.

Run it with `python -I -S offering.py FILE`; each start adds a line to `FILE.starts`. The file is a JSON object:

`results`: the result of each method but `initialize`; one that is a list has a page for each `nextCursor`.
`mute`, `dies`: methods that get no answer, or end the server. `forever`: every page has another one.
`changes`: how often it says that its tools are others now, whenever a tool is called.
`noise`: how many lines it writes first that are no messages.
"""

import json
import os
import sys

PATH = sys.argv[1]
with open(PATH) as file:
    SAYS = json.load(file)
with open(PATH + ".starts", "a") as file:
    file.write(f"{os.getpid()} {os.environ.get('TOKEN', '')}\n")


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def result(method, params):
    if method == "initialize":
        capabilities = {name: {"listChanged": True} for name in ("tools", "resources", "prompts")}
        server = {"name": "offering", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": server}
    if method == "tools/call":
        for _ in range(SAYS.get("changes", 0)):
            send(method="notifications/tools/list_changed")
        return {"content": [{"type": "text", "text": os.environ.get("TOKEN", "")}]}
    said = SAYS.get("results", {}).get(method)
    if not isinstance(said, list):
        return said
    at = int(params.get("cursor", "0"))
    more = at + 1 < len(said) or SAYS.get("forever")
    return {**said[min(at, len(said) - 1)], **({"nextCursor": str(at + 1)} if more else {})}


for _ in range(SAYS.get("noise", 0)):
    print("starting up", flush=True)

for line in sys.stdin:
    message = json.loads(line)
    method, request_id = message.get("method"), message.get("id")
    if method in SAYS.get("dies", []):
        sys.exit(3)
    if request_id is None or method is None or method in SAYS.get("mute", []):
        continue
    answer = result(method, message.get("params") or {})
    if answer is None:
        send(id=request_id, error={"code": -32601, "message": "no such method"})
    else:
        send(id=request_id, result=answer)
