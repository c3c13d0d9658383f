"""A stdio MCP server whose tools have odd names, and schemas that no document can hold: `python -I -S odd.py [--many N]`.

Each tool answers with its own name and what it was given. With `--many` there are N plain tools instead, with long
descriptions.
"""

import json
import sys

OBJECT = {"type": "object"}
TREE = {"type": "object", "properties": {"next": {"$ref": "#"}, "all": {"type": "array", "items": {"$ref": "#"}}}}
TOOLS = {
    "a/b": OBJECT,
    "a b": OBJECT,
    "a%20b": OBJECT,
    "{id}": OBJECT,
    "ümläut ☃": OBJECT,
    'say "no"': OBJECT,
    "a?b#c;d=e&f": OBJECT,
    "a\\b": OBJECT,
    "echo": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "Echo": OBJECT,
    "openapi.json": OBJECT,
    "x_action_y": OBJECT,
    "..": OBJECT,
    "/rooted": OBJECT,
    "": OBJECT,
    "session": {"type": "object", "properties": {"sessionId": {"type": "string"}}, "required": ["sessionId"]},
    "tree": TREE,
    "loop": {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "external": {"type": "object", "properties": {"a": {"$ref": "https://elsewhere.test/schema.json#/a"}}},
    "any": {"type": "any", "properties": {"a": {"type": "any", "enum": []}, "b": True, "c": False}},
    "old": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "id": "http://elsewhere.test/old",
        "type": "object",
        "definitions": {"point": {"type": "array", "items": [{"type": "number"}, {"type": "number"}]}},
        "properties": {"at": {"$ref": "#/definitions/point"}, "n": {"minimum": 0, "exclusiveMinimum": True}},
    },
    "text": {"type": "string"},
    "true": True,
    "list": [1, 2],
    "large": {"type": "object", "description": "x" * 400_000},
}


def deep(levels):
    schema = OBJECT
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def tools():
    if "--many" in sys.argv:
        count = int(sys.argv[sys.argv.index("--many") + 1])
        return [{"name": f"tool{n}", "description": "x" * 9000, "inputSchema": OBJECT} for n in range(count)]
    listed = {**TOOLS, "deep": deep(200)}
    return [{"name": name, "inputSchema": schema, "outputSchema": schema} for name, schema in listed.items()]


def result_of(method, params):
    if method == "initialize":
        info = {"name": "odd", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": tools()}
    said = json.dumps([params["name"], params.get("arguments")])
    return {"content": [{"type": "text", "text": said}], "structuredContent": {}}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and message.get("method") in ("initialize", "tools/list", "tools/call"):
        answer = {"id": message["id"], "result": result_of(message["method"], message["params"])}
    elif "id" in message:
        answer = {"id": message["id"], "error": {"code": -32601, "message": "no such method"}}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", **answer}), flush=True)
