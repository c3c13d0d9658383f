"""A stdio MCP server that minds nothing: it answers every request there is with what it was asked, as one line of JSON.

A tool named `raw` has it write the text `line` instead, with the call's id in place of ID.
"""

import json
import sys

sys.setrecursionlimit(10_000)


def result_of(message):
    """The result for a request."""
    params = message.get("params")
    if message["method"] == "initialize":
        version = params.get("protocolVersion") if isinstance(params, dict) else None
        info = {"name": "meek", "version": "1"}
        return {"protocolVersion": version or "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if message["method"] == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "raw")]}
    return {
        "content": [{"type": "text", "text": json.dumps(message["method"])}],
        "structuredContent": {"params": params},
    }


def main():
    for line in sys.stdin:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(message, dict) or "id" not in message or "method" not in message:
            continue
        params = message.get("params")
        if message["method"] == "tools/call" and isinstance(params, dict) and params.get("name") == "raw":
            print(params["arguments"]["line"].replace("ID", json.dumps(message["id"])), flush=True)
        else:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result_of(message)}), flush=True)


main()
